"""One object that is rewritten in place, and only by those who have seen what they replace."""

from __future__ import annotations

import msgspec

from holocron.store.base import (
    Absent,
    Clash,
    Conflict,
    Deadline,
    Denied,
    Found,
    Get,
    Oversize,
    Procedure,
    Put,
    Store,
    Unclear,
    Written,
)
from holocron.store.retry import asked

__all__ = ["Held", "NotDone", "Replaced", "Replacement", "Unsettled", "replace"]


class Replaced(msgspec.Struct, frozen=True):
    """Our bytes stand there; `etag` names them for the next replacement."""

    etag: str


class Held(msgspec.Struct, frozen=True):
    """Something else stands there (or nothing, where `found` is Absent), and ours never will again.

    Among those who rewrite what they have read, ours may have stood there first, where the answer to it was lost.
    """

    found: Found | Oversize | Absent


class NotDone(msgspec.Struct, frozen=True):
    """Certainly not written. `denied` tells a refusal, which stays, from a store that had no time, which passes."""

    error: str
    denied: bool = False


class Unsettled(msgspec.Struct, frozen=True):
    """It may have been written, now or later: time ran out before that could be read back."""

    error: str


Replacement = Replaced | Held | NotDone | Unsettled


def replace(store: Store, key: str, body: bytes, match: str | None, deadline: Deadline) -> Procedure[Replacement]:
    """Write `body` under `key` if what is there still has the ETag `match` (None: if nothing is there).

    `body` must hold a nonce: after an unclear answer it is by our own bytes that we know our own write (the table
    of outcomes in the design, section 3).
    """
    answer = yield from asked(store, Put(key, body, match), deadline)
    match answer:
        case Written(etag=etag):
            return Replaced(etag)
        case Denied(error=error):
            return NotDone(error, denied=True)
        case Conflict():
            return NotDone(f"{key}: the store kept answering that another write was under way")
        case Unclear(error=error, sent=False):
            return NotDone(error)
        case Unclear(error=error):
            return Unsettled(error)
        case Clash():
            there = yield from asked(store, Get(key), deadline)
            match there:
                case Found(body=found, etag=etag) if found == body:
                    return Replaced(etag)
                case Absent() if match is None:
                    # Created and deleted since: it may have been our own, created by an attempt whose answer was lost.
                    return Unsettled(f"{key}: it was there a moment ago and is gone")
                case Found() | Oversize() | Absent():
                    return Held(there)
                case Unclear(error=error) | Denied(error=error):
                    return Unsettled(error)
    return Unsettled(f"{key}: the store gave an answer that a write cannot have: {type(answer).__name__}")
