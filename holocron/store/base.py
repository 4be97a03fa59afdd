"""What a store is: four requests in, one typed answer out, and never a decision.

A store turns one request into one answer. It does not retry, does not interpret and does not raise for anything
that a server, a network or a disk may do: that is what answers are for. What to do about an answer is decided by
the *procedures* of this package: generators that yield the steps they need and are sent a `Reply` for each. A
procedure knows no socket, no thread and no clock, so the same code runs in production (`holocron.runtime`), in a
plain loop (`holocron.store.drive`) and in a simulation.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol, TypeVar

import msgspec

from holocron.clock import Instant, elapsed_holder_s

__all__ = [
    "BODY_LIMIT_BYTES",
    "OUT_OF_TIME",
    "PAGE",
    "Absent",
    "Answer",
    "Ask",
    "Clash",
    "Conflict",
    "Deadline",
    "Delete",
    "Deleted",
    "Denied",
    "Entry",
    "Found",
    "Get",
    "List",
    "Listed",
    "Oversize",
    "Pause",
    "Procedure",
    "Put",
    "Reply",
    "Request",
    "Step",
    "Store",
    "Together",
    "Unclear",
    "Written",
]

# No record of ours is larger; a larger object is foreign and is not read into memory.
BODY_LIMIT_BYTES = 16 * 1024 * 1024
# Keys in one page of a LIST, S3's own number.
PAGE = 1000


# --- requests -------------------------------------------------------------------------------------------------------


class Get(msgspec.Struct, frozen=True, tag=True):
    """Read one object, unless it is larger than `limit_bytes`."""

    key: str
    limit_bytes: int = BODY_LIMIT_BYTES


class Put(msgspec.Struct, frozen=True, tag=True):
    """Write one object: only if the key is absent (`match` is None), or only if its ETag still is `match`.

    There is no unconditional write: every write of Holocron names what it expects to find.
    """

    key: str
    body: bytes
    match: str | None = None


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Remove one object; removing what is not there is no error. Never conditional: several servers ignore that."""

    key: str


class List(msgspec.Struct, frozen=True, tag=True):
    """One page of the keys that begin with `prefix` and sort after `after`, in order."""

    prefix: str
    after: str | None = None
    limit: int = PAGE


Request = Get | Put | Delete | List


# --- answers --------------------------------------------------------------------------------------------------------
# `date_s` is the server's own Date and `modified_s` its LastModified, in seconds since 1970 by the server's clock.
# They are kept for diagnosis and for the opt-in of rule 11; nothing else may depend on them.


class Found(msgspec.Struct, frozen=True):
    """The object, whole."""

    body: bytes
    etag: str
    modified_s: float | None = None
    date_s: float | None = None


class Oversize(msgspec.Struct, frozen=True):
    """There is an object, larger than the request allowed; it was not read."""

    size: int
    etag: str
    date_s: float | None = None


class Absent(msgspec.Struct, frozen=True):
    """There is no object under this key, said by a server that knows (404). A 403 is never this."""

    date_s: float | None = None


class Written(msgspec.Struct, frozen=True):
    """The write was applied."""

    etag: str
    date_s: float | None = None


class Clash(msgspec.Struct, frozen=True):
    """The condition did not hold (412, or 404 to an If-Match). It may be our own earlier attempt that it met."""

    date_s: float | None = None


class Conflict(msgspec.Struct, frozen=True):
    """The write raced another and was not applied; the server says to ask again (409)."""

    date_s: float | None = None


class Unclear(msgspec.Struct, frozen=True):
    """No answer, or one that does not tell (timeout, reset, 5xx): a write may have been applied, now or later.

    `sent` is False only where it is certain that the request never left (no connection), so nothing was applied.
    """

    error: str
    sent: bool = True
    date_s: float | None = None


class Denied(msgspec.Struct, frozen=True):
    """The server refuses for a reason that asking again does not change (403, no such bucket, bad credentials).

    Nothing was applied. `error` is one line that says what to do.
    """

    error: str
    date_s: float | None = None


class Entry(msgspec.Struct, frozen=True):
    """One key of a LIST."""

    key: str
    etag: str
    size: int
    modified_s: float | None = None


class Listed(msgspec.Struct, frozen=True):
    """One page, in key order; `more` alone says that keys after the last one remain: a page may be cut short."""

    entries: tuple[Entry, ...]
    more: bool = False
    date_s: float | None = None


class Deleted(msgspec.Struct, frozen=True):
    """The key is gone."""

    date_s: float | None = None


Answer = Found | Oversize | Absent | Written | Clash | Conflict | Unclear | Denied | Listed | Deleted


class Store(Protocol):
    """One place for objects, rooted: every key is relative to the URI it was opened with.

    Promises that the protocol stands on (`holocron.store.probe` puts them to the test): a conditional `Put` is
    atomic, a `Get` or `List` that starts after a write was answered sees that write.
    """

    @property
    def uri(self) -> str:
        """Where this is, as a person would write it, without credentials."""
        ...

    def perform(self, request: Request, timeout_s: float) -> Answer:
        """The answer to `request`, within about `timeout_s`. One attempt, no retry, safe to call from any thread."""
        ...

    def close(self) -> None:
        """Let go of connections. Answers after this are `Unclear`."""
        ...


# --- procedures -----------------------------------------------------------------------------------------------------


class Deadline(msgspec.Struct, frozen=True):
    """`within_s` seconds from `since`, counted as a holder counts, and how long one attempt may take."""

    since: Instant
    within_s: float
    attempt_s: float

    def left_s(self, now: Instant) -> float:
        """Seconds that remain, 0 when it is over."""
        return max(0.0, self.within_s - elapsed_holder_s(self.since, now))

    def allows_s(self, now: Instant) -> float:
        """How long an attempt that begins at `now` may take; 0 where none may begin any more."""
        return min(self.attempt_s, self.left_s(now))


class Ask(msgspec.Struct, frozen=True):
    """Step: put `request` to `store`, for as long as `deadline` allows when it begins.

    Whoever drives reads the clock for that, for only they know how long the steps before this one took. Where no time
    is left nothing is sent, and the answer is `OUT_OF_TIME`.
    """

    store: Store
    request: Request
    deadline: Deadline


OUT_OF_TIME = Unclear("no time was left for the request", sent=False)


class Pause(msgspec.Struct, frozen=True):
    """Step: wait between `low_s` and `high_s`; whoever drives picks the point, so that crowds spread out."""

    low_s: float
    high_s: float


class Together(msgspec.Struct, frozen=True):
    """Step: run several procedures side by side; the reply's `results` are theirs, in order."""

    procedures: tuple[Procedure[object], ...]


class Reply(msgspec.Struct, frozen=True):
    """What a procedure is sent for each step: the answer, and when the step began and ended by our own clocks."""

    answer: Answer | None
    asked: Instant
    now: Instant
    results: tuple[object, ...] = ()


Step = Ask | Pause | Together
_T = TypeVar("_T")
Procedure = Generator[Step, Reply, _T]
