"""The rows of the bench and what a row is. A module of rows calls `register`; `load` finds every such module.

A row is measured in rounds. One round calls `measure(bench, peer, case)` once for each case of each peer, in turn, so
that whatever the machine does meanwhile befalls all alike; the next round begins again with the first. A new row is a
module in `tests/bench/rows/` whose name begins with `r`, or one in `tests/bench/` whose name begins with `scale`; it
ends in `register(Row(...))`.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers.base import Peer, Unavailable

__all__ = ["Bench", "Limit", "Row", "Sample", "Unavailable", "load", "register"]

# What a measurement gives: a number in the row's unit, or words where there is no number ("not in 30 s").
Sample = float | str


@dataclass(frozen=True)
class Limit:
    """What Holocron must reach in one case of a row: a bound, in the row's unit, on the min, the median or the max.

    Args:
        plus: what `most` allows on top, as this run has it: Holocron's medians in other cases, each so many times.
    """

    case: str
    statistic: str
    most: float | None = None
    least: float | None = None
    plus: tuple[tuple[str, float], ...] = ()


@dataclass
class Bench:
    """What a measurement may need: how it was asked for, and the servers, which run from their first use to the end.

    Attributes:
        ttl_s: the lease of every election, in seconds.
        many_ttl_s: the same for a hundred nodes of Holocron, for which its server here would be too slow otherwise.
        quick: whether to show that all works rather than to measure.
        address: where the server of a peer answers, "host:port"; started on the first call.
        peers: all that are measured in this run.
    """

    ttl_s: float
    many_ttl_s: float
    quick: bool
    address: Callable[[Peer], str]
    peers: tuple[Peer, ...] = ()
    dice: random.Random = field(default_factory=random.Random)
    # What was named since the last time that anybody tidied up.
    _used: list[str] = field(default_factory=list)

    def key(self, *, lasting: bool = False) -> str:
        """A name for an election that nobody else has; of one that is not `lasting`, nothing stays after the sample."""
        key = f"bench-{self.dice.getrandbits(48):012x}"
        if not lasting:
            self._used.append(key)
        return key

    def tidy(self, peer: Peer) -> None:
        """Have `peer` forget the elections of the last sample, so that the next finds its server as the first did."""
        used, self._used = self._used, []
        if used:
            peer.forget(self.address(peer), used)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: what `--only` takes.
        title: what is measured, in one line.
        unit: of the numbers: "ttl", "ms", "a minute", "x" (a ratio), "" where they are counts.
        cases: which cases the row has for a peer; none where the peer has no part in it.
        measure: one round of one case of one peer.
        limits: what Holocron must reach.
        rounds: how many rounds, of the `--repeats` asked for; a row that costs much takes fewer.
        lower_is_better: False where a larger number is the better one; ratios are to Holocron's number either way.
    """

    name: str
    title: str
    unit: str
    cases: Callable[[Peer], Sequence[str]]
    measure: Callable[[Bench, Peer, str], Sequence[Sample]]
    limits: tuple[Limit, ...] = ()
    rounds: Callable[[int], int] = lambda repeats: repeats
    lower_is_better: bool = True


_ROWS: dict[str, Row] = {}


def register(row: Row) -> None:
    """Make `row` part of the table. Two rows of one name are a mistake."""
    if row.name in _ROWS:
        raise ValueError(f"there are two rows named {row.name!r} in the bench")
    _ROWS[row.name] = row


def load() -> dict[str, Row]:
    """Every row, in the order of the table: those of `rows/` by the names of their modules, then those of `scale*`."""
    here = Path(__file__).parent
    for path in [*sorted((here / "rows").glob("r*.py")), *sorted(here.glob("scale*.py"))]:
        folder = "tests.bench.rows" if path.parent.name == "rows" else "tests.bench"
        importlib.import_module(f"{folder}.{path.stem}")
    return dict(_ROWS)
