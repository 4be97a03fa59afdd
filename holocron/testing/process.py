"""One process with one node in it, and everything that may befall the two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holocron.runtime.node import Node
from holocron.testing.clock import ProcessClock
from holocron.testing.faults import FaultyStore

if TYPE_CHECKING:
    from holocron.testing.cluster import NodeCluster

__all__ = ["NodeProcess"]


class NodeProcess:
    """A process, the machine it runs on, and the `node` in it: the very one that services use.

    Killed, frozen and suspended are its threads: those of its node, those begun with `run`, and every other one from
    the first time on that it waits for something of the node's (`lead`, `run`, `publish`, `lease.lost.wait`).
    """

    def __init__(self, cluster: NodeCluster, name: str) -> None:
        #: The clocks of the process, and its way to the store: what `Node.start` takes as `clock` and `location`.
        self.clock = ProcessClock(cluster.pace, name)
        self.store = FaultyStore(cluster.store, self.clock)
        self.clock.hindered = lambda: self.store.hindered
        self.node: Node
        self._cluster = cluster

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return self.clock.alive

    @property
    def leads(self) -> bool:
        """Whether its node believes at this moment that it leads."""
        return self.alive and self.node.lease is not None

    def run(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        """Carry out `work(*arguments)` on a thread of this process, which keeps to the cluster's time throughout."""

        def carry_out() -> None:
            work(*arguments)

        return self.clock.start(carry_out, f"{self.clock.name}-{getattr(work, '__name__', 'work')}")

    def kill(self) -> None:
        """As SIGKILL: nothing of it runs any more; it says nothing and releases nothing."""
        self.clock.kill()

    def freeze(self) -> None:
        """As SIGSTOP: nothing of it runs until `thaw`; its clocks run on."""
        self.clock.frozen = True

    def thaw(self) -> None:
        """As SIGCONT: it runs again, from where it stood."""
        self.clock.frozen = False

    def suspend(self, seconds: float) -> None:
        """Its machine sleeps for the next `seconds`: nothing of it runs, and its MONOTONIC clock stands still."""
        self.clock.suspend(seconds)

    def partition(self) -> None:
        """Cut it off from the store until `heal`: its requests and their answers come to nothing, in silence."""
        self.store.cut = True

    def heal(self) -> None:
        """Let it reach the store again; what was on its way before is lost all the same."""
        self.store.cut = False

    def lose_response(self, times: int = 1) -> None:
        """Have its next write be applied and the answer to it be lost; its next `times` writes."""
        self.store.answers_to_lose = times

    def resume(self, **more: Any) -> NodeProcess:
        """The same node on fresh compute, which takes this one's place in the cluster.

        What stands under this process lives on, if it does, and will learn that it is superseded.

        Args:
            more: whatever else `Node.resume` takes, such as `assume_dead`.
        """
        return self._cluster.resume(self, **more)

    def __repr__(self) -> str:
        state = "killed" if not self.alive else "frozen" if self.clock.frozen else repr(self.node)
        return f"<NodeProcess {self.clock.name} {state}>"
