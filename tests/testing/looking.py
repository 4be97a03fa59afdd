"""Looking at a cluster under test: what nodes told, and what lies in the store."""

from __future__ import annotations

from holocron import events
from holocron.layout import EPOCHS, member_key, numbered
from holocron.records import Beacon, Epoch, decode
from holocron.store.base import Found, Get
from holocron.testing import NodeCluster, NodeProcess

__all__ = ["Told", "read_beacon", "read_epoch"]


class Told:
    """A subscriber to the node of one process, with the cluster's time at which it was told what."""

    def __init__(self, cluster: NodeCluster, process: NodeProcess) -> None:
        self.events: list[tuple[float, events.Event]] = []
        process.node.subscribe(lambda event: self.events.append((cluster.now_s, event)))

    def of(self, *kinds: type[events.Event]) -> list[events.Event]:
        """The events of these kinds."""
        return [event for _, event in self.events if isinstance(event, kinds)]

    def when(self, kind: type[events.Event]) -> float:
        """When the first event of this kind was told."""
        return next(when_s for when_s, event in self.events if isinstance(event, kind))


def read_epoch(cluster: NodeCluster, number: int) -> Epoch:
    """A lock file, as it lies in the store."""
    key = numbered(EPOCHS, number)
    answer = cluster.store.perform(Get(key), 1.0)
    assert isinstance(answer, Found)
    return decode(Epoch, answer.body, key)


def read_beacon(cluster: NodeCluster, node: str) -> Beacon:
    """A node's beacon, as it lies in the store."""
    answer = cluster.store.perform(Get(member_key(node)), 1.0)
    assert isinstance(answer, Found)
    return decode(Beacon, answer.body, member_key(node))
