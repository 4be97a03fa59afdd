"""What a node tells those who subscribe to it. `Deposed` never comes without an `Elected` before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holocron.protocol.messages import Reason
from holocron.records import Leader

if TYPE_CHECKING:
    from holocron.runtime.lease import Lease
    from holocron.runtime.views import Topology

__all__ = [
    "Deposed",
    "Elected",
    "Event",
    "LeaderChanged",
    "Reason",
    "StoreBack",
    "StoreUnreachable",
    "Superseded",
    "TopologyChanged",
]


class Event(msgspec.Struct, frozen=True):
    """The base of all events."""


class Elected(Event, frozen=True):
    """This node leads; `lease` says for how long it may believe so."""

    lease: Lease


class Deposed(Event, frozen=True):
    """This node leads no more, and why."""

    reason: Reason


class LeaderChanged(Event, frozen=True):
    """Another leads than before; `leader` is None after a release or where the lock file cannot be read."""

    leader: Leader | None
    epoch: int
    term: int | None


class TopologyChanged(Event, frozen=True):
    """The leader's view of everyone is another than before."""

    topology: Topology


class StoreUnreachable(Event, frozen=True):
    """The store has stopped answering this node."""

    error: str


class StoreBack(Event, frozen=True):
    """The store answers this node again."""


class Superseded(Event, frozen=True):
    """A newer incarnation of this node has taken its place; this one has stopped."""

    incarnation: int
