"""Coming aboard: genesis, and the compare-and-swap by which a process becomes an incarnation of a node (rule 11).

A new node founds the cluster where there is none (`found_cluster`, `enlist`); one that comes back never does, and
is one read and one write away from being aboard (`look_back`, `revive`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeVar

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
from holocron.records import (
    Beacon,
    Floor,
    Genesis,
    Holder,
    Identity,
    Marker,
    Record,
    State,
    decode,
    encode,
)
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

__all__ = ["Aboard", "Back", "Claim", "enlist", "found_cluster", "look_back", "revive"]

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


class Back(msgspec.Struct, frozen=True):
    """What a node that comes back finds: its identity with the ETag to replace it by, its cluster, what it last knew.

    `genesis` is None where no cluster that is this node's lies at the place looked at: its identity names the place.
    """

    identity: Identity
    etag: str
    genesis: Genesis | None
    marker: Marker | None
    state: tuple[State, str] | None
    beacon: tuple[Beacon, str] | None


R = TypeVar("R", bound=Record)


def _read(
    store: Store, kind: type[R], key: str, cluster: str | None, deadline: Deadline
) -> Procedure[tuple[R, str] | None]:
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
    results = (yield Together(_of_cluster(store, deadline))).results
    there, marker, floor = _opened(results[0], Genesis), _opened(results[1], Marker), _opened(results[2], Floor)
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
        there = yield from _read(store, Genesis, CLUSTER, None, deadline)
        assert there is not None
    genesis_found = there[0]
    _check_ttl(store, genesis_found, settings)
    _check_floor(genesis_found, floor)
    if floor is None:
        # Between the two creations of genesis, or after a wipe: only an empty chain is a beginning.
        yield from _refuse_if_orphaned(store, deadline)
        yield from _create(store, EPOCH_FLOOR, Floor(cluster=genesis_found.cluster, nonce=nonce(), floor=1), deadline)
    return genesis_found, _passed(genesis_found, marker)


def _of_cluster(store: Store, deadline: Deadline) -> tuple[Procedure[object], ...]:
    """What every node reads of a cluster first: genesis, the marker of the probe, the floor."""
    return (
        _kept(_read(store, Genesis, CLUSTER, None, deadline)),
        _kept(_read(store, Marker, PROBE, None, deadline)),
        _kept(_read(store, Floor, EPOCH_FLOOR, None, deadline)),
    )


def _check_ttl(store: Store, genesis: Genesis, settings: Settings) -> None:
    low_s, high_s = genesis.ttl_min_ms / 1000, genesis.ttl_max_ms / 1000
    if not low_s <= settings.ttl_s <= high_s:
        raise SettingsError(
            f"ttl is {show_duration(settings.ttl_s)}; the cluster at {store.uri} was founded for "
            f"{show_duration(low_s)} to {show_duration(high_s)}"
        )


def _check_floor(genesis: Genesis, floor: tuple[Floor, str] | None) -> None:
    if floor is not None and floor[0].cluster != genesis.cluster:
        raise RecordUnreadable(
            f"{EPOCH_FLOOR} belongs to cluster {floor[0].cluster}, not to {genesis.cluster}: "
            "two clusters share a prefix"
        )


def _passed(genesis: Genesis, marker: tuple[Marker, str] | None) -> Marker | None:
    """The marker, if it is of this cluster."""
    return marker[0] if marker is not None and marker[0].cluster == genesis.cluster else None


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


def look_back(store: Store, home: Store, settings: Settings, node: str, deadline: Deadline) -> Procedure[Back]:
    """What node `node` of `home` finds, in one round trip; nothing is written, and no cluster is founded."""
    results = (yield Together((
        _kept(_read(home, Identity, identity_key(node), None, deadline)),
        _kept(_read(home, State, state_key(node), None, deadline)),
        _kept(_read(store, Beacon, member_key(node), None, deadline)),
        *_of_cluster(store, deadline),
    ))).results  # fmt: skip
    there = _opened(results[0], Identity)
    if there is None:
        raise NodeUnknown(f"there is no node {node} at {home.uri}: check the id and the store, or start a new node")
    identity, etag = there
    if identity.forgotten:
        raise NodeUnknown(f"node {node} was forgotten by an operator: start a new node")
    # What the node last knew is a hint; where it cannot be read, the node does without.
    state = None if isinstance(results[1], HolocronError) else _opened(results[1], State)
    beacon = None if isinstance(results[2], HolocronError) else _opened(results[2], Beacon)
    state = state if state is not None and _same(state[0], identity) else None
    beacon = beacon if beacon is not None and _same(beacon[0], identity) else None
    genesis = _opened(results[3], Genesis)
    if genesis is None or genesis[0].cluster != identity.cluster:
        if identity.cluster_uri and identity.cluster_uri != store.uri:
            return Back(identity, etag, None, None, state, None)
        raise StoreUnfit(
            f"node {node} is of cluster {identity.cluster}, and {store.uri} "
            + (f"belongs to cluster {genesis[0].cluster}" if genesis is not None else f"has no {CLUSTER}: it was wiped")
        )
    floor = _opened(results[5], Floor)
    if floor is None:
        raise StoreUnfit(f"{store.uri} lost its {EPOCH_FLOOR}: it was wiped in part; restore it, or use a new prefix")
    _check_ttl(store, genesis[0], settings)
    _check_floor(genesis[0], floor)
    return Back(identity, etag, genesis[0], _passed(genesis[0], _opened(results[4], Marker)), state, beacon)


def revive(home: Store, back: Back, claim: Claim, nonce: Nonce, deadline: Deadline) -> Procedure[Aboard]:
    """The node of `back` again, as its next incarnation; a second claimant is told who was first."""
    identity, node = back.identity, back.identity.node
    key = identity_key(node)
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
    result = yield from replace(home, key, encode(mine), back.etag, deadline)
    match result:
        case Replaced(etag=etag):
            state, state_etag = back.state or (None, None)
            beacon, beacon_etag = back.beacon or (None, None)
            return Aboard(mine, etag, state, state_etag, beacon, beacon_etag)
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


def _same(record: State | Beacon, identity: Identity) -> bool:
    return record.cluster == identity.cluster and record.node == identity.node


def _create(store: Store, key: str, record: Record, deadline: Deadline) -> Procedure[None]:
    answer = yield from asked(store, Put(key, encode(record)), deadline)
    match answer:
        case Denied(error=error):
            raise StoreDenied(error)
        case Unclear(error=error):
            raise StoreUnreachable(error)


def _kept(procedure: Procedure[tuple[R, str] | None]) -> Procedure[object]:
    """`procedure`, with an error of ours for a result: side by side there is nobody to raise it to."""
    try:
        return (yield from procedure)
    except HolocronError as error:
        return error


def _opened(result: object, kind: type[R]) -> tuple[R, str] | None:
    """The result of a `_kept` read of `kind`; its error is raised here."""
    if isinstance(result, HolocronError):
        raise result
    if result is None:
        return None
    assert isinstance(result, tuple)
    record, etag = result
    assert isinstance(record, kind)
    return record, etag
