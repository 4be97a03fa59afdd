"""Presence: this node's own beacon, and, while it leads, its look at everyone else's (design, section 5)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET
from msgspec.structs import replace as changed

from holocron.clock import Instant, stamp
from holocron.errors import RecordUnreadable
from holocron.layout import EPOCH_FLOOR, EPOCHS, MEMBERS, identity_key, member_id, member_key
from holocron.protocol.membership import Roll, beacon_spoilt, beacons_read, form, padded, roll_call
from holocron.records import Beacon, Identity, decode, encode
from holocron.store.base import (
    Absent,
    Deadline,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Store,
    Together,
    Unclear,
)
from holocron.store.chain import Chain, Dishonest, Trouble
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace
from holocron.store.retry import asked

__all__ = ["Beaten", "NewerFound", "Obstructed", "heartbeat", "look_at_members"]

# How many beacons are read side by side: a crowd that is new must not keep a renewal waiting for a thread.
_AT_ONCE = 8
# The answer of a read that found what is no beacon.
_SPOILT = object()


class Beaten(msgspec.Struct, frozen=True):
    """The beacon stands; `etag` is what the next heartbeat replaces, and `beat` which heartbeat it is."""

    etag: str
    beat: int


class NewerFound(msgspec.Struct, frozen=True):
    """A newer incarnation of this node has taken its place."""

    incarnation: int


class Obstructed(msgspec.Struct, frozen=True):
    """Something that no node wrote lies where the beacon belongs. It is not overwritten: an operator has to move it."""

    error: str


def heartbeat(
    store: Store, home: Store, beacon: Beacon, etag: str | None, confirmed: int, deadline: Deadline
) -> Procedure[Beaten | NewerFound | Obstructed | Trouble | Dishonest]:
    """Rewrite this node's beacon, if it is still this incarnation's or an earlier one's: one PUT.

    Args:
        confirmed: the last beat of this session that is known to stand; nothing older may ever be seen again (I7).
    """
    key = member_key(beacon.node)
    body = padded(encode(beacon), beacon.revision)
    for _ in range(4):
        result = yield from replace(store, key, body, etag, deadline)
        match result:
            case Replaced(etag=now):
                return Beaten(now, beacon.beat)
            case NotDone(error=error, denied=denied):
                return Trouble(error, denied)
            case Unsettled(error=error):
                return Trouble(error)
            case Held(found=Found(body=there, etag=now)):
                try:
                    other = decode(Beacon, there, key, beacon.cluster)
                except RecordUnreadable as error:
                    return Obstructed(str(error))
                if other.incarnation > beacon.incarnation:
                    return NewerFound(other.incarnation)
                former = other.incarnation < beacon.incarnation
                if confirmed and (former or (other.session == beacon.session and other.beat < confirmed)):
                    return Dishonest(
                        f"{key} was at beat {confirmed} of incarnation {beacon.incarnation} and is at "
                        f"beat {other.beat} of incarnation {other.incarnation}: the store was rolled back"
                    )
                if other.session == beacon.session and other.beat > beacon.beat:
                    # A later heartbeat of our own was faster, and it may be the goodbye.
                    return Beaten(now, other.beat)
                etag = now
            case Held(found=Absent()):
                why = yield from _why_gone(store, home, beacon, deadline)
                if why is not None:
                    return why
                etag = None
            case Held():
                return Obstructed(f"{key} is larger than any beacon: it was not written by Holocron")
    return Trouble(f"{key} keeps changing under node {beacon.node}")


def _why_gone(
    store: Store, home: Store, beacon: Beacon, deadline: Deadline
) -> Procedure[NewerFound | Trouble | Dishonest | None]:
    """A beacon that is gone was removed by an operator (`node forget` raises the incarnation), by accident (None), or
    the whole prefix went with it, which a node with a home of its own and no wish to lead would never see elsewhere.
    """
    key = identity_key(beacon.node)
    answer = yield from asked(home, Get(key), deadline)
    match answer:
        case Found(body=body):
            try:
                identity = decode(Identity, body, key, beacon.cluster)
            except RecordUnreadable as error:
                return Trouble(str(error))
            if identity.incarnation < beacon.incarnation:
                return Dishonest(f"{key} is back at incarnation {identity.incarnation}: the store was rolled back")
            if identity.incarnation > beacon.incarnation:
                return NewerFound(identity.incarnation)
            chain = Chain(store, EPOCHS, EPOCH_FLOOR, beacon.cluster)
            # The floor first: an epoch that was under way may have landed after the wipe, and is a head like any other.
            floor = yield from chain.floor(deadline)
            if isinstance(floor, Dishonest | Trouble):
                return floor
            head = yield from chain.head(beacon.epoch or None, deadline)
            return head if isinstance(head, Dishonest | Trouble) else None
        case Absent():
            return Dishonest(f"{key} is gone, and node {beacon.node} with it: its home was wiped")
        case Unclear(error=error) | Denied(error=error):
            return Trouble(error)
    return None


def look_at_members(
    store: Store, roll: Roll, cluster: str, every_s: float, now: Callable[[], Instant], deadline: Deadline
) -> Procedure[Roll | Trouble]:
    """The leader's view of everyone: one LIST per thousand members, one GET per beacon that has something to say."""
    listed: list[tuple[str, str, int]] = []
    last: str | None = None
    while True:
        answer = yield from asked(store, List(MEMBERS, last), deadline)
        if isinstance(answer, Denied | Unclear):
            return Trouble(answer.error, isinstance(answer, Denied))
        if not isinstance(answer, Listed):
            return Trouble(f"{MEMBERS}: {type(answer).__name__} is no answer to a list")
        for entry in answer.entries:
            node = member_id(entry.key)
            if node is not None:
                listed.append((node, entry.etag, entry.size))
        if not answer.more or not answer.entries:
            break
        last = answer.entries[-1].key
    roll, wanted = roll_call(roll, tuple(listed), now())
    read: list[Beacon] = []
    for start in range(0, len(wanted), _AT_ONCE):
        if deadline.left_s(now()) <= 0:
            # The next look goes on from here: whoever was read is not wanted any more.
            break
        some = wanted[start : start + _AT_ONCE]
        reply = yield Together(tuple(_beacon(store, node, cluster, deadline) for node in some))
        read += [result for result in reply.results if isinstance(result, Beacon)]
        for node, result in zip(some, reply.results, strict=True):
            if result is _SPOILT:
                roll = beacon_spoilt(roll, node)
    roll = beacons_read(roll, read, now())
    return form(roll, now(), every_s)


def _beacon(store: Store, node: str, cluster: str, deadline: Deadline) -> Procedure[object]:
    key = member_key(node)
    answer = yield from asked(store, Get(key), deadline)
    if isinstance(answer, Oversize):
        return _SPOILT
    if not isinstance(answer, Found):
        return None
    try:
        return decode(Beacon, answer.body, key, cluster)
    except RecordUnreadable:
        # Someone we cannot read: it keeps its place in the listing and gets none in the view.
        return _SPOILT


def first_beacon(
    identity: Identity, former: Beacon | None, home_uri: str, every_ms: int, wall_s: float, hints: str = ""
) -> Beacon:
    """The beacon of a fresh incarnation; its revision goes on from the former one's, so that the leader reads it."""
    return Beacon(
        cluster=identity.cluster,
        nonce=identity.nonce,
        node=identity.node,
        incarnation=identity.incarnation,
        session=identity.session,
        # Where the former beacon could not be read, a step that is no multiple of what the length can show.
        revision=former.revision + 1 if former is not None else identity.incarnation * 37,
        beat=1,
        every_ms=every_ms,
        epoch=0,
        role="solo",
        standing=False,
        stopped=False,
        priority=identity.priority,
        name=identity.name,
        address=identity.address,
        labels=identity.labels,
        home=home_uri,
        written=stamp(wall_s),
        hints=hints or UNSET,
    )


def next_beacon(beacon: Beacon, nonce: str, wall_s: float, **changes: object) -> Beacon:
    """`beacon` for the next heartbeat; its revision rises where anything changed that others should read."""
    told = changed(beacon, **changes)
    worth_reading = (told.standing, told.stopped, told.address) != (beacon.standing, beacon.stopped, beacon.address)
    revision = beacon.revision + worth_reading
    return changed(told, nonce=nonce, written=stamp(wall_s), revision=revision, beat=beacon.beat + 1)
