"""What a cluster or a node shows of itself: frozen values, for reading only."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace as changed

from holocron.records import Beacon, Cause, Epoch, Identity, Leader, Member, State, Status

__all__ = [
    "GcResult",
    "LeaderView",
    "MemberView",
    "NodeView",
    "Tenure",
    "Topology",
    "leader_view",
    "member_view",
    "unread_view",
]

# The store's clocks say whole seconds, each rounded as it likes; as rule 11 does.
_CLOCK_SLACK_S = 2.0


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


def remembered(state: State | None) -> Topology | None:
    """The topology that a node knew last, None where it knew of none."""
    if state is None or state.leader is None or state.topology_epoch < 1:
        return None
    return Topology(epoch=state.topology_epoch, term=state.term, leader=state.leader, members=state.topology)


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
    # How much of a pause is left (rule 14), 0 without one.
    paused_s: float = 0.0
    # The last operator's request that it has dealt with.
    control: int = 0


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One node: the leader's row of it, and what its own beacon last said. `rank` is None for a node that the leader
    has not seen yet; `epoch`, `written` and `stopped` are the beacon's, None and False where there is none.

    `unreadable` is None, or why the beacon cannot be read: then the leader's row is all that is known, and where
    there is no row either, nothing but the id is."""

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
    unreadable: str | None = None


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


def leader_view(record: Epoch, age_s: float | None) -> LeaderView:
    """Who holds `record`, the newest epoch, which was written `age_s` ago by the store's own clock."""
    ttl_s = record.ttl_ms / 1000
    released = record.kind == "release"
    expired = None if age_s is None else not released and age_s > ttl_s + _CLOCK_SLACK_S
    return LeaderView(
        node=record.leader.node,
        name=record.leader.name,
        address=record.leader.address,
        incarnation=record.leader.incarnation,
        epoch=record.epoch,
        term=record.term,
        ttl_s=ttl_s,
        cause=record.cause,
        written=record.written,
        value=None if record.published is None else record.published.value,
        age_s=age_s,
        released=released,
        expired=expired,
        control=record.control,
        paused_s=max(0.0, record.paused_ms / 1000 - (age_s or 0.0)) if isinstance(record.paused_ms, int) else 0.0,
    )


def member_view(row: Member | None, beacon: Beacon | None) -> MemberView | None:
    """The leader's row, with what the node itself says where that is newer; None where there is neither."""
    if beacon is None:
        if row is None:
            return None
        return _row_alone(row)
    return MemberView(
        node=beacon.node,
        incarnation=beacon.incarnation,
        # Nobody has judged a node that is not in the view, so it is not called alive.
        status="gone" if beacon.stopped else "late" if row is None else row.status,
        rank=None if row is None else row.rank,
        priority=beacon.priority,
        standing=beacon.standing and not beacon.stopped,
        name=beacon.name,
        address=beacon.address,
        labels=beacon.labels,
        epoch=beacon.epoch,
        written=beacon.written,
        stopped=beacon.stopped,
    )


def unread_view(node: str, row: Member | None, why: str) -> MemberView:
    """A node whose beacon cannot be read: the leader's row, or its id alone, and why."""
    # Nobody has judged a node that is not in the view, so it is not called alive.
    known = row if row is not None else Member(node=node, incarnation=0, status="late", rank=0, priority=0)
    view = _row_alone(known)
    return changed(view, rank=None if row is None else row.rank, unreadable=why)


def _row_alone(row: Member) -> MemberView:
    return MemberView(
        node=row.node,
        incarnation=row.incarnation,
        status=row.status,
        rank=row.rank,
        priority=row.priority,
        standing=row.standing,
        name=row.name,
        address=row.address,
        labels=row.labels,
        epoch=None,
        written=None,
        stopped=False,
    )
