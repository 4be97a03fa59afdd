"""Reads a cluster's records from outside, where every wrong answer is an error that says what to do."""

from __future__ import annotations

import secrets
from typing import NoReturn, TypeVar

import msgspec

from holocron.clock import Clock, SystemClock
from holocron.errors import HolocronError, NodeUnknown, RecordUnreadable, StoreDenied, StoreUnfit, StoreUnreachable
from holocron.layout import CLUSTER, EPOCH_FLOOR, EPOCHS, MEMBERS, identity_key, member_id, member_key
from holocron.records import Beacon, Epoch, Genesis, Identity, Record, decode
from holocron.runtime.counting import VERBS, CountingStore
from holocron.store.base import (
    PAGE,
    Absent,
    Answer,
    Deadline,
    Delete,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Store,
    Unclear,
)
from holocron.store.chain import Chain, Dishonest, Head, NoHead, Trouble
from holocron.store.drive import drive
from holocron.store.opening import StoreOptions, open_store
from holocron.store.retry import asked

__all__ = ["WITHIN_S", "HeadSeen", "Reader", "nonce", "refuse", "sound"]

# How long one look or one write may take with all its retries, and one request of it. Someone waits for the answer.
WITHIN_S = 10.0
ATTEMPT_S = 5.0

_T = TypeVar("_T")
_R = TypeVar("_R", bound=Record)


class HeadSeen(msgspec.Struct, frozen=True):
    """The newest epoch, and how long ago it was written by the store's own clock."""

    record: Epoch
    age_s: float | None


class Reader:
    """The records under one cluster's prefix, and those in the homes of its nodes. Blocks; for one thread at a time."""

    def __init__(self, store: Store, options: StoreOptions, *, owned: bool) -> None:
        self.store = CountingStore(store)
        self._owned = owned
        self._options = options
        self._homes: dict[str, CountingStore] = {}
        self._clock: Clock = SystemClock()
        self._genesis: Genesis | None = None
        self._known: int | None = None

    def close(self) -> None:
        """Let go of every store that this opened."""
        for home in self._homes.values():
            home.close()
        if self._owned:
            self.store.close()

    @property
    def uuid(self) -> str:
        """What the cluster's genesis named it."""
        genesis = self.genesis()
        if genesis is None:
            raise HolocronError(f"{self.store.uri} holds no cluster: start a node there, or check bucket and prefix")
        return genesis.cluster

    @property
    def requests(self) -> dict[str, int]:
        """How many requests were made so far, by verb."""
        counts = dict.fromkeys(VERBS.values(), 0)
        for store in (self.store, *self._homes.values()):
            for verb, number in store.requests.items():
                counts[verb] += number
        return counts

    def drive(self, procedure: Procedure[_T]) -> _T:
        """What `procedure` returns, carried out on this thread."""
        return drive(procedure, self._clock)

    def deadline(self, within_s: float | None = None) -> Deadline:
        """`within_s` seconds from now, or as long as one look may take."""
        return Deadline(self._clock.now(), WITHIN_S if within_s is None else within_s, ATTEMPT_S)

    def ask(self, store: Store, request: Get | List | Delete) -> Answer:
        """The store's answer, asked for again while it is unclear."""
        return self.drive(asked(store, request, self.deadline()))

    def chain(self) -> Chain:
        """The chain of epochs."""
        return Chain(self.store, EPOCHS, EPOCH_FLOOR, self.uuid)

    def genesis(self) -> Genesis | None:
        """cluster.json, asked for again while it is not there: a cluster may begin while someone watches."""
        if self._genesis is None:
            read = self.record(self.store, CLUSTER, Genesis, None)
            self._genesis = None if read is None else read[0]
        return self._genesis

    def head_number(self, chain: Chain) -> int | None:
        """The number of the newest epoch, None where there is none yet."""
        found = sound(self.drive(chain.head(self._known, self.deadline())))
        if isinstance(found, NoHead):
            return None
        assert isinstance(found, Head)
        self._known = found.number
        return found.number

    def head(self) -> HeadSeen | None:
        """The newest epoch, None where there is none yet; one that cannot be read is never passed over."""
        if self.genesis() is None:
            return None
        chain = self.chain()
        while True:
            number = self.head_number(chain)
            if number is None:
                return None
            key = chain.key(number)
            answer = self.ask(self.store, Get(key))
            match answer:
                case Found(body=body, modified_s=modified_s, date_s=date_s):
                    age_s = None if modified_s is None or date_s is None else max(0.0, date_s - modified_s)
                    return HeadSeen(decode(Epoch, body, key, chain.cluster), age_s)
                case Absent():
                    # Trimmed between the two reads: so there is a newer one.
                    continue
                case _:
                    refuse(answer, key)

    def record(self, store: Store, key: str, kind: type[_R], cluster: str | None) -> tuple[_R, str] | None:
        """The record under `key` and its ETag, None where nothing is."""
        answer = self.ask(store, Get(key))
        if isinstance(answer, Absent):
            return None
        if not isinstance(answer, Found):
            refuse(answer, key)
        return decode(kind, answer.body, key, cluster), answer.etag

    def home(self, home: str | None) -> Store:
        """The store of a node's own home; the cluster's where None."""
        if home is None:
            return self.store
        if home not in self._homes:
            self._homes[home] = CountingStore(open_store(home, self._options))
        return self._homes[home]

    def identity(self, store: Store, node_id: str) -> tuple[Identity, str] | None:
        """A node's identity and its ETag."""
        genesis = self.genesis()
        if genesis is None:
            return None
        return self.record(store, identity_key(node_id), Identity, genesis.cluster)

    def unknown(self, node_id: str, store: Store, beacon: Beacon | None) -> NodeUnknown:
        """The error for a node that has no identity under `store`."""
        if beacon is not None and beacon.home not in ("", store.uri):
            # Named and not followed: what a beacon says must not choose where our credentials go.
            return NodeUnknown(f"{node_id} has a home of its own, {beacon.home}: give that home")
        return NodeUnknown(f"no node {node_id} ever lived under {store.uri}: check the id and the store")

    def beacon(self, node_id: str) -> Beacon | None:
        """What a node last said of itself."""
        read = self.record(self.store, member_key(node_id), Beacon, self.uuid)
        return None if read is None else read[0]

    def listed_members(self) -> list[str]:
        """The ids of all nodes that have a beacon."""
        found: list[str] = []
        after: str | None = None
        while True:
            answer = self.ask(self.store, List(MEMBERS, after, PAGE))
            if not isinstance(answer, Listed):
                refuse(answer, MEMBERS)
            found += [node for entry in answer.entries if (node := member_id(entry.key)) is not None]
            if not answer.more or not answer.entries:
                return found
            after = answer.entries[-1].key


def sound(result: _T | Trouble | Dishonest) -> _T:
    """`result`, or the error that it calls for."""
    if isinstance(result, Trouble | Dishonest):
        refuse(result, "")
    return result


def refuse(wrong: object, key: str) -> NoReturn:
    """The error that `wrong`, an answer or an outcome, calls for."""
    match wrong:
        case Denied(error=error) | Trouble(error=error, denied=True):
            raise StoreDenied(error)
        case Unclear(error=error) | Trouble(error=error):
            raise StoreUnreachable(error)
        case Dishonest(error=error):
            raise StoreUnfit(error)
        case Oversize(size=size):
            raise RecordUnreadable(f"{key} is {size} bytes long; no record is: it was not written by Holocron")
        case _:
            raise StoreUnreachable(f"{key}: the store answered {type(wrong).__name__.lower()}; try again")


def nonce() -> str:
    """A string that no one else has or will have."""
    return secrets.token_hex(16)
