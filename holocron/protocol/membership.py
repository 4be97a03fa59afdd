"""Who is there: from listings of `members/` to the view that rides in the next lock file. Pure.

A leader LISTs the beacons once per heartbeat and learns from the ETags alone who still writes. It reads a beacon only
where it must: the length of the object, modulo 1024, says the beacon's revision, and the revision rises only with
what others should read. It goes on rising from one incarnation of a node to the next, or a resumed node whose
revision began anew could look like its former self.

Time is the leader's own (`elapsed_waiter_s`): a suspend of the leader's machine marks nobody gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from holocron.clock import Instant, elapsed_waiter_s
from holocron.records import VIEW_LIMIT_BYTES, VIEW_LIMIT_MEMBERS, Beacon, Member, Status, rows

__all__ = [
    "ALIVE_INTERVALS",
    "GONE_INTERVALS",
    "Listing",
    "Roll",
    "Sighting",
    "beacon_read",
    "beacon_spoilt",
    "beacons_read",
    "fitted",
    "form",
    "inherited",
    "padded",
    "revision_shown",
    "roll_call",
    "standing_of",
]

# How many heartbeat intervals without a change until a node is late, and until it is gone.
ALIVE_INTERVALS = 2.5
GONE_INTERVALS = 6.0
# The revision shows in the length of the object modulo this.
_TURN = 1024

# What a LIST told: node id, ETag and size of each beacon.
Listing: TypeAlias = tuple[tuple[str, str, int], ...]

_WORSE: dict[Status, int] = {"alive": 0, "late": 1, "gone": 2}


class Sighting(msgspec.Struct, frozen=True):
    """What one leader knows of one beacon.

    `seen` is when the ETag last changed, on the leader's own clock; `fresh` says that this leader saw it change
    at all (its first sight of a beacon may be of one that was left behind long ago). `beacon` is what it last read;
    `spoilt` says that what lies there now was read and is no beacon, so that a stranger's object is read only once.
    """

    etag: str
    size: int
    seen: Instant
    fresh: bool = False
    beacon: Beacon | None = None
    status: Status = "alive"
    spoilt: bool = False


class Roll(msgspec.Struct, frozen=True):
    """All beacons listed, by node id (never changed in place), and the view that was formed from them last."""

    sightings: dict[str, Sighting]
    members: tuple[Member, ...]


def padded(body: bytes, revision: int) -> bytes:
    """`body`, a beacon's JSON, with blanks before its final newline, so that its length shows `revision`."""
    bare = body.rstrip()
    blanks = (revision - len(bare) - 1) % _TURN
    return bare + b" " * blanks + b"\n"


def revision_shown(size: int) -> int:
    """The revision, modulo 1024, that a beacon of `size` bytes shows."""
    return size % _TURN


def inherited(members: tuple[Member, ...]) -> Roll:
    """Where a new leader begins: with the view of the last lock file, and no beacon seen yet."""
    return Roll({}, members)


def roll_call(roll: Roll, listed: Listing, now: Instant) -> tuple[Roll, tuple[str, ...]]:
    """The roll after a listing that was read at `now`, and the ids whose beacons must be read.

    Those are: a beacon that nobody has told us of; one whose length shows another revision than the one read; one
    that is known from the last leader's view alone and has changed since. One that must be read and could not be is
    named again by the next call.
    """
    known = {member.node for member in roll.members}
    sightings: dict[str, Sighting] = {}
    wanted: list[str] = []
    for node, etag, size in listed:
        before = roll.sightings.get(node)
        if before is None:
            sighting = Sighting(etag, size, now)
        elif before.etag != etag:
            sighting = Sighting(etag, size, now, True, before.beacon, before.status)
        else:
            sighting = before
        sightings[node] = sighting
        if sighting.spoilt:
            wanting = False
        elif sighting.beacon is None:
            wanting = sighting.fresh or node not in known
        else:
            wanting = revision_shown(size) != sighting.beacon.revision % _TURN
        if wanting:
            wanted.append(node)
    return Roll(sightings, roll.members), tuple(wanted)


def beacons_read(roll: Roll, beacons: Sequence[Beacon], now: Instant) -> Roll:
    """The roll after `beacons` were read at `now`; what is older than what is known already changes nothing."""
    known = {member.node: member for member in roll.members}
    sightings = dict(roll.sightings)
    for beacon in beacons:
        sighting = sightings.get(beacon.node)
        if sighting is not None:
            sightings[beacon.node] = _after_reading(sighting, beacon, known.get(beacon.node), now)
    return Roll(sightings, roll.members)


def beacon_read(roll: Roll, beacon: Beacon, now: Instant) -> Roll:
    """The roll after one beacon was read, see `beacons_read`."""
    return beacons_read(roll, (beacon,), now)


def _after_reading(sighting: Sighting, beacon: Beacon, member: Member | None, now: Instant) -> Sighting:
    if sighting.beacon is not None:
        known = sighting.beacon
        if (beacon.incarnation, beacon.revision) < (known.incarnation, known.revision):
            return sighting
        if beacon.nonce != known.nonce and not sighting.fresh:
            # It was rewritten between two reads of ours, which is a sign of life that no listing has shown yet.
            sighting = msgspec.structs.replace(sighting, fresh=True, seen=now)
    elif member is not None and member.incarnation > beacon.incarnation:
        return sighting
    return msgspec.structs.replace(sighting, beacon=beacon)


def beacon_spoilt(roll: Roll, node: str) -> Roll:
    """The roll after what lies under the beacon's key of `node` was read and is no beacon."""
    sighting = roll.sightings.get(node)
    if sighting is None:
        return roll
    return Roll({**roll.sightings, node: msgspec.structs.replace(sighting, spoilt=True)}, roll.members)


def form(roll: Roll, now: Instant, every_s: float) -> Roll:
    """The roll with its members as they stand at `now`; to be called after a listing, for what is not listed goes.

    Args:
        every_s: the seconds between two listings of this leader. A node that beats faster than that is judged by
            this, for no more of it can be seen; one that beats more slowly is judged by its own interval.
    """
    before = {member.node: member for member in roll.members}
    rank = max((member.rank for member in roll.members), default=0)
    sightings: dict[str, Sighting] = {}
    members: list[Member] = []
    for node in sorted(roll.sightings, key=lambda one: (_hint(roll.sightings[one]), one)):
        sighting, known = roll.sightings[node], before.get(node)
        status = _status(sighting, known, now, every_s)
        sightings[node] = msgspec.structs.replace(sighting, status=status)
        if sighting.beacon is None:
            if known is not None:
                members.append(msgspec.structs.replace(known, status=status))
            continue
        if known is None:
            rank += 1
        member = _member(sighting.beacon, status, rank if known is None else known.rank)
        # The very row that was there, where nothing changed: views are compared often, and kept by many.
        members.append(known if known == member else member)
    view = tuple(sorted(members, key=lambda member: (member.rank, member.node)))
    return Roll(sightings, roll.members if view == roll.members else view)


def standing_of(members: tuple[Member, ...], node: str, standing: bool) -> tuple[Member, ...]:
    """The view `members` with what is known of `node` from itself: whether it stands."""
    return tuple(
        [
            msgspec.structs.replace(member, standing=standing)
            if member.node == node and member.standing != standing
            else member
            for member in members
        ]
    )


def fitted(members: tuple[Member, ...], limit_bytes: int = VIEW_LIMIT_BYTES) -> tuple[Member, ...]:
    """`members` as a lock file can hold them: `members` itself, unless that would be more than anyone could read.

    A lock file that nobody can read would end leadership, and a view is worth less than that. So what is too much goes:
    all labels first, then names, then addresses, and at last rows: of those that are gone before those that are late,
    of those that do not stand before those that do, the youngest first. Who has no row is no worse a member, but
    follows after all who have one.
    """
    if len(members) <= VIEW_LIMIT_MEMBERS and len(rows(members)) <= limit_bytes:
        return members
    sizes = _sizes(members)
    shorter: tuple[dict[str, object], ...] = ({"labels": {}}, {"name": ""}, {"address": ""})
    for less in shorter:
        if sum(sizes) <= limit_bytes:
            break
        members = tuple(msgspec.structs.replace(member, **less) for member in members)
        sizes = _sizes(members)
    ranked = sorted(
        zip(members, sizes, strict=True), key=lambda one: (_WORSE[one[0].status], not one[0].standing, one[0].rank)
    )
    kept: list[Member] = []
    room = limit_bytes
    for member, size in ranked[:VIEW_LIMIT_MEMBERS]:
        room -= size
        if room < 0:
            break
        kept.append(member)
    return tuple(sorted(kept, key=lambda member: (member.rank, member.node)))


def _sizes(members: tuple[Member, ...]) -> list[int]:
    # What divides two rows is some bytes more.
    return [len(rows((member,))) + 8 for member in members]


def _hint(sighting: Sighting) -> int:
    """Where several are new at once, they are ranked in the order in which an earlier leader had them."""
    return 0 if sighting.beacon is None else sighting.beacon.rank_hint


def _status(sighting: Sighting, known: Member | None, now: Instant, every_s: float) -> Status:
    if sighting.beacon is not None and sighting.beacon.stopped:
        return "gone"
    interval_s = every_s if sighting.beacon is None else max(every_s, sighting.beacon.every_ms / 1000)
    intervals = elapsed_waiter_s(sighting.seen, now) / interval_s
    status: Status = "alive" if intervals <= ALIVE_INTERVALS else "late" if intervals <= GONE_INTERVALS else "gone"
    if not sighting.fresh and known is not None and _WORSE[known.status] > _WORSE[status]:
        # Only a sign of life makes anyone better than the last leader had them.
        return known.status
    return status


def _member(beacon: Beacon, status: Status, rank: int) -> Member:
    return Member(
        node=beacon.node,
        incarnation=beacon.incarnation,
        status=status,
        rank=rank,
        priority=beacon.priority,
        standing=beacon.standing and not beacon.stopped,
        name=beacon.name,
        address=beacon.address,
        labels=beacon.labels,
        hints=beacon.hints,
    )
