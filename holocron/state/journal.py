"""The journal's dealings with its chain: the fence, the writing of a slot, and the reading of what was acknowledged.

All incarnations of a node share one sequence of slots. Each begins with a *fence*, and from then on no older
incarnation can get an append acknowledged: its next slot in order is either the fence's own or behind it (I9).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holocron.errors import RecordUnreadable
from holocron.layout import journal_floor_key, journal_prefix
from holocron.records import Floor, encode
from holocron.state.slots import Slot, pack, unpack
from holocron.state.writer import WINDOW, Batch
from holocron.store.base import (
    Absent,
    Answer,
    Deadline,
    Denied,
    Found,
    Oversize,
    Procedure,
    Reply,
    Store,
    Together,
    Unclear,
)
from holocron.store.chain import (
    Chain,
    Created,
    Dishonest,
    FloorRead,
    Lost,
    Orphan,
    Refused,
    Trouble,
    Unknown,
)
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace

__all__ = [
    "Author",
    "Fenced",
    "Raised",
    "Spoilt",
    "Void",
    "Wrote",
    "journal_chain",
    "raise_fence",
    "read_slots",
    "write",
]


class Author(msgspec.Struct, frozen=True):
    """Who writes: one incarnation of one node."""

    cluster: str
    node: str
    incarnation: int


class Wrote(msgspec.Struct, frozen=True):
    """The batch is durable, and above the floor."""


class Void(msgspec.Struct, frozen=True):
    """The slot holds what an older incarnation wrote behind the fence: no part of the journal."""


class Fenced(msgspec.Struct, frozen=True):
    """A newer incarnation has the journal: nothing more will be acknowledged here."""

    error: str


class Spoilt(msgspec.Struct, frozen=True):
    """The journal holds what it cannot hold: a damaged slot, a gap, a stranger's object. Nothing is overwritten."""

    error: str


class Raised(msgspec.Struct, frozen=True):
    """The fence stands in `slot`; the journal before it begins at `floor`."""

    slot: int
    floor: int


def journal_chain(home: Store, author: Author) -> Chain:
    """The chain of `author`'s journal slots."""
    return Chain(home, journal_prefix(author.node), journal_floor_key(author.node), author.cluster, suffix="")


def raise_fence(
    chain: Chain, author: Author, nonce: Callable[[], str], deadline: Deadline
) -> Procedure[Raised | Fenced | Spoilt | Trouble]:
    """Put this incarnation's fence into the first free slot."""
    while True:
        found = yield from _begun(chain, author, nonce(), deadline)
        if not isinstance(found, FloorRead):
            return found
        listed = yield from chain.entries(found.floor - 1, deadline)
        if isinstance(listed, Trouble):
            return listed
        numbers = [number for entry in listed[0] if (number := chain.number(entry.key)) is not None]
        free = found.floor
        for number in numbers:
            if number != free:
                break
            free += 1
        proof = yield from _proof(chain, author, free, [number for number in numbers if number > free], deadline)
        if isinstance(proof, Trouble):
            return proof
        if proof is not None:
            # What was in the free slot is gone, or there was a LIST of several pages, or retention, and slots came and
            # went meanwhile.
            reply = yield from chain.read(free, deadline)
            gap = yield from _missing(chain, free, chain.key(proof), reply.answer, deadline)
            if gap is not None:
                return gap
            continue
        # Whoever was resumed since has its fence below `free`, and behind it only its own slots and, within the window,
        # void ones. To fence behind it would put an object where that incarnation never expects one.
        before = yield from read_slots(chain, author, max(found.floor, free - WINDOW), free - 1, deadline)
        if isinstance(before, Absent):
            continue
        if isinstance(before, Spoilt | Trouble):
            return before
        newest = max((slot.incarnation for slot in before), default=0)
        if newest > author.incarnation:
            return Fenced(f"{chain.key(free - 1)} is behind incarnation {newest}'s fence: this is {author.incarnation}")
        record = _record(author, nonce(), free, "fence", 0, ())
        outcome = yield from chain.create(free, pack(record), deadline)
        match outcome:
            case Created():
                return Raised(free, found.floor)
            case Lost(found=there):
                met = _met(chain, author, free, there)
                if isinstance(met, Fenced) or (isinstance(met, Spoilt) and not _own_fence(chain, author, free, there)):
                    return met
            case Orphan():
                continue
            case Refused(error=error, denied=denied):
                return Trouble(error, denied)
            case Unknown(error=error):
                return Trouble(error)
            case Dishonest(error=error):
                return Spoilt(error)


def _proof(
    chain: Chain, author: Author, free: int, behind: list[int], deadline: Deadline
) -> Procedure[int | Trouble | None]:
    """A slot `behind` the one that is `free` that shows that something was in it once, if there is one.

    No incarnation was ever a whole window ahead of a free slot; and a fence stands in the first free one, so that all
    those before it were taken. Entries within the window show nothing: they may have been under way at a crash.
    """
    if not behind or behind[-1] >= free + WINDOW:
        return behind[-1] if behind else None
    reply = yield Together(tuple(chain.read(number, deadline) for number in behind))
    for number, told in zip(behind, reply.results, strict=True):
        assert isinstance(told, Reply)
        match told.answer:
            case Found(body=body):
                try:
                    slot = unpack(Slot, body, chain.key(number), author.cluster, author.node, number)
                except RecordUnreadable:
                    # It is met when it is somebody's turn to write there.
                    continue
                if slot.kind == "fence":
                    return number
            case Denied(error=error):
                return Trouble(error, denied=True)
            case Unclear(error=error):
                return Trouble(error)
    return None


def _missing(
    chain: Chain, number: int, behind: str, answer: Answer | None, deadline: Deadline
) -> Procedure[Spoilt | Trouble | None]:
    """What `answer`, to a read of slot `number`, says of it: None where it is there, or below the floor by now."""
    match answer:
        case Found() | Oversize():
            return None
        case Denied(error=error):
            return Trouble(error, denied=True)
        case Absent():
            read = yield from chain.floor(deadline)
            if isinstance(read, FloorRead) and read.floor > number:
                return None
            if isinstance(read, FloorRead):
                return Spoilt(
                    f"{chain.key(number)} is gone, the floor is {read.floor} and {behind} is there: "
                    "the journal has a gap"
                )
            return Spoilt(read.error) if isinstance(read, Dishonest) else read
        case Unclear(error=error):
            return Trouble(error)
    return Trouble(f"{chain.key(number)}: {type(answer).__name__} is no answer to a read")


def _begun(chain: Chain, author: Author, nonce: str, deadline: Deadline) -> Procedure[FloorRead | Spoilt | Trouble]:
    """The journal's floor; it is written before the first slot, so a journal without one has no slots either."""
    assert chain.floor_key is not None
    read = yield from chain.floor(deadline)
    if isinstance(read, FloorRead | Trouble):
        return read
    listed = yield from chain.entries(0, deadline)
    if isinstance(listed, Trouble):
        return listed
    if listed[0]:
        # Another incarnation may have begun the journal since the floor was read; it wrote the floor before any slot.
        again = yield from chain.floor(deadline)
        return Spoilt(f"{again.error}; and there is {listed[0][0].key}") if isinstance(again, Dishonest) else again
    result = yield from replace(
        chain.store, chain.floor_key, encode(Floor(cluster=author.cluster, nonce=nonce, floor=1)), None, deadline
    )
    match result:
        case Replaced(etag=etag):
            return FloorRead(1, etag)
        case NotDone(error=error, denied=denied):
            return Trouble(error, denied)
        case Unsettled(error=error):
            return Trouble(error)
        case Held():
            again = yield from chain.floor(deadline)
            return Spoilt(again.error) if isinstance(again, Dishonest) else again


def write(
    chain: Chain, author: Author, batch: Batch, nonce: str, deadline: Deadline
) -> Procedure[Wrote | Void | Fenced | Spoilt | Unknown]:
    """Write `batch` into its slot. After `Unknown` it has to be called again with the same `nonce` until it is settled:
    until then nothing behind this slot may be acknowledged (I10).
    """
    body = pack(_record(author, nonce, batch.slot, "entries", batch.first, batch.entries))
    outcome = yield from chain.create(batch.slot, body, deadline)
    match outcome:
        case Created():
            return Wrote()
        case Lost(found=there):
            return _met(chain, author, batch.slot, there)
        case Orphan(floor=floor):
            return Fenced(f"{chain.key(batch.slot)} lies below the floor {floor}: a newer incarnation went on long ago")
        case Refused(error=error) | Unknown(error=error):
            return Unknown(error)
        case Dishonest(error=error):
            return Spoilt(error)


def _own_fence(chain: Chain, author: Author, number: int, there: Found | Oversize | Absent) -> bool:
    """Whether an earlier try of this very process, whose answer was lost, has landed meanwhile."""
    if not isinstance(there, Found):
        return False
    try:
        slot = unpack(Slot, there.body, chain.key(number), author.cluster, author.node, number)
    except RecordUnreadable:
        return False
    return slot.kind == "fence" and slot.incarnation == author.incarnation


def _met(
    chain: Chain, author: Author, number: int, there: Found | Oversize | Absent
) -> Void | Fenced | Spoilt | Unknown:
    """What it means that someone else's object is in slot `number`."""
    key = chain.key(number)
    if isinstance(there, Absent):
        return Unknown(f"{key} was there a moment ago and is gone")
    if isinstance(there, Oversize):
        return Spoilt(f"{key} is {there.size} bytes long; none is: it was not written by Holocron")
    try:
        slot = unpack(Slot, there.body, key, author.cluster, author.node, number)
    except RecordUnreadable as error:
        return Spoilt(str(error))
    if slot.incarnation > author.incarnation:
        return Fenced(f"{key} is incarnation {slot.incarnation}'s: it has taken the place of {author.incarnation}")
    if slot.incarnation < author.incarnation:
        return Void()
    return Spoilt(f"{key} is of this very incarnation {author.incarnation} and holds other bytes than were written")


def _record(author: Author, nonce: str, slot: int, kind: str, first: int, entries: tuple[bytes, ...]) -> Slot:
    return Slot(
        cluster=author.cluster,
        nonce=nonce,
        node=author.node,
        incarnation=author.incarnation,
        slot=slot,
        kind="fence" if kind == "fence" else "entries",
        first=first,
        entries=entries,
    )


def read_slots(
    chain: Chain, author: Author, first: int, last: int, deadline: Deadline
) -> Procedure[tuple[Slot, ...] | Spoilt | Trouble | Absent]:
    """Slots `first` to `last`, read side by side; `Absent` where retention took some out meanwhile."""
    numbers = range(first, last + 1)
    reply = yield Together(tuple(chain.read(number, deadline) for number in numbers))
    slots: list[Slot] = []
    for number, told in zip(numbers, reply.results, strict=True):
        assert isinstance(told, Reply)
        key = chain.key(number)
        match told.answer:
            case Found(body=body):
                try:
                    slots.append(unpack(Slot, body, key, author.cluster, author.node, number))
                except RecordUnreadable as error:
                    return Spoilt(str(error))
            case Oversize(size=size):
                return Spoilt(f"{key} is {size} bytes long; none is: it was not written by Holocron")
            case answer:
                gap = yield from _missing(chain, number, chain.key(last), answer, deadline)
                return gap if gap is not None else Absent()
    return tuple(slots)
