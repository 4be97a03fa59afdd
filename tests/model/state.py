"""What one state of the explored world is made of, and the form in which equal states are equal.

All times are ages: an `Instant` says how long ago something was by the clocks of the process that holds it, so that
"now" is always zero and two states that differ in nothing but the hour are one. An age beyond every threshold of the
rules is as good as any older one and is cut off there; what only says how often to poll is rounded in the same way.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from holocron.clock import Instant
from holocron.protocol.election import Election, Rules
from holocron.protocol.guarding import Charge
from holocron.protocol.messages import Draft
from holocron.store.base import Answer, Request

__all__ = [
    "NAMES",
    "NOW",
    "Bucket",
    "Call",
    "Dead",
    "Guardian",
    "Heard",
    "Keeper",
    "Part",
    "Process",
    "Watch",
    "aged",
    "key_of",
    "renamed",
    "waited",
]

NOW = Instant(0.0, 0.0, 0.0)
# Three nodes that nothing tells apart: their ids spread alike (crc32 mod 64), so that they may be exchanged, and no
# other text of the model contains one, so that they may be exchanged in any text.
NAMES = ("qbk", "qbr", "qd3")


class Heard(msgspec.Struct, frozen=True):
    """One reply that a procedure was given: which kind of answer, the answer, and whether time was left after it.

    `at` is when it came where that may still matter: an epoch that was read, from which a wait is counted.
    """

    kind: str
    answer: Answer | None
    in_time: bool = True
    at: Instant | None = None


class Call(msgspec.Struct, frozen=True):
    """A procedure under way. A generator cannot be copied, so it is kept as what it was told so far."""

    kind: Literal["look", "poll", "create", "trim", "guard"]
    since: Instant
    # What the election asked for: the epoch known (look), its number (poll), or where retention may go (trim).
    number: int | None = None
    draft: Draft | None = None
    within_s: float = 0.0
    # What a guardian has in its charge.
    charge: Charge | None = None
    # Makes the nonce of what this call writes.
    serial: int = 0
    heard: tuple[Heard, ...] = ()
    # `reading`: a read that may be given any of `answers`, the states of the store since it was sent.
    # `sent`: a write that is on its way. `answered`: a write that was applied, its answer on the way back.
    stage: Literal["reading", "sent", "answered", "pausing"] = "pausing"
    request: Request | None = None
    answers: tuple[Heard, ...] = ()
    # For the checks: what was truly the head when this began (rule 7).
    head: int | None = None


class Watch(msgspec.Struct, frozen=True):
    """The newest epoch that this process was ever shown, and when first: kept by the checks, not by the protocol."""

    epoch: int
    read: Instant
    ttl_s: float
    session: str
    # Nobody may believe in it: a release.
    free: bool


class Process(msgspec.Struct, frozen=True):
    """One process that speaks for a node: what it knows, what it does, and what the checks remember of it."""

    election: Election
    call: Call | None = None
    asleep: Literal["", "stopped", "suspended", "snapshot"] = ""
    # For how many ticks it has been late with what it has to do next.
    tardy: int = 0
    floor: int = 1
    hint: int | None = None
    # Creations that did not end as won, lost or refused: their nonces may still be about.
    unsettled: int = 0
    # For the checks: I8, I7 and I6.
    watch: Watch | None = None
    told: tuple[int, int] = (0, 0)
    lapsed: int = 0


class Dead(msgspec.Struct, frozen=True):
    """A node without a process: what its identity and its state say, for the next incarnation."""

    node: str
    incarnation: int
    epoch: int
    told: tuple[int, int]


class Keeper(msgspec.Struct, frozen=True):
    """Retention at work, for whichever leader began it."""

    call: Call


class Guardian(msgspec.Struct, frozen=True):
    """A guardian at work, for a process that is dead (rule 15)."""

    call: Call


Part = Process | Dead | Keeper | Guardian


class Bucket(msgspec.Struct, frozen=True):
    """What lies under the prefix, and the true history that the checks compare it with."""

    floor: int
    floor_body: bytes
    # number, body; in order.
    objects: tuple[tuple[int, bytes], ...] = ()
    # The body that sealed each epoch, from the first on; never shortened.
    history: tuple[bytes, ...] = ()


# --- ages -----------------------------------------------------------------------------------------------------------


def waited(since: Instant) -> float:
    """How long ago `since` was at least: by the clock that stood still the longest, the wall clock left aside."""
    return 0.0 + min(-since.boot_s, -since.mono_s)


def aged(instant: Instant, boot: int, mono: int, wall: int, limit: float) -> Instant:
    """`instant` when each clock has gone on by so much, cut off at `limit`."""
    return Instant(
        0.0 - min(boot - instant.boot_s, limit),
        0.0 - min(mono - instant.mono_s, limit),
        0.0 - min(wall - instant.wall_s, limit),
    )


def key_of(value: Any) -> bytes:
    """Bytes that two values share only if they are equal."""
    return type(value).__name__.encode() + msgspec.msgpack.encode(value)


# --- names ----------------------------------------------------------------------------------------------------------

_T = TypeVar("_T")


def renamed(value: _T, names: tuple[str, ...]) -> _T:
    """`value` with node `NAMES[i]` called `names[i]` wherever it is named, in texts and bytes as well."""
    return _renamed(value, names)  # type: ignore[no-any-return]


_NAMELESS = (int, float, bool, type(None), Instant, Rules)


def _renamed(value: Any, names: tuple[str, ...]) -> Any:
    kind = type(value)
    if kind in _NAMELESS:
        return value
    if kind is str:
        return _text(value, names)
    if kind is bytes:
        return _text(value.decode(), names).encode()
    if kind is tuple:
        return tuple([_renamed(each, names) for each in value])
    if not isinstance(value, msgspec.Struct):
        return value
    changes = {}
    for field in value.__struct_fields__:
        before = getattr(value, field)
        after = _renamed(before, names)
        if after is not before:
            changes[field] = after
    return replace(value, **changes) if changes else value


def _text(value: str, names: tuple[str, ...]) -> str:
    if "q" not in value:
        return value
    # Two passes, so that a name that was put in is not exchanged again.
    for i, name in enumerate(NAMES):
        value = value.replace(name, f"\x00{i}\x00")
    for i, name in enumerate(names):
        value = value.replace(f"\x00{i}\x00", name)
    return value
