"""A store of one cluster as a value: each request gives the next bucket, the answer, and what is wrong with it.

The history is the truth that everything is checked against: which bytes sealed each epoch, from the first on.
"""

from __future__ import annotations

import functools
import re

import msgspec
from msgspec.structs import replace

from holocron.layout import EPOCH_FLOOR, EPOCHS, number_of, numbered
from holocron.records import Epoch, Floor, decode, encode
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
from tests.model.state import Bucket

__all__ = ["CLUSTER", "answer_to", "apply", "empty", "nonce_of", "record_of"]

CLUSTER = "c"
_NONCE = re.compile(rb'"nonce": "([^"]*)"')

Applied = tuple[Bucket, Answer, str | None]


def empty() -> Bucket:
    """A cluster that was founded and never led."""
    return Bucket(1, encode(Floor(cluster=CLUSTER, nonce="genesis", floor=1)))


@functools.cache
def nonce_of(body: bytes) -> str:
    """The nonce of a record, which is its ETag here: equal bytes and only they have equal ones."""
    match = _NONCE.search(body)
    assert match is not None
    return match[1].decode()


@functools.cache
def record_of(body: bytes) -> Epoch:
    """The epoch in `body`."""
    return msgspec.json.decode(body, type=Epoch)


def answer_to(bucket: Bucket, request: Request) -> Answer:
    """What a read is answered."""
    if isinstance(request, List):
        after = request.after or ""
        there = [(numbered(EPOCHS, number), nonce_of(body)) for number, body in bucket.objects]
        return Listed(tuple(Entry(key, etag, 1) for key, etag in there if key > after))
    assert isinstance(request, Get)
    if request.key == EPOCH_FLOOR:
        return Found(bucket.floor_body, nonce_of(bucket.floor_body))
    for number, body in bucket.objects:
        if numbered(EPOCHS, number) == request.key:
            return Found(body, nonce_of(body))
    return Absent()


def apply(bucket: Bucket, request: Request) -> Applied:
    """A write takes effect, or clashes."""
    if isinstance(request, Put):
        if request.key == EPOCH_FLOOR:
            return _raise(bucket, request)
        number = number_of(EPOCHS, request.key)
        assert number is not None
        return _create(bucket, request, number)
    assert isinstance(request, Delete)
    number = number_of(EPOCHS, request.key)
    assert number is not None
    return _delete(bucket, number)


def _raise(bucket: Bucket, request: Put) -> Applied:
    if request.match != nonce_of(bucket.floor_body):
        return bucket, Clash(), None
    floor = decode(Floor, request.body, EPOCH_FLOOR, CLUSTER).floor
    wrong = None
    if floor < bucket.floor:
        wrong = f"I4: the floor fell from {bucket.floor} to {floor}"
    elif floor > len(bucket.history):
        wrong = f"I4: the floor rose to {floor}, above the head {len(bucket.history)}"
    return replace(bucket, floor=floor, floor_body=request.body), Written(nonce_of(request.body)), wrong


def _delete(bucket: Bucket, number: int) -> Applied:
    wrong = None
    if number == len(bucket.history):
        wrong = f"I4: epoch {number} was deleted, and it is the head"
    elif number >= bucket.floor:
        wrong = f"I4: epoch {number} was deleted, and the floor is {bucket.floor}"
    return replace(bucket, objects=tuple(o for o in bucket.objects if o[0] != number)), Deleted(), wrong


def _create(bucket: Bucket, request: Put, number: int) -> Applied:
    if request.match is not None:
        return bucket, Clash(), f"I4: epoch {number} is to be rewritten in place"
    if any(number == there for there, _ in bucket.objects):
        return bucket, Clash(), None
    head = len(bucket.history)
    objects = tuple(sorted((*bucket.objects, (number, request.body))))
    written = Written(nonce_of(request.body))
    if number != head + 1:
        # Below the floor it is a sleeper's orphan, which is expected; anywhere else the chain has a hole.
        wrong = None if number < bucket.floor else f"I5: epoch {number} is created, and the head is {head}"
        return replace(bucket, objects=objects), written, wrong
    history = (*bucket.history, request.body)
    return replace(bucket, objects=objects, history=history), written, _misfit(history)


def _misfit(history: tuple[bytes, ...]) -> str | None:
    """Why the last epoch cannot follow the one before."""
    record = record_of(history[-1])
    before = record_of(history[-2]) if len(history) > 1 else None
    if record.previous != (before.nonce if before is not None else ""):
        return f"I5: epoch {record.epoch} does not name the epoch before it, but {record.previous!r}"
    if record.term == record.epoch:
        return None
    if before is None or before.term != record.term:
        return f"I6: epoch {record.epoch} has term {record.term}, which is neither new nor that of the epoch before"
    if before.kind == "release" or before.leader.session != record.leader.session:
        return f"I6: epoch {record.epoch} goes on with term {record.term}, which was not this process's to go on with"
    return None
