"""A store of one node's journal as a value, with what has truly stood in each slot, for the checks to compare with."""

from __future__ import annotations

import functools
import hashlib

import msgspec
from msgspec.structs import replace

from holocron.layout import checkpoint_prefix, journal_floor_key, journal_prefix, number_of
from holocron.records import Floor, decode
from holocron.state.slots import Checkpoint, Slot, unpack
from holocron.store.base import (
    Absent,
    Answer,
    Clash,
    Delete,
    Deleted,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Put,
    Request,
    Written,
)

__all__ = ["CHECKPOINTS", "CLUSTER", "FLOOR", "NODE", "SLOTS", "Home", "answer_to", "apply", "checkpoint_of"]
__all__ += ["checkpoints_in", "damaged", "etag_of", "floor_of", "slot_of"]

CLUSTER, NODE = "c", "n"
SLOTS, FLOOR, CHECKPOINTS = journal_prefix(NODE), journal_floor_key(NODE), checkpoint_prefix(NODE)
DAMAGED = b"damaged"


class Home(msgspec.Struct, frozen=True):
    """What lies in the node's home, and the true history of its journal."""

    # Key and body, in the order of the keys.
    objects: tuple[tuple[str, bytes], ...] = ()
    # Slot and the body that first stood there, in order; never shortened.
    history: tuple[tuple[int, bytes], ...] = ()


@functools.cache
def etag_of(body: bytes) -> str:
    """The ETag of `body`: equal bytes and only they have equal ones."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


@functools.cache
def slot_of(number: int, body: bytes) -> Slot:
    """The slot record in `body`."""
    return unpack(Slot, body, "", CLUSTER, NODE, number)


@functools.cache
def checkpoint_of(number: int, body: bytes) -> Checkpoint | None:
    """The checkpoint in `body`, None where it is damaged."""
    return None if body == DAMAGED else unpack(Checkpoint, body, "", CLUSTER, NODE, number)


@functools.cache
def _floor_in(body: bytes) -> int:
    return decode(Floor, body, FLOOR, CLUSTER).floor


def floor_of(home: Home) -> int:
    """The floor of the journal; 0 before it was begun."""
    return next((_floor_in(body) for key, body in home.objects if key == FLOOR), 0)


def checkpoints_in(home: Home) -> list[tuple[int, Checkpoint | None]]:
    """The checkpoints that are there, in order of their slots; None for a damaged one."""
    numbered = [(number_of(CHECKPOINTS, key, ""), body) for key, body in home.objects]
    return [(number, checkpoint_of(number, body)) for number, body in numbered if number is not None]


def answer_to(home: Home, request: Request) -> Answer:
    """What a read is answered."""
    if isinstance(request, List):
        after = request.after or ""
        there = [(key, body) for key, body in home.objects if key.startswith(request.prefix) and key > after]
        return Listed(tuple(Entry(key, etag_of(body), 1) for key, body in there))
    assert isinstance(request, Get)
    for key, body in home.objects:
        if key == request.key:
            return Found(body, etag_of(body))
    return Absent()


def apply(home: Home, request: Request) -> tuple[Home, Answer]:
    """A write takes effect, or clashes."""
    if isinstance(request, Delete):
        return replace(home, objects=tuple(each for each in home.objects if each[0] != request.key)), Deleted()
    assert isinstance(request, Put)
    there = next((body for key, body in home.objects if key == request.key), None)
    if (etag_of(there) if there is not None else None) != request.match:
        return home, Clash()
    others = [each for each in home.objects if each[0] != request.key]
    objects = tuple(sorted([*others, (request.key, request.body)]))
    history = home.history
    number = number_of(SLOTS, request.key, "")
    if number is not None and all(number != known for known, _ in history):
        history = tuple(sorted([*history, (number, request.body)]))
    return Home(objects, history), Written(etag_of(request.body))


def damaged(home: Home) -> Home | None:
    """`home` when its newest checkpoint can no longer be read; None where nothing would be left to begin from."""
    there = checkpoints_in(home)
    good = [number for number, checkpoint in there if checkpoint is not None]
    if not good or good[-1] != there[-1][0] or (len(good) == 1 and floor_of(home) > 1):
        return None
    spoilt = [(key, DAMAGED if number_of(CHECKPOINTS, key, "") == good[-1] else body) for key, body in home.objects]
    return replace(home, objects=tuple(spoilt))
