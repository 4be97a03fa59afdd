"""What lies in a journal slot and in a checkpoint: MessagePack in an envelope with a checksum.

A reader gets the record, or `RecordUnreadable` with one line that names the key; never anything else.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from holocron.errors import RecordUnreadable
from holocron.records import FORMAT, Count, NodeId, Nonce, Number, Record

__all__ = ["ENTRY_LIMIT_BYTES", "SLOT_LIMIT_BYTES", "SNAPSHOT_LIMIT_BYTES", "Checkpoint", "Slot", "pack", "unpack"]

# One appended payload, and all that goes into one slot together.
ENTRY_LIMIT_BYTES = 4 * 1024 * 1024
BATCH_LIMIT_BYTES = 8 * 1024 * 1024
# What an object may hold with its envelope: a batch of empty entries still has a byte or more for each.
SLOT_LIMIT_BYTES = 12 * 1024 * 1024
SNAPSHOT_LIMIT_BYTES = 256 * 1024 * 1024
_ENVELOPE_BYTES = 64 * 1024


class Slot(Record, frozen=True, kw_only=True):
    """journal/<slot>: entries that were appended together, or a fence.

    `first` is the position of the first entry. A fence has none: from its slot on, nothing of an earlier incarnation
    is part of the journal, whatever lies there.
    """

    node: NodeId
    incarnation: Count
    slot: Count
    kind: Literal["entries", "fence"]
    first: Number
    entries: tuple[bytes, ...]


class Checkpoint(Record, frozen=True, kw_only=True):
    """checkpoint/<slot>: the node's state after `position`, which lies in `slot`; earlier slots are needed no more.

    `incarnation` is whose slot that is, so that a replay from here knows what is void.
    """

    node: NodeId
    incarnation: Count
    slot: Count
    position: Number
    snapshot: bytes


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    format: Annotated[int, Meta(ge=1, le=1_000_000)]
    checksum: Annotated[bytes, Meta(min_length=16, max_length=16)]
    content: bytes
    nonce: Nonce


_K = TypeVar("_K", Slot, Checkpoint)


def pack(record: Slot | Checkpoint) -> bytes:
    """`record` as the bytes of an object."""
    content = msgspec.msgpack.encode(record)
    return msgspec.msgpack.encode(_Envelope(FORMAT, _checksum(content), content, record.nonce))


def unpack(kind: type[_K], body: bytes, key: str, cluster: str, node: str, number: int) -> _K:
    """The record of `kind` in `body`, which was read from `key` of `node`, whose number is `number`.

    Raises:
        RecordUnreadable: for anything else, a wrong checksum and another node's record included.
    """
    limit = SLOT_LIMIT_BYTES if kind is Slot else SNAPSHOT_LIMIT_BYTES + _ENVELOPE_BYTES
    if len(body) > limit:
        raise RecordUnreadable(f"{key} is {len(body)} bytes long; none is: it was not written by Holocron")
    try:
        envelope = msgspec.msgpack.decode(body, type=_Envelope)
        if envelope.format > FORMAT:
            raise RecordUnreadable(
                f"{key} has format {envelope.format}, this Holocron reads up to {FORMAT}: upgrade before you go on"
            )
        if _checksum(envelope.content) != envelope.checksum:
            raise RecordUnreadable(f"{key} does not match its checksum: it was damaged; restore it from a backup")
        record = msgspec.msgpack.decode(envelope.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        line = " ".join(str(error).split())[:200]
        raise RecordUnreadable(f"{key} is not a journal's {kind.__name__.lower()}: {line}") from None
    if (record.cluster, record.node, record.slot) != (cluster, node, number):
        raise RecordUnreadable(
            f"{key} holds slot {record.slot} of node {record.node}: it was copied there, or not written by Holocron"
        )
    return record


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
