"""What a cluster or a node shows of itself: frozen values, for reading only."""

from __future__ import annotations

import msgspec

from holocron.records import Beacon, Cause, Identity, Leader, Member, State, Status

__all__ = ["GcResult", "LeaderView", "MemberView", "NodeView", "Tenure", "Topology"]


class Tenure(msgspec.Struct, frozen=True, kw_only=True):
    """One unbroken leadership. `began` and `ended` are when its first and last epoch were written, by the wall clock
    of who wrote them; `ended` is None while nobody has followed and it was not released."""

    term: int
    leader: Leader
    cause: Cause
    first_epoch: int
    last_epoch: int
    began: str
    ended: str | None
    released: bool


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's view of everyone, as it stands in the lock file of `epoch`."""

    epoch: int
    term: int
    leader: Leader
    members: tuple[Member, ...]


class LeaderView(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the newest epoch. `age_s` is how long ago it was written by the store's own clock, None where the
    store does not say; `expired` follows from it, for people: no rule reads either."""

    node: str
    name: str
    address: str
    incarnation: int
    epoch: int
    term: int
    ttl_s: float
    cause: Cause
    written: str
    value: bytes | None
    age_s: float | None
    released: bool
    expired: bool | None


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One node: the leader's row of it, and what its own beacon last said. `rank` is None for a node that the leader
    has not seen yet; `epoch`, `written` and `stopped` are the beacon's, None and False where there is none."""

    node: str
    incarnation: int
    status: Status
    rank: int | None
    priority: int
    standing: bool
    name: str
    address: str
    labels: dict[str, str]
    epoch: int | None
    written: str | None
    stopped: bool


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """All that the store knows of one node."""

    identity: Identity
    state: State | None
    beacon: Beacon | None


class GcResult(msgspec.Struct, frozen=True, kw_only=True):
    """What retention took out of the chain: epochs `first` to `last`, None where nothing went, and the floor now."""

    removed: int
    first: int | None
    last: int | None
    floor: int
