"""What one state of an explored journal is made of: incarnations, their requests under way, and what they are told."""

from __future__ import annotations

from typing import Any

import msgspec

from holocron.state.writer import Batch
from holocron.store.base import Answer, Request

__all__ = ["Acked", "Broken", "Call", "Ended", "Finding", "Heard", "Incarnation", "Replayed", "Stepped"]

# --- what an incarnation is between two steps -----------------------------------------------------------------------


class Heard(msgspec.Struct, frozen=True):
    """One reply that a procedure was given: an answer for each request of the step, and whether time was left."""

    answers: tuple[Answer, ...]
    in_time: bool = True


class Call(msgspec.Struct, frozen=True):
    """A procedure under way and what it waits for."""

    # "open", "keep" (a checkpoint), or "write" (a batch).
    kind: str
    # Makes the nonces of what an open or a keep writes; the nonce of a write's batch is drawn by the journal.
    nonce: str
    batch: Batch | None = None
    # Of a checkpoint: what it is of, and the slot that this lies in.
    position: int = 0
    slot: int = 0
    snapshot: bytes = b""
    heard: tuple[Heard, ...] = ()
    # One request, or several side by side: then the answers that each may be given, one for each state of the store
    # since they were sent.
    requests: tuple[Request, ...] = ()
    answers: tuple[tuple[Answer, ...], ...] = ()


class Incarnation(msgspec.Struct, frozen=True):
    """One process that speaks for the node. `writer` is None until its journal is open."""

    number: int
    writer: tuple[tuple[str, str, Any], ...] | None = None
    # Position and entry of what was handed in and not settled yet.
    waiting: tuple[tuple[int, bytes], ...] = ()
    # What the application stands on: what it was replayed, and what was acknowledged to it since.
    log: tuple[bytes, ...] = ()
    calls: tuple[Call, ...] = ()
    # How many nonces it drew, how often it tried to open, how many checkpoints it began.
    drawn: int = 0
    tries: int = 0
    kept: int = 0


# --- what is told ---------------------------------------------------------------------------------------------------


class Acked(msgspec.Struct, frozen=True):
    """The application is told that `entry` is durable at `position`."""

    entry: bytes
    position: int
    whose: int


class Replayed(msgspec.Struct, frozen=True):
    """The application was handed this journal, and the fence stands in slot `fence`."""

    log: tuple[bytes, ...]
    # Of the snapshot that it began with (0: none), and of each entry that followed.
    positions: tuple[int, ...]
    whose: int
    fence: int


class Ended(msgspec.Struct, frozen=True):
    """Nothing will be acknowledged to this incarnation any more; or, where it is not `final`, a checkpoint failed."""

    whose: int
    fenced: bool
    error: str
    final: bool = True


class Broken(msgspec.Struct, frozen=True):
    """What an application is told makes no sense by itself."""

    wrong: str


Finding = Acked | Replayed | Ended | Broken


class Stepped(msgspec.Struct, frozen=True):
    """What became of an incarnation (None: it acts no more), what it was told, and writes that may still land."""

    after: Incarnation | None
    findings: tuple[Finding, ...] = ()
    adrift: tuple[Request, ...] = ()
