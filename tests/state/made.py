"""A node's journal made by hand on a store in memory, and ways for the store to do harm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from holocron.layout import journal_floor_key
from holocron.records import Floor, encode
from holocron.state.checkpoint import checkpoint_chain, take
from holocron.state.journal import Author, Fenced, Raised, Spoilt, Wrote, journal_chain, raise_fence, write
from holocron.state.recovery import recover
from holocron.state.slots import Checkpoint, Slot, pack
from holocron.state.writer import Batch
from holocron.store.base import Answer, Delete, Found, Get, List, Listed, Put, Request, Store, Written
from holocron.store.chain import Chain, Trouble
from holocron.store.memory import MemoryStore
from tests.store.scripted import CLUSTER, WITHIN_S, deadline, done

NODE = "n1"
_count = itertools.count(1)


def nonce() -> str:
    """One that no one else has."""
    return f"nonce-{next(_count)}"


def author(incarnation: int = 1) -> Author:
    """An incarnation of the node."""
    return Author(CLUSTER, NODE, incarnation)


def slots(store: Store) -> Chain:
    """The node's journal."""
    return journal_chain(store, author())


def checkpoints(store: Store) -> Chain:
    """The node's checkpoints."""
    return checkpoint_chain(store, author())


def key(number: int) -> str:
    """The key of a slot."""
    return slots(MemoryStore()).key(number)


def checkpoint_key(number: int) -> str:
    """The key of the checkpoint of a slot."""
    return checkpoints(MemoryStore()).key(number)


def fence(store: Store, incarnation: int = 1) -> Raised:
    """The fence of an incarnation, which comes through."""
    raised = done(raise_fence(slots(store), author(incarnation), nonce, deadline()))
    assert isinstance(raised, Raised)
    return raised


def append(store: Store, slot: int, first: int, *entries: bytes, incarnation: int = 1) -> None:
    """A batch in a slot."""
    batch = Batch(slot, first, entries)
    assert done(write(slots(store), author(incarnation), batch, nonce(), deadline())) == Wrote()


def filled(slots_to: int, store: MemoryStore | None = None) -> MemoryStore:
    """The journal of incarnation 1: its fence in slot 1, and then an entry in each slot, b"2" in slot 2 and so on."""
    store = store if store is not None else MemoryStore()
    assert fence(store) == Raised(1, 1)
    for slot in range(2, slots_to + 1):
        append(store, slot, slot - 1, b"%d" % slot)
    return store


def entries_of(slots_to: int) -> list[bytes]:
    """What `filled` has put there."""
    return [b"%d" % slot for slot in range(2, slots_to + 1)]


def checkpoint(store: Store, slot: int, incarnation: int = 1) -> None:
    """A checkpoint of a journal that was `filled`, after what is in `slot`."""
    snapshot = msgspec.msgpack.encode(entries_of(slot))
    taken = done(
        take(checkpoints(store), author(incarnation), incarnation, slot, slot - 1, snapshot, nonce, deadline())
    )
    assert isinstance(taken, Checkpoint)


class Reading:
    """What a recovery hands out."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.restored: list[int] = []

    def restore(self, snapshot: bytes, position: int) -> None:
        """As a service would."""
        self.entries = msgspec.msgpack.decode(snapshot, type=list[bytes])
        assert len(self.entries) == position
        self.restored.append(position)

    def consume(self, position: int, entry: bytes) -> None:
        """As a service would."""
        self.entries.append(entry)
        assert len(self.entries) == position


def recovered(
    store: Store, incarnation: int, raised: Raised | None = None, within_s: float = WITHIN_S
) -> list[bytes] | Fenced | Spoilt | Trouble:
    """What an incarnation finds behind its own fence."""
    reading = Reading()
    if raised is None:
        stands = done(raise_fence(slots(store), author(incarnation), nonce, deadline()))
        if not isinstance(stands, Raised):
            return stands
        raised = stands
    outcome = done(
        recover(
            slots(store),
            checkpoints(store),
            author(incarnation),
            raised,
            reading.restore,
            reading.consume,
            lambda: deadline(within_s),
        )
    )
    if not isinstance(outcome, int):
        return outcome
    assert outcome == len(reading.entries)
    return reading.entries


# --- looking and meddling -------------------------------------------------------------------------------------------


def there(store: Store, chain: Chain) -> list[int]:
    """The numbers of a chain that are there."""
    listed = store.perform(List(chain.prefix), 1.0)
    assert isinstance(listed, Listed)
    return [number for entry in listed.entries if (number := chain.number(entry.key)) is not None]


def floor_of(store: Store) -> int:
    """The journal's floor."""
    answer = store.perform(Get(journal_floor_key(NODE)), 1.0)
    assert isinstance(answer, Found)
    return msgspec.json.decode(answer.body, type=Floor).floor


def set_floor(store: Store, floor: int) -> None:
    """A floor as if someone had raised it."""
    overwrite(store, journal_floor_key(NODE), encode(Floor(cluster=CLUSTER, nonce=nonce(), floor=floor)))


def lose(store: Store, *keys: str) -> None:
    """Objects go that may not go."""
    for each in keys:
        store.perform(Delete(each), 1.0)


def overwrite(store: Store, at: str, body: bytes) -> None:
    """Other bytes under a key."""
    store.perform(Delete(at), 1.0)
    assert isinstance(store.perform(Put(at, body), 1.0), Written)


def orphan(store: Store, slot: int, kind: Literal["fence", "entries"], incarnation: int) -> None:
    """A late write into a slot that was trimmed."""
    record = Slot(
        cluster=CLUSTER,
        nonce=nonce(),
        node=NODE,
        incarnation=incarnation,
        slot=slot,
        kind=kind,
        first=0 if kind == "fence" else slot - 1,
        entries=() if kind == "fence" else (b"late",),
    )
    assert isinstance(store.perform(Put(key(slot), pack(record)), 1.0), Written)


def damage(store: Store, at: str) -> None:
    """One flipped bit in the middle of an object."""
    found = store.perform(Get(at), 1.0)
    assert isinstance(found, Found)
    body = bytearray(found.body)
    body[len(body) // 2] ^= 1
    overwrite(store, at, bytes(body))


class DiedError(Exception):
    """The process was killed."""


class Mortal:
    """A store whose user dies after so many requests: the next one is never sent."""

    def __init__(self, inner: Store, requests: int) -> None:
        self._inner = inner
        self._left = requests

    @property
    def uri(self) -> str:
        return self._inner.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if not self._left:
            raise DiedError
        self._left -= 1
        return self._inner.perform(request, timeout_s)

    def close(self) -> None:
        self._inner.close()


class Scripted:
    """A store that does something of its own at chosen requests: `instead` says what, or None to pass one on."""

    def __init__(self, inner: Store, instead: Callable[[Request], Answer | None]) -> None:
        self.inner = inner
        self._instead = instead

    @property
    def uri(self) -> str:
        return self.inner.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        answer = self._instead(request)
        return answer if answer is not None else self.inner.perform(request, timeout_s)

    def close(self) -> None:
        self.inner.close()


def copied(store: MemoryStore) -> MemoryStore:
    """Another store with the same objects."""
    other = MemoryStore()
    for found in everything(store):
        body = store.perform(Get(found), 1.0)
        assert isinstance(body, Found)
        assert isinstance(other.perform(Put(found, body.body), 1.0), Written)
    return other


def everything(store: Store) -> Iterable[str]:
    """Every key."""
    listed = store.perform(List(""), 1.0)
    assert isinstance(listed, Listed)
    return [entry.key for entry in listed.entries]
