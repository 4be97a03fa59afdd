"""Checkpoints: a snapshot written whole, verified, and only then the floor rises and old slots go.

A crash between any two steps loses nothing. Two checkpoints are kept, with every slot that the older one needs: where
the newest turns out to be damaged, the one before it serves.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holocron.errors import RecordUnreadable
from holocron.layout import checkpoint_prefix
from holocron.state.journal import Author, Spoilt
from holocron.state.slots import SNAPSHOT_LIMIT_BYTES, Checkpoint, pack, unpack
from holocron.store.base import Absent, Deadline, Delete, Denied, Found, Get, Oversize, Procedure, Store, Unclear
from holocron.store.chain import Chain, Dishonest, FloorRead, Trouble
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace
from holocron.store.retry import asked

__all__ = ["KEPT", "Newest", "checkpoint_chain", "newest", "prune", "take"]

# How many checkpoints stay: the newest, and one to fall back to.
KEPT = 2


class Newest(msgspec.Struct, frozen=True):
    """The checkpoint to begin from (None: the first slot), and what kept newer ones from serving."""

    checkpoint: Checkpoint | None
    damaged: tuple[str, ...] = ()


def checkpoint_chain(home: Store, author: Author) -> Chain:
    """The numbered checkpoints of `author`'s node; no number has to follow another."""
    return Chain(home, checkpoint_prefix(author.node), None, author.cluster, suffix="")


def take(
    checkpoints: Chain, author: Author, whose: int, slot: int, position: int, snapshot: bytes,
    nonce: Callable[[], str], deadline: Deadline,
) -> Procedure[Checkpoint | Spoilt | Trouble]:  # fmt: skip
    """Write `snapshot`, the state after `position` in `slot` of incarnation `whose`, and read it back."""
    record = Checkpoint(
        cluster=author.cluster,
        nonce=nonce(),
        node=author.node,
        incarnation=whose,
        slot=slot,
        position=position,
        snapshot=snapshot,
    )
    key, body = checkpoints.key(slot), pack(record)
    result = yield from replace(checkpoints.store, key, body, None, deadline)
    match result:
        case NotDone(error=error, denied=denied):
            return Trouble(error, denied)
        case Unsettled(error=error):
            return Trouble(error)
        case Held():
            # There is one of an entry in the same slot already, and a replay from that one is as good.
            pass
        case Replaced():
            pass
    there = yield from _read(checkpoints, author, slot, deadline)
    if isinstance(there, Checkpoint | Spoilt | Trouble):
        return there
    return Trouble(f"{key} was written and is not there")


def newest(checkpoints: Chain, author: Author, deadline: Deadline) -> Procedure[Newest | Trouble]:
    """The newest checkpoint that can be read."""
    while True:
        listed = yield from checkpoints.entries(0, deadline)
        if isinstance(listed, Trouble):
            return listed
        damaged: list[str] = []
        for entry in reversed(listed[0]):
            number = checkpoints.number(entry.key)
            assert number is not None
            found = yield from _read(checkpoints, author, number, deadline)
            if isinstance(found, Checkpoint):
                return Newest(found, tuple(damaged))
            if isinstance(found, Trouble):
                return found
            if isinstance(found, Absent):
                # It was let go, and so there are newer ones than were listed.
                break
            damaged.append(found.error)
        else:
            return Newest(None, tuple(damaged))


def prune(
    slots: Chain, checkpoints: Chain, author: Author, keep_age_s: float, nonce: Callable[[], str], deadline: Deadline
) -> Procedure[int | Spoilt | Trouble]:
    """Let go what two good checkpoints make unnecessary: the floor rises first, then slots go, then checkpoints.

    Args:
        keep_age_s: slots younger than this stay, for someone may be reading them.
    """
    listed = yield from checkpoints.entries(0, deadline)
    if isinstance(listed, Trouble):
        return listed
    good: list[int] = []
    old: list[str] = []
    for entry in reversed(listed[0]):
        number = checkpoints.number(entry.key)
        assert number is not None
        if len(good) >= KEPT:
            old.append(entry.key)
            continue
        found = yield from _read(checkpoints, author, number, deadline)
        if isinstance(found, Trouble):
            return found
        if isinstance(found, Checkpoint):
            good.append(number)
    if len(good) < KEPT:
        return 0
    raised = yield from slots.raise_floor(good[-1], nonce(), deadline)
    if not isinstance(raised, FloorRead):
        return Spoilt(raised.error) if isinstance(raised, Dishonest) else raised
    gone = yield from _sweep(slots, raised.floor, keep_age_s, deadline)
    if isinstance(gone, Trouble):
        return gone
    for key in old:
        answer = yield from asked(checkpoints.store, Delete(key), deadline)
        if isinstance(answer, Denied | Unclear):
            return Trouble(answer.error, isinstance(answer, Denied))
    return gone


def _sweep(slots: Chain, floor: int, keep_age_s: float, deadline: Deadline) -> Procedure[int | Trouble]:
    listed = yield from slots.entries(0, deadline)
    if isinstance(listed, Trouble):
        return listed
    # Ages by the server's one clock, against its newest object: never more than the true age.
    newest_s = max((entry.modified_s for entry in listed[0] if entry.modified_s is not None), default=0.0)
    gone = 0
    for entry in listed[0]:
        number = slots.number(entry.key)
        age_s = newest_s - entry.modified_s if entry.modified_s is not None else 0.0
        if number is None or number >= floor or age_s < keep_age_s:
            break
        answer = yield from asked(slots.store, Delete(entry.key), deadline)
        if isinstance(answer, Denied | Unclear):
            return Trouble(answer.error, isinstance(answer, Denied))
        gone += 1
    return gone


def _read(
    checkpoints: Chain, author: Author, number: int, deadline: Deadline
) -> Procedure[Checkpoint | Spoilt | Trouble | Absent]:
    key = checkpoints.key(number)
    answer = yield from asked(checkpoints.store, Get(key, SNAPSHOT_LIMIT_BYTES + 64 * 1024), deadline)
    match answer:
        case Found(body=body):
            try:
                return unpack(Checkpoint, body, key, author.cluster, author.node, number)
            except RecordUnreadable as error:
                return Spoilt(str(error))
        case Oversize(size=size):
            return Spoilt(f"{key} is {size} bytes long; none is: it was not written by Holocron")
        case Absent():
            return answer
        case Denied(error=error):
            return Trouble(error, denied=True)
        case Unclear(error=error):
            return Trouble(error)
    return Trouble(f"{key}: {type(answer).__name__} is no answer to a read")
