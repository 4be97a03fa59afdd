"""Coming aboard: genesis, and the compare-and-swap by which a process becomes an incarnation of a node (rule 11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec
from msgspec.structs import replace as changed

from holocron.errors import (
    HolocronError,
    NodeExists,
    NodeUnknown,
    OutcomeUnknown,
    RecordUnreadable,
    SettingsError,
    StoreDenied,
    StoreUnfit,
    StoreUnreachable,
    Superseded,
)
from holocron.layout import CLUSTER, EPOCH_FLOOR, EPOCHS, PROBE, identity_key, member_key, number_of, state_key
from holocron.records import Beacon, Floor, Genesis, Holder, Identity, Marker, Record, State, decode, encode
from holocron.settings import Settings, show_duration
from holocron.store.base import (
    Absent,
    Deadline,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Put,
    Store,
    Together,
    Unclear,
)
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace
from holocron.store.retry import asked

__all__ = ["Aboard", "Claim", "enlist", "found_cluster", "read", "revive"]

Nonce = Callable[[], str]


class Claim(msgspec.Struct, frozen=True):
    """What the caller says of itself; None leaves what the node's identity says already."""

    session: str
    holder: Holder
    cluster_uri: str
    name: str | None = None
    address: str | None = None
    labels: dict[str, str] | None = None
    priority: int | None = None


class Aboard(msgspec.Struct, frozen=True):
    """A node with this process as its current incarnation, and what it last knew."""

    identity: Identity
    etag: str
    state: State | None = None
    state_etag: str | None = None
    beacon: Beacon | None = None
    beacon_etag: str | None = None

    @property
    def last_epoch(self) -> int:
        """The newest epoch that any incarnation of this node is known to have seen."""
        return max(self.state.epoch if self.state else 0, self.beacon.epoch if self.beacon else 0)


def read(
    store: Store, kind: type[Record], key: str, cluster: str | None, deadline: Deadline
) -> Procedure[tuple[Record, str] | None]:
    """The record under `key` with its ETag, or None where there is none; raises what keeps it from being read."""
    answer = yield from asked(store, Get(key), deadline)
    match answer:
        case Found(body=body, etag=etag):
            return decode(kind, body, key, cluster), etag
        case Absent():
            return None
        case Oversize(size=size):
            raise RecordUnreadable(f"{key} is {size} bytes long; no record is: it was not written by Holocron")
        case Denied(error=error):
            raise StoreDenied(error)
        case Unclear(error=error):
            raise StoreUnreachable(error)
    raise StoreUnreachable(f"{key}: {type(answer).__name__} is no answer to a read")


def found_cluster(
    store: Store, settings: Settings, nonce: Nonce, written: str, deadline: Deadline
) -> Procedure[tuple[Genesis, Marker | None]]:
    """The cluster under this prefix, created if there is none yet, and the marker of a probe it has passed."""
    results = (yield Together((
        _kept(read(store, Genesis, CLUSTER, None, deadline)),
        _kept(read(store, Marker, PROBE, None, deadline)),
        _kept(read(store, Floor, EPOCH_FLOOR, None, deadline)),
    ))).results  # fmt: skip
    there, marker, floor = (_opened(result) for result in results)
    if there is None:
        yield from _refuse_if_orphaned(store, deadline)
        genesis = Genesis(
            cluster=str(uuid.UUID(nonce()[:32])),
            nonce=nonce(),
            ttl_min_ms=round(settings.ttl_min_s * 1000),
            ttl_max_ms=round(settings.ttl_max_s * 1000),
            created=written,
        )
        yield from _create(store, CLUSTER, genesis, deadline)
        # Two first nodes may come at once; the one object that stands is the cluster.
        there = yield from read(store, Genesis, CLUSTER, None, deadline)
        assert there is not None
    genesis_found = there[0]
    assert isinstance(genesis_found, Genesis)
    if floor is not None and floor[0].cluster != genesis_found.cluster:
        raise RecordUnreadable(
            f"{EPOCH_FLOOR} belongs to cluster {floor[0].cluster}, not to {genesis_found.cluster}: "
            "two clusters share a prefix"
        )
    if floor is None:
        # Between the two creations of genesis, or after a wipe: only an empty chain is a beginning.
        yield from _refuse_if_orphaned(store, deadline)
        yield from _create(store, EPOCH_FLOOR, Floor(cluster=genesis_found.cluster, nonce=nonce(), floor=1), deadline)
    low_s, high_s = genesis_found.ttl_min_ms / 1000, genesis_found.ttl_max_ms / 1000
    if not low_s <= settings.ttl_s <= high_s:
        raise SettingsError(
            f"ttl is {show_duration(settings.ttl_s)}; the cluster at {store.uri} was founded for "
            f"{show_duration(low_s)} to {show_duration(high_s)}"
        )
    record = marker[0] if marker is not None else None
    passed = record if isinstance(record, Marker) and record.cluster == genesis_found.cluster else None
    return genesis_found, passed


def _refuse_if_orphaned(store: Store, deadline: Deadline) -> Procedure[None]:
    answer = yield from asked(store, List(EPOCHS), deadline)
    match answer:
        case Listed(entries=entries):
            # What is not numbered is a stranger's, and no sign of a cluster.
            for entry in entries:
                if number_of(EPOCHS, entry.key) is not None:
                    raise StoreUnfit(
                        f"{store.uri} has {entry.key} but lost its {CLUSTER} or {EPOCH_FLOOR}: it was wiped in part; "
                        "use a new prefix, or restore what is missing"
                    )
        case Denied(error=error):
            raise StoreDenied(error)
        case Unclear(error=error):
            raise StoreUnreachable(error)


def enlist(
    store: Store, home: Store, genesis: Genesis, node: str, claim: Claim, nonce: Nonce, deadline: Deadline
) -> Procedure[Aboard]:
    """A new node `node`, incarnation 1."""
    identity = Identity(
        cluster=genesis.cluster,
        nonce=nonce(),
        node=node,
        incarnation=1,
        session=claim.session,
        cluster_uri=claim.cluster_uri,
        name=claim.name or "",
        address=claim.address or "",
        labels=claim.labels or {},
        priority=1 if claim.priority is None else claim.priority,
        holder=claim.holder,
        created=claim.holder.since,
    )
    result = yield from replace(home, identity_key(node), encode(identity), None, deadline)
    match result:
        case Replaced(etag=etag):
            return Aboard(identity, etag)
        case Held():
            raise NodeExists(f"node {node} exists at {home.uri}: resume it, or start under another id")
        case NotDone(error=error, denied=denied):
            raise StoreDenied(error) if denied else StoreUnreachable(error)
        case Unsettled(error=error):
            raise OutcomeUnknown(f"node {node} may or may not have been created at {home.uri}: {error}")


def revive(store: Store, home: Store, node: str, claim: Claim, nonce: Nonce, deadline: Deadline) -> Procedure[Aboard]:
    """Node `node` again, as its next incarnation; a second claimant is told who was first."""
    key = identity_key(node)
    results = (yield Together((
        _kept(read(home, Identity, key, None, deadline)),
        _kept(read(home, State, state_key(node), None, deadline)),
        _kept(read(store, Beacon, member_key(node), None, deadline)),
    ))).results  # fmt: skip
    there = _opened(results[0])
    if there is None:
        raise NodeUnknown(f"there is no node {node} at {home.uri}: check the id and the store, or start a new node")
    identity, etag = there
    assert isinstance(identity, Identity)
    if identity.forgotten:
        raise NodeUnknown(f"node {node} was forgotten by an operator: start a new node")
    # What the node last knew is a hint; where it cannot be read, the node does without.
    state = results[1] if not isinstance(results[1], HolocronError) else None
    beacon = results[2] if not isinstance(results[2], HolocronError) else None
    mine = changed(
        identity,
        nonce=nonce(),
        incarnation=identity.incarnation + 1,
        session=claim.session,
        holder=claim.holder,
        name=identity.name if claim.name is None else claim.name,
        address=identity.address if claim.address is None else claim.address,
        labels=identity.labels if claim.labels is None else claim.labels,
        priority=identity.priority if claim.priority is None else claim.priority,
    )
    result = yield from replace(home, key, encode(mine), etag, deadline)
    match result:
        case Replaced(etag=etag):
            return _aboard(mine, etag, state, beacon)
        case Held(found=Found(body=body)):
            other = decode(Identity, body, key, identity.cluster)
            raise Superseded(
                f"node {node} was resumed by another at the same time: incarnation {other.incarnation} is held by "
                f"process {other.holder.pid} on {other.holder.host} since {other.holder.since}"
            )
        case Held():
            raise NodeUnknown(f"node {node} went away while it was being resumed: {key} is gone")
        case NotDone(error=error, denied=denied):
            raise StoreDenied(error) if denied else StoreUnreachable(error)
        case Unsettled(error=error):
            raise OutcomeUnknown(f"node {node} may or may not have been resumed here: {error}; resume it once more")


def _aboard(identity: Identity, etag: str, state: object, beacon: object) -> Aboard:
    aboard = Aboard(identity, etag)
    if isinstance(state, tuple) and isinstance(state[0], State) and _same(state[0], identity):
        aboard = changed(aboard, state=state[0], state_etag=state[1])
    if isinstance(beacon, tuple) and isinstance(beacon[0], Beacon) and _same(beacon[0], identity):
        aboard = changed(aboard, beacon=beacon[0], beacon_etag=beacon[1])
    return aboard


def _same(record: State | Beacon, identity: Identity) -> bool:
    return record.cluster == identity.cluster and record.node == identity.node


def _create(store: Store, key: str, record: Record, deadline: Deadline) -> Procedure[None]:
    answer = yield from asked(store, Put(key, encode(record)), deadline)
    match answer:
        case Denied(error=error):
            raise StoreDenied(error)
        case Unclear(error=error):
            raise StoreUnreachable(error)


def _kept(procedure: Procedure[tuple[Record, str] | None]) -> Procedure[object]:
    """`procedure`, with an error of ours for a result: side by side there is nobody to raise it to."""
    try:
        return (yield from procedure)
    except HolocronError as error:
        return error


def _opened(result: object) -> tuple[Record, str] | None:
    if isinstance(result, HolocronError):
        raise result
    assert result is None or isinstance(result, tuple)
    return result
