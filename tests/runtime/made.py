"""A cluster made by hand on a store: what nodes would have written."""

from __future__ import annotations

from holocron.clock import SystemClock
from holocron.layout import CLUSTER, EPOCH_FLOOR, EPOCHS, PROBE, identity_key, member_key, numbered
from holocron.records import (
    Beacon,
    Cause,
    Epoch,
    Floor,
    Genesis,
    Holder,
    Identity,
    Leader,
    Marker,
    Member,
    Published,
    Record,
    encode,
)
from holocron.store.base import Absent, Deadline, Found, Get, List, Listed, Put, Store, Written

UUID = "11111111-2222-3333-4444-555555555555"


def deadline() -> Deadline:
    """Ample time."""
    return Deadline(SystemClock().now(), 30.0, 5.0)


def put(store: Store, key: str, record: Record | bytes) -> None:
    """Create an object."""
    body = record if isinstance(record, bytes) else encode(record)
    assert isinstance(store.perform(Put(key, body), 1.0), Written)


def get(store: Store, key: str) -> bytes | None:
    """What is there, None if nothing."""
    answer = store.perform(Get(key), 1.0)
    assert isinstance(answer, Found | Absent)
    return answer.body if isinstance(answer, Found) else None


def keys(store: Store, prefix: str) -> list[str]:
    """What is under `prefix`."""
    answer = store.perform(List(prefix), 1.0)
    assert isinstance(answer, Listed)
    return [entry.key for entry in answer.entries]


def epoch(
    number: int,
    term: int = 1,
    node: str = "alpha",
    *,
    cause: Cause = "renewed",
    release: bool = False,
    topology: tuple[Member, ...] = (),
    value: bytes | None = None,
    control: int = 0,
) -> Epoch:
    """One lock file."""
    return Epoch(
        cluster=UUID,
        nonce=f"n{number}",
        epoch=number,
        term=term,
        kind="release" if release else "lease",
        cause=cause,
        leader=Leader(node=node, incarnation=1, session="s", name=node.upper()),
        previous="" if number == 1 else f"n{number - 1}",
        ttl_ms=10_000,
        renew_ms=3_000,
        floor=1,
        control=control,
        heir=None,
        published=None if value is None else Published(value=value, epoch=number, term=term),
        topology=topology,
        written=f"at {number}",
    )


def genesis(store: Store) -> None:
    """A cluster that has begun, without an epoch."""
    put(store, CLUSTER, Genesis(cluster=UUID, nonce="g", ttl_min_ms=1000, ttl_max_ms=600_000, created="then"))
    put(store, EPOCH_FLOOR, Floor(cluster=UUID, nonce="f", floor=1))


def begun(store: Store) -> None:
    """A cluster that has begun on a store that has shown what it promises: nobody probes it again."""
    genesis(store)
    put(store, PROBE, Marker(cluster=UUID, nonce="p", probed="then", rounds=1, clock_agrees=True))


def chain(store: Store, *epochs: Epoch) -> None:
    """Epochs on top of `genesis`."""
    for one in epochs:
        put(store, numbered(EPOCHS, one.epoch), one)


def node(store: Store, node_id: str, *, stopped: bool = False, beacon: bool = True, home: Store | None = None) -> None:
    """A node that lives, or has stopped."""
    put(
        home or store,
        identity_key(node_id),
        Identity(
            cluster=UUID,
            nonce="i",
            node=node_id,
            incarnation=1,
            session="s",
            cluster_uri=store.uri,
            name=node_id.upper(),
            address="",
            labels={},
            priority=1,
            holder=Holder(host="h", pid=1, since="then"),
            created="then",
        ),
    )
    if not beacon:
        return
    put(
        store,
        member_key(node_id),
        Beacon(
            cluster=UUID,
            nonce="b",
            node=node_id,
            incarnation=1,
            session="s",
            revision=1,
            beat=1,
            every_ms=10_000,
            epoch=3,
            role="follower",
            standing=True,
            stopped=stopped,
            priority=1,
            name=node_id.upper(),
            address="",
            labels={},
            home=(home or store).uri,
            written="then",
        ),
    )


def row(node_id: str, rank: int = 1) -> Member:
    """A row of the leader's view that calls the node alive."""
    return Member(node=node_id, incarnation=1, status="alive", rank=rank)
