"""Runs rows in rounds, every peer in turn in each, and keeps what came of it: samples, words, or why there are none."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.peers.base import Peer, Unavailable
from tests.bench.registry import Bench, Row

__all__ = ["Cell", "Results", "measure"]


@dataclass
class Cell:
    """One case of one row for one peer.

    Attributes:
        samples: the numbers, in the order in which they were measured.
        words: what was said in place of a number, and how often.
        failed: why a round came to nothing; such a cell is not measured again.
        missing: why it cannot be measured here at all.
    """

    row: str
    peer: str
    case: str
    samples: list[float] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    failed: str = ""
    missing: str = ""


@dataclass
class Results:
    """All that was measured, and which peers were missing."""

    rows: tuple[Row, ...]
    cells: dict[tuple[str, str, str], Cell] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    took_s: float = 0.0

    def of(self, row: Row) -> list[Cell]:
        """The cells of a row, in the order of the table."""
        return [cell for (name, _, _), cell in self.cells.items() if name == row.name]


class _Servers:
    """The servers of peers, each begun when it is first needed. A server that could not begin is not tried again."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        # A row may measure several peers at once.
        self._lock = threading.Lock()
        self._addresses: dict[str, str] = {}
        self._broken: dict[str, str] = {}

    def address(self, peer: Peer) -> str:
        with self._lock:
            return self._address(peer)

    def _address(self, peer: Peer) -> str:
        if peer.name in self._broken:
            raise RuntimeError(self._broken[peer.name])
        if peer.name not in self._addresses:
            try:
                self._addresses[peer.name] = self._stack.enter_context(peer.serve())
            except Exception as error:
                self._broken[peer.name] = f"its server: {error}"
                raise RuntimeError(self._broken[peer.name]) from error
        return self._addresses[peer.name]


@contextlib.contextmanager
def _credentials(environment: Mapping[str, str]) -> Iterator[None]:
    """What the servers here take, in the environment of this process for as long as the bench runs."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(
    rows: Sequence[Row],
    peers: Sequence[Peer],
    repeats: int,
    *,
    ttl_s: float = 2.0,
    many_ttl_s: float = 6.0,
    quick: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    cases: Callable[[str], bool] = lambda _: True,
) -> Results:
    """Measure every row for every peer; whatever fails is told of in its cell, and the rest goes on.

    Args:
        repeats: how many rounds a row has that does not want fewer.
        ttl_s: the lease of every election, in seconds.
        many_ttl_s: that of elections with a hundred nodes of Holocron.
        tell: is told of progress, a line at a time.
        cases: which cases to measure.
    """
    began_s = time.monotonic()
    results = Results(tuple(rows))
    present: list[Peer] = []
    for peer in peers:
        why = peer.missing()
        if why:
            results.missing[peer.name] = why
        else:
            present.append(peer)
    environment = {name: value for peer in present for name, value in peer.environment.items() if name[:4] == "AWS_"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_credentials(environment))
        bench = Bench(ttl_s, many_ttl_s, quick, _Servers(stack).address, tuple(present))
        for row in rows:
            cells: list[tuple[Peer, Cell]] = []
            for peer in present:
                for case in filter(cases, row.cases(peer)):
                    cells.append((peer, Cell(row.name, peer.name, case)))
            results.cells.update({(row.name, cell.peer, cell.case): cell for _, cell in cells})
            rounds = row.rounds(repeats)
            for number in range(rounds):
                tell(f"{row.name}: round {number + 1} of {rounds}, {time.monotonic() - began_s:.0f} s")
                for peer, cell in cells:
                    _one(bench, row, peer, cell)
    results.took_s = time.monotonic() - began_s
    return results


def _one(bench: Bench, row: Row, peer: Peer, cell: Cell) -> None:
    if cell.failed or cell.missing:
        return
    try:
        for sample in row.measure(bench, peer, cell.case):
            if isinstance(sample, str):
                cell.words[sample] += 1
            else:
                cell.samples.append(sample)
    except Unavailable as error:
        cell.missing = str(error)
    except Exception as error:  # noqa: BLE001 - a peer that fails is a result, and must not end the run
        cell.failed = f"{type(error).__name__}: {error}"[:400]
    # A server that is too busy to forget makes the next sample slower, and no more.
    with contextlib.suppress(Exception):
        bench.tidy(peer)
