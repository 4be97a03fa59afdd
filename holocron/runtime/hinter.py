"""Whom a node hints, and when: the heir first, then those after it, and everyone once somebody leads (rule 16)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from holocron.protocol.election import heirs
from holocron.protocol.messages import HeadChanged, NoteReleased, NoteTenureBegan, Seen, SettlePublish
from holocron.records import Epoch
from holocron.runtime.hinting import Kind, send
from holocron.runtime.notices import Notice
from holocron.runtime.world import World

__all__ = ["Hinter", "Send", "tell_heirs"]

# How many heirs a release is told to: the first at once; the others if nobody has followed after a while.
_HEIRS = 3
# How many are told at once, so that their reads do not all come at once either.
_WAVE, _WAVE_S = 32, 0.01


class Send(Protocol):
    """What carries hints; `holocron.runtime.hinting.send` by UDP. It never waits and never raises."""

    def __call__(
        self, addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = ""
    ) -> int: ...


class Hinter:
    """Tells the nodes that listen what `node` has seen happen. Lives on the world's one thread, as its engine does.

    Args:
        later_s: how long the first heir has to follow a release before the next ones are told of it.
        head: the newest epoch that this node knows.
    """

    def __init__(
        self, world: World, cluster: str, node: str, later_s: float, head: Callable[[], int], send: Send
    ) -> None:
        #: To how many a hint was sent so far.
        self.sent = 0
        self._world = world
        self._cluster = cluster
        self._node = node
        self._later_s = later_s
        self._head = head
        self._send = send
        # What everyone is being told, and what they are to be told next.
        self._telling = False
        self._next: Epoch | None = None
        # The nonce of the release that its first heir was told of before it was known to count.
        self._there = ""
        # The release that the heirs after the first are still to be told of.
        self._released: Epoch | None = None

    def note(self, notice: Notice, head: Seen | None) -> None:
        """Tell others, where what has happened is news to them and can be read by now."""
        record = head.record if head is not None else None
        if record is None:
            return
        match notice:
            case NoteTenureBegan():
                self.news(record)
            case SettlePublish(epoch=epoch) if epoch is not None:
                self.news(record)
            case NoteReleased(epoch=epoch) if epoch is not None:
                self.released(record)
            case HeadChanged() if record.kind == "release":
                self.noticed(record)

    def there(self, record: Epoch) -> None:
        """The release `record` of this node's can be read: its first heir may look, whether or not it counts."""
        self._tell_heir(record)
        self._there = record.nonce

    def released(self, record: Epoch) -> None:
        """This node has released: its first heir may follow now, and was told when the release could be read."""
        if record.nonce != self._there:
            self._tell_heir(record)
        self._released = record
        self._world.call_later(self._later_s, self.remind)

    def remind(self) -> None:
        """Tell the next heirs of the release as well, if nobody has followed that this node knows of."""
        record, self._released = self._released, None
        if record is None or self._head() > record.epoch:
            return
        for node in heirs(record)[1:_HEIRS]:
            self._to(record, node)

    def noticed(self, record: Epoch) -> None:
        """This node has read a release of another's: perhaps its heir was not told."""
        order = heirs(record)
        if record.leader.node != self._node and order and order[0] != self._node:
            self._tell_heir(record)

    def news(self, record: Epoch) -> None:
        """This node leads, or has published, in `record`: everyone is to know. The newest of several is told."""
        self._next = record
        if not self._telling:
            self._telling = True
            self._begin()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _tell_heir(self, record: Epoch) -> None:
        for node in heirs(record)[:1]:
            self._to(record, node)

    def _to(self, record: Epoch, node: str) -> None:
        places = [place for place in (_place(record, node),) if place]
        self.sent += self._send(places, self._cluster, record.epoch, node=node)

    def _begin(self) -> None:
        record, self._next = self._next, None
        if record is None:
            self._telling = False
            return
        others = (row for row in record.topology if row.node != self._node and row.status != "gone")
        places = tuple(dict.fromkeys(row.hints for row in others if isinstance(row.hints, str)))
        self._wave(places, record.epoch)

    def _wave(self, places: tuple[str, ...], epoch: int) -> None:
        self.sent += self._send(places[:_WAVE], self._cluster, epoch)
        rest = places[_WAVE:]
        self._world.call_later(_WAVE_S, (lambda: self._wave(rest, epoch)) if rest else self._begin)


def tell_heirs(record: Epoch, send: Send = send) -> int:
    """Tell the first heirs of the release `record`, all at once, that it is there; to how many it was sent.

    For whoever has released for a node that is dead; where that node listened nowhere, it sent no hints either.
    """
    if not _place(record, record.leader.node):
        return 0
    sent = 0
    for node in heirs(record)[:_HEIRS]:
        places = [place for place in (_place(record, node),) if place]
        sent += send(places, record.cluster, record.epoch, node=node)
    return sent


def _place(record: Epoch, node: str) -> str:
    return next((row.hints for row in record.topology if row.node == node and isinstance(row.hints, str)), "")
