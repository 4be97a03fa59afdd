"""Hints between the processes of a test's cluster: they arrive in the cluster's own time, at once and in order."""

from __future__ import annotations

from collections.abc import Iterable

from holocron.runtime.hearing import Hearer
from holocron.runtime.hinting import Kind, topic
from holocron.testing.clock import ProcessClock

__all__ = ["PacedEar"]


class PacedEar:
    """What one process hears hints by and sends them by, instead of a socket.

    Args:
        ears: those of all processes of the cluster, by address.
        clock: the process's own; a killed one hears nothing.
    """

    def __init__(self, ears: dict[str, PacedEar], clock: ProcessClock) -> None:
        self.address = f"192.0.2.{len(ears) % 250 + 1}:{7400 + len(ears)}"
        self.dropped = 0
        self._ears = ears
        self._clock = clock
        self._topics: tuple[bytes, ...] = ()
        self._hearer: Hearer | None = None
        ears[self.address] = self

    def hear(self, cluster: str, node: str, hearer: Hearer) -> None:
        """Have `hearer` called for each hint to `node`, or to all of `cluster`."""
        self._topics, self._hearer = (topic(cluster), topic(cluster, node)), hearer

    def send(self, addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = "") -> int:
        """Tell whoever listens at `addresses`; to how many it was sent."""
        sent = 0
        for address in addresses:
            sent += 1
            there = self._ears.get(address)
            if there is not None and there._clock.alive and topic(cluster, node) in there._topics:
                assert there._hearer is not None
                there._hearer(kind, number, 0.0)
        return sent

    def close(self) -> None:
        """Hear nothing any more."""
        self._topics = ()
