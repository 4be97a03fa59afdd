"""Numbered objects, each created once, with a floor below which they may be gone.

Epochs, control requests and journals are chains. Four rules make a chain safe to build an election on:

* **After every win the floor is read.** A slot below the floor had been trimmed, and whoever re-created it slept
  through that: an orphan, not a win. (A writer may be paused for any time between deciding and writing, so no
  check *before* the write can do this.)
* **The floor rises first, then objects go.** Whoever finds a hole finds a floor above it.
* **The head is never deleted**, so the floor is never above the head and the chain never looks empty again.
* **Only a LIST tells where the head is**, by the unbroken run of numbers from one that is known to be part of the
  chain. A 404 on the next number says "nothing new" and no more; an object behind a gap that the floor does not
  explain is foreign and is not believed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holocron.errors import RecordUnreadable
from holocron.layout import number_of, numbered
from holocron.records import Floor, decode, encode
from holocron.store.base import (
    PAGE,
    Absent,
    Conflict,
    Deadline,
    Delete,
    Deleted,
    Denied,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Reply,
    Store,
    Unclear,
)
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace
from holocron.store.retry import ask, asked

__all__ = [
    "Chain",
    "Created",
    "Dishonest",
    "FloorRead",
    "Head",
    "Lost",
    "NoHead",
    "Orphan",
    "Outcome",
    "Refused",
    "Trouble",
    "Unknown",
]


# --- what comes of a create -----------------------------------------------------------------------------------------


class Created(msgspec.Struct, frozen=True):
    """Won, above the floor: nobody else ever was or will be told that they won this number."""

    number: int
    floor: int


class Lost(msgspec.Struct, frozen=True):
    """Someone else holds the number. `found` is what stands there, Absent where retention has taken it since."""

    number: int
    found: Found | Oversize | Absent


class Orphan(msgspec.Struct, frozen=True):
    """The slot had been trimmed long ago; what we wrote there is no part of the chain and never takes effect."""

    number: int
    floor: int


class Unknown(msgspec.Struct, frozen=True):
    """It may have been created, now or later: neither won nor lost."""

    error: str


class Refused(msgspec.Struct, frozen=True):
    """Certainly not created. `denied` tells a refusal, which stays, from a store that had no time, which passes."""

    error: str
    denied: bool = False


class Dishonest(msgspec.Struct, frozen=True):
    """The chain went backward, or lost what cannot be lost: the store was wiped, rolled back or breaks its word."""

    error: str


class Trouble(msgspec.Struct, frozen=True):
    """A read that did not come through. `denied` tells a refusal from a store that is out of reach."""

    error: str
    denied: bool = False


Outcome = Created | Lost | Orphan | Unknown | Refused | Dishonest


# --- what comes of a look -------------------------------------------------------------------------------------------


class FloorRead(msgspec.Struct, frozen=True):
    """The floor, and the ETag to raise it by."""

    floor: int
    etag: str


class Head(msgspec.Struct, frozen=True):
    """The newest number of the chain: the end of the unbroken run from `start`.

    `stray` is the first number behind a gap that the floor does not explain: a stranger's object, or a lost chain's.
    `etag` is what the newest number was listed with. A read that meets another was late: the number had been trimmed
    meanwhile, and a sleeper has created it again.
    """

    number: int
    start: int
    stray: int | None = None
    etag: str = ""


class NoHead(msgspec.Struct, frozen=True):
    """The chain has not begun. `stray` is as in `Head`."""

    stray: int | None = None


class Chain:
    """The chain of objects under `prefix` of `store`.

    Args:
        floor_key: where its floor lies, or None for a chain that is never trimmed.
        cluster: the uuid that the floor record must carry.
        suffix: what follows the number in a key.
    """

    def __init__(self, store: Store, prefix: str, floor_key: str | None, cluster: str, suffix: str = ".json") -> None:
        self.store = store
        self.prefix = prefix
        self.floor_key = floor_key
        self.cluster = cluster
        self.suffix = suffix

    def key(self, number: int) -> str:
        """The key of object `number`."""
        return numbered(self.prefix, number, self.suffix)

    def number(self, key: str) -> int | None:
        """The number of the object under `key`, or None for a foreign key."""
        return number_of(self.prefix, key, self.suffix)

    def read(self, number: int, deadline: Deadline) -> Procedure[Reply]:
        """What stands at `number`: `Found`, `Oversize`, `Absent` ("nothing new", no more), `Unclear` or `Denied`."""
        return (yield from ask(self.store, Get(self.key(number)), deadline))

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        """Create object `number` with `body`, which must hold a nonce; the same bytes are sent until it is settled.

        Args:
            there: called when it can be read, which is not yet to say that it counts: the floor is still to be read.
        """
        result = yield from replace(self.store, self.key(number), body, None, deadline)
        match result:
            case Replaced():
                if there is not None:
                    there()
                return (yield from self._above_floor(number, deadline))
            case Held(found=found):
                return Lost(number, found)
            case NotDone(error=error, denied=denied):
                return Refused(error, denied)
            case Unsettled(error=error):
                return Unknown(error)

    def trimmed(self, number: int, deadline: Deadline) -> Procedure[bool | Trouble | Dishonest]:
        """Whether `number` was trimmed by now: what a read found there may then be a sleeper's, and is not believed.

        Asked *after* the read. A number that is not below the floor has never been taken out, so what was read there
        is what won it.
        """
        read = yield from self.floor(deadline)
        return number < read.floor if isinstance(read, FloorRead) else read

    def _above_floor(self, number: int, deadline: Deadline) -> Procedure[Outcome]:
        """A win is a win only above the floor, and until the floor is read it is nothing at all (I4)."""
        if self.floor_key is None:
            return Created(number, 1)
        read = yield from self.floor(deadline)
        match read:
            case FloorRead(floor=floor):
                return Orphan(number, floor) if number < floor else Created(number, floor)
            case Trouble(error=error):
                return Unknown(error)
            case Dishonest():
                return read

    def floor(self, deadline: Deadline) -> Procedure[FloorRead | Trouble | Dishonest]:
        """The floor. It is there from genesis on: where it is gone, the prefix was wiped."""
        assert self.floor_key is not None
        answer = yield from asked(self.store, Get(self.floor_key), deadline)
        match answer:
            case Found(body=body, etag=etag):
                try:
                    return FloorRead(decode(Floor, body, self.floor_key, self.cluster).floor, etag)
                except RecordUnreadable as error:
                    return Dishonest(str(error))
            case Absent():
                return Dishonest(f"{self.floor_key} is gone: the prefix was wiped or is not a cluster's")
            case Oversize(size=size):
                return Dishonest(f"{self.floor_key} is {size} bytes long: it was not written by Holocron")
            case Denied(error=error):
                return Trouble(error, denied=True)
            case Unclear(error=error):
                return Trouble(error)
        return Trouble(f"{self.floor_key}: {type(answer).__name__} is no answer to a read")

    def entries(self, after: int, deadline: Deadline) -> Procedure[tuple[tuple[Entry, ...], float | None] | Trouble]:
        """All objects numbered above `after`, in order and without foreign keys, and the server's Date."""
        found: list[Entry] = []
        last = self.key(after)
        while True:
            answer = yield from asked(self.store, List(self.prefix, last, PAGE), deadline)
            match answer:
                case Listed(entries=(), more=True):
                    return Trouble(f"{self.prefix}: the store listed nothing and says that there is more")
                case Listed(entries=entries, more=more, date_s=date_s):
                    found += [entry for entry in entries if (self.number(entry.key) or 0) > after]
                    if not more:
                        # Stores promise order and ours keep it; a head read off a disordered LIST would be a wrong one.
                        return tuple(sorted(found, key=lambda entry: entry.key)), date_s
                    last = max(entry.key for entry in entries)
                case Denied(error=error):
                    return Trouble(error, denied=True)
                case Unclear(error=error):
                    return Trouble(error)
                case _:
                    return Trouble(f"{self.prefix}: {type(answer).__name__} is no answer to a list")

    def head(self, known: int | None, deadline: Deadline) -> Procedure[Head | NoHead | Trouble | Dishonest]:
        """The head of the chain, starting from `known`, a number that was once seen in it (None: from the floor).

        One LIST where `known` is still there and nothing foreign lies above; the floor is read only where a gap
        has to be explained.
        """
        start = known
        while True:
            if start is None:
                read = yield from self.floor(deadline)
                if not isinstance(read, FloorRead):
                    return read
                start = max(1, read.floor)
            listed = yield from self.entries(start - 1, deadline)
            if isinstance(listed, Trouble):
                return listed
            etags = {number: entry.etag for entry in listed[0] if (number := self.number(entry.key)) is not None}
            numbers = list(etags)
            end = _run(start, numbers)
            if end >= start and end == numbers[-1]:
                return Head(end, start, etag=etags[end])
            # Something is missing between `start` and the last number listed: only the floor can say why.
            read = yield from self.floor(deadline)
            if not isinstance(read, FloorRead):
                return read
            stray = next((number for number in numbers if number > end), None)
            if read.floor > max(end, start):
                start = read.floor
            elif end >= start:
                return Head(end, start, stray, etags[end])
            elif known is None and start == 1:
                return NoHead(stray)
            elif start == known:
                return Dishonest(f"{self.key(start)} was there, is gone, and the floor is {read.floor}: rolled back")
            else:
                return Dishonest(f"{self.key(start)} was the floor and is not there: the chain lost its head")

    def raise_floor(self, below: int, nonce: str, deadline: Deadline) -> Procedure[FloorRead | Trouble | Dishonest]:
        """Raise the floor to `below`; where someone has raised it further already, theirs stands (it only rises)."""
        assert self.floor_key is not None
        while True:
            read = yield from self.floor(deadline)
            if not isinstance(read, FloorRead) or read.floor >= below:
                return read
            body = encode(Floor(cluster=self.cluster, nonce=nonce, floor=below))
            result = yield from replace(self.store, self.floor_key, body, read.etag, deadline)
            match result:
                case Replaced(etag=etag):
                    return FloorRead(below, etag)
                case NotDone(error=error, denied=denied):
                    return Trouble(error, denied)
                case Unsettled(error=error):
                    return Trouble(error)
                case Held():
                    continue

    def trim(self, below: int, nonce: str, deadline: Deadline) -> Procedure[int | Trouble | Dishonest]:
        """Raise the floor to `below`, then delete what lies under it; how many objects went.

        The caller answers for `below` being at most the head. What a crash leaves behind under the floor goes with
        the next trim, and nobody reads it meanwhile.
        """
        raised = yield from self.raise_floor(below, nonce, deadline)
        if not isinstance(raised, FloorRead):
            return raised
        listed = yield from self.entries(0, deadline)
        if isinstance(listed, Trouble):
            return listed
        gone = 0
        for entry in listed[0]:
            number = self.number(entry.key)
            if number is None or number >= raised.floor:
                break
            answer = yield from asked(self.store, Delete(entry.key), deadline)
            match answer:
                case Deleted():
                    gone += 1
                case Denied(error=error):
                    return Trouble(error, denied=True)
                case Unclear(error=error):
                    return Trouble(error)
                case Conflict():
                    return Trouble(f"{entry.key}: another write is under way")
        return gone


def _run(start: int, numbers: list[int]) -> int:
    """The end of the unbroken run that begins at `start`, or start - 1 where not even `start` is listed."""
    end = start - 1
    for number in numbers:
        if number != end + 1:
            break
        end = number
    return end
