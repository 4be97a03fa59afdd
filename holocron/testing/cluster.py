"""A cluster of real nodes for tests: on a strict store in memory, in time that passes only when the test lets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from uuid import uuid4

from holocron.clock import stamp
from holocron.errors import SettingsError
from holocron.layout import PROBE
from holocron.records import Marker, encode
from holocron.runtime.boarding import found_cluster
from holocron.runtime.node import Node
from holocron.settings import Settings
from holocron.store.base import Deadline, Put
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from holocron.testing.clock import WALL_S, ProcessClock
from holocron.testing.hints import PacedEar
from holocron.testing.pace import NS, Pace
from holocron.testing.process import NodeProcess

__all__ = ["NodeCluster"]


class NodeCluster:
    """`count` nodes, each a real `holocron.Node` with threads of its own in a process of its own (`NodeProcess`).

    Between two calls of the thread that made it, everything stands still. Time passes while that thread lets it
    (`advance`, `until`, `await_leader`) or waits for a node, and passes at once; the same test is the same story each
    time. Nodes are called node-1, node-2 and so on, and stand for election when they are asked to.

    Args:
        settings: the timings of every node; the defaults are as good as any, for waiting costs nothing here.
        hints: whether the nodes hint each other, as with the `hints` of `Node.start`; no socket is needed here.
    """

    def __init__(self, count: int, settings: Settings | None = None, *, hints: bool = False) -> None:
        self.settings = settings or Settings()
        self.pace = Pace()
        #: The objects of the cluster, as nobody's faults touch them: to look at and to meddle with.
        self.store = MemoryStore(clock=lambda: WALL_S + self.now_s)
        self._processes: list[NodeProcess] = []
        self._hints = hints
        self._ears: dict[str, PacedEar] = {}
        self._found()
        for number in range(1, count + 1):
            self.add(f"node-{number}")

    def _found(self) -> None:
        """Found the cluster, with the note that its store keeps its promises: a probe of it would race real threads."""
        clock, written = ProcessClock(self.pace, "founder"), stamp(WALL_S)
        deadline = Deadline(clock.now(), 60.0, 1.0)
        genesis, _ = drive(found_cluster(self.store, self.settings, lambda: uuid4().hex, written, deadline), clock)
        marker = Marker(cluster=genesis.cluster, nonce=uuid4().hex, probed=written, rounds=0, clock_agrees=True)
        self.store.perform(Put(PROBE, encode(marker)), 1.0)

    # --- who is there -----------------------------------------------------------------------------------------------

    def __getitem__(self, index: int) -> NodeProcess:
        return self._processes[index]

    def __iter__(self) -> Iterator[NodeProcess]:
        return iter(list(self._processes))

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The node of each process."""
        return tuple(process.node for process in self._processes)

    def add(self, node_id: str, **more: Any) -> NodeProcess:
        """One node more, on a process of its own; `more` is whatever else `Node.start` takes."""
        process = NodeProcess(self, node_id)
        process.node = Node.start(
            process.store, node_id=node_id, clock=process.clock, **{**self._usual(process), **more}
        )
        self._processes.append(process)
        self.advance(0)
        return process

    def resume(self, former: NodeProcess, **more: Any) -> NodeProcess:
        """The node of `former` on fresh compute, in its place; see `NodeProcess.resume`."""
        process = NodeProcess(self, former.clock.name)
        process.node = Node.resume(
            process.store, former.node.id, clock=process.clock, **{**self._usual(process), **more}
        )
        self._processes[self._processes.index(former)] = process
        self.advance(0)
        return process

    def _usual(self, process: NodeProcess) -> dict[str, Any]:
        """What each node is started with, unless the test says otherwise."""
        hints = PacedEar(self._ears, process.clock) if self._hints else ""
        return {"settings": self.settings, "hints": hints}

    def campaign(self) -> None:
        """Have every node stand for election."""
        for process in self._processes:
            process.node.campaign()
        self.advance(0)

    @property
    def leader(self) -> NodeProcess | None:
        """The process that believes at this moment that it leads, None where none does."""
        return next((process for process in self._processes if process.leads), None)

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """How many seconds have passed since the cluster was made."""
        return self.pace.now_ns / NS

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything happen that happens in it; with 0, all that is left to do now."""
        if seconds < 0:
            raise SettingsError(f"time does not pass by {seconds:g} s: it only goes forward")
        self.pace.pass_until(lambda: False, self.pace.now_ns + round(seconds * NS))

    def until(self, condition: Callable[[], bool], within_s: float = 3600.0) -> None:
        """Let time pass until `condition()` holds, asked whenever something has happened.

        Raises:
            TimeoutError: it did not within so many seconds.
        """
        if not self.pace.pass_until(condition, self.pace.now_ns + round(within_s * NS)):
            raise TimeoutError(f"{_name(condition)} did not hold within {within_s:g} s of the cluster's time: {self}")

    def await_leader(self, within_s: float = 3600.0) -> NodeProcess:
        """Let time pass until somebody leads; who does.

        Raises:
            TimeoutError: nobody did within so many seconds.
        """
        if not self.pace.pass_until(lambda: self.leader is not None, self.pace.now_ns + round(within_s * NS)):
            raise TimeoutError(f"nobody led within {within_s:g} s of the cluster's time: {self}")
        leader = self.leader
        assert leader is not None
        return leader

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything without a word. Threads that still wait for a node are told that it has stopped."""
        self.pace.end()

    def __enter__(self) -> NodeCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<NodeCluster at {self.now_s:.3f} s: {', '.join(map(repr, self._processes))}>"


def _name(condition: Callable[[], bool]) -> str:
    name = getattr(condition, "__name__", "<lambda>")
    return "the condition" if name == "<lambda>" else name
