"""Whatever lies under the prefix: no crash, no lease cut short, nothing written over or lost (I12, "Bad input")."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace as changed

from holocron import Cluster, Node, Reason, Settings
from holocron.clock import SystemClock, elapsed_waiter_s
from holocron.errors import NodeExists, RecordUnreadable, StoreUnfit
from holocron.events import Deposed, Elected
from holocron.layout import (
    CLUSTER,
    CONTROL,
    EPOCH_FLOOR,
    EPOCHS,
    PROBE,
    history_key,
    identity_key,
    member_key,
    number_of,
    numbered,
    state_key,
)
from holocron.records import Control, Epoch, Floor, decode, encode
from holocron.store.base import Found, Get, Put, Written
from holocron.store.memory import MemoryStore
from tests.runtime.made import epoch, get, keys, put
from tests.runtime.stores import Meddler
from tests.runtime.waiting import LIVENESS_S, Heard, until

Start = Callable[..., Node]

# The longest lease of the cluster is what an unreadable epoch is waited out for: short, so that tests can.
SETTINGS = Settings(ttl_s=1.5, ttl_max_s=1.5, renew_every_s=0.25, heartbeat_every_s=0.25)

BODIES = {
    "empty": b"",
    "foreign": b"<html>not ours</html>\n",
    "truncated": encode(epoch(2))[:-40],
    "huge": b'{"format": 1, "cluster": "' + b"x" * (9 * 1024 * 1024) + b'"}',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep object": b'{"format":' * 50_000 + b"1" + b"}" * 50_000,
    "nan": encode(epoch(2)).replace(b'"term": 1', b'"term": NaN'),
    "infinite": encode(epoch(2)).replace(b'"term": 1', b'"term": 1e400'),
    "not utf-8": encode(epoch(2)).replace(b"ALPHA", b"\xff\xfe\xfa"),
    "surrogates": encode(epoch(2)).replace(b"ALPHA", b"\\ud800"),
    "newer": encode(epoch(2)).replace(b'"format": 1', b'"format": 2'),
    "null": b"null",
    "list": b"[]",
    "zeros": b"\0" * 4096,
    "other cluster": encode(epoch(2)),
}
hostile = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
# One of each kind of reaction, where every one costs seconds: all go through the same decoder.
KINDS = ("foreign", "huge", "deep", "not utf-8", "newer", "other cluster")
each_kind = pytest.mark.parametrize("body", [BODIES[kind] for kind in KINDS], ids=KINDS)


def everything(store: MemoryStore, *under: str) -> dict[str, bytes | None]:
    """All objects under these prefixes."""
    return {key: get(store, key) for prefix in under for key in keys(store, prefix)}


def head(store: MemoryStore) -> int:
    """The number of the newest epoch."""
    return max(number for key in keys(store, EPOCHS) if (number := number_of(EPOCHS, key)) is not None)


def read(store: MemoryStore, number: int) -> Epoch:
    """Lock file `number`."""
    body = get(store, numbered(EPOCHS, number))
    assert body is not None
    return decode(Epoch, body, numbered(EPOCHS, number))


def slip_in(store: MemoryStore, body: bytes) -> int:
    """Create the epoch after the head with `body`, whoever else is about to; its number."""
    while True:
        number = head(store) + 1
        if isinstance(store.perform(Put(numbered(EPOCHS, number), body), 1.0), Written):
            return number


@pytest.fixture
def hostile_nodes(nodes: Start) -> Start:
    """Nodes of a cluster that waits 1.5 s for a lease that it cannot read."""

    def start(resume: str | None = None, **more: object) -> Node:
        return nodes(resume, **{"settings": SETTINGS, **more})

    return start


# --- in the chain of epochs -----------------------------------------------------------------------------------------


def test_epochs_that_cannot_be_read_are_held_and_not_free(hostile_nodes: Start, store: MemoryStore) -> None:
    """The leader that meets them steps down, they are waited out for the longest lease, and stay as they are (3)."""
    node, watcher, heard = hostile_nodes(), hostile_nodes(priority=0), Heard()
    node.subscribe(heard)
    node.campaign()
    first = heard.wait(Elected).lease
    value = node.publish(b"kept")
    until(lambda: watcher.published() is not None, "the watcher follows")
    began = SystemClock().now()
    numbers = [slip_in(store, body) for body in BODIES.values()]
    assert numbers == list(range(numbers[0], numbers[0] + len(BODIES)))
    assert first.lost.wait(LIVENESS_S)
    assert heard.wait(Deposed).reason is Reason.TAKEN_OVER
    until(lambda: node.epoch >= numbers[0], "it has seen the first of them")
    assert node.leader() is None
    second = heard.wait(Elected, 2).lease
    # Whoever wrote the last of them may have believed in it for the longest lease of the cluster.
    assert elapsed_waiter_s(began, SystemClock().now()) >= SETTINGS.ttl_max_s
    assert second.token == second.epoch == numbers[-1] + 1
    for number, body in zip(numbers, BODIES.values(), strict=True):
        assert get(store, numbered(EPOCHS, number)) == body
    taken = read(store, second.token)
    assert taken.cause == "expired"
    assert taken.previous == hashlib.sha256(BODIES["other cluster"]).hexdigest()
    assert taken.published is not None
    assert (taken.published.value, taken.published.epoch) == (b"kept", value)
    until(lambda: watcher.epoch > numbers[-1], "the watcher is past them, too")
    assert (node.failure, watcher.failure) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {b'"term": 1': b'"term": 9007199254740991'},
        {b'"ttl_ms": 10000': b'"ttl_ms": 86400000'},
        {b'"epoch": 2': b'"epoch": 3'},
        {b'"node": "alpha"': b'"node": "alpha\\n"'},
    ],
    ids=lambda changes: next(iter(changes.values())).decode()[:40],
)
def test_a_record_that_no_rule_could_have_written_is_no_record(
    hostile_nodes: Start, store: MemoryStore, changes: dict[bytes, bytes]
) -> None:
    """A lease by this cluster's uuid with impossible numbers is waited out like bytes that mean nothing (rule 3)."""
    node, heard = hostile_nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    heard.wait(Elected)
    while True:
        last = read(store, head(store))
        forged = encode(changed(epoch(2, term=1), cluster=node.cluster, previous=last.nonce))
        for old, new in changes.items():
            assert old in forged
            forged = forged.replace(old, new)
        key = numbered(EPOCHS, last.epoch + 1)
        forged = forged.replace(b'"epoch": 2,', b'"epoch": %d,' % (last.epoch + 1))
        if isinstance(store.perform(Put(key, forged), 1.0), Written):
            break
    heard.wait(Deposed)
    heard.wait(Elected, 2)
    assert get(store, key) == forged
    assert node.failure is None


def test_what_is_not_numbered_is_no_epoch(hostile_nodes: Start, store: MemoryStore) -> None:
    """Foreign names in the folder, and numbers behind a gap, neither take the lease nor hide the head (rule 7)."""
    names = (
        "readme.txt",
        "0000000000000001.json.bak",
        "1.json",
        "00000000000000001.json",
        "0000000000000000.json",
        "9999999999999999.json",
        "0000000000000002.JSON",
        "00000000000000\u0662.json",
        "sub/0000000000000003.json",
        "0000000000004711.json",
    )
    node = hostile_nodes()
    for name in names:
        put(store, EPOCHS + name, b"foreign")
    with node.lead(timeout=LIVENESS_S) as lease:
        assert lease.token == 1
        while lease.epoch < 4:
            assert not lease.lost.wait(0.01)
        other = hostile_nodes()
        until(lambda: other.epoch >= 4, "who comes later finds the head")
    with other.lead(timeout=LIVENESS_S) as taken:
        assert taken.token > lease.token
    for name in names:
        assert get(store, EPOCHS + name) == b"foreign"


@each_kind
def test_a_floor_that_cannot_be_read_stops_a_leader_and_lets_nobody_in(
    hostile_nodes: Start, store: MemoryStore, body: bytes
) -> None:
    """Without the floor no win is a win: the leader stops, loudly, and nobody writes over what lies there (rule 13)."""
    node, heard = hostile_nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    overwrite(store, EPOCH_FLOOR, body)
    assert node.wait(LIVENESS_S)
    assert not lease.valid
    assert isinstance(node.failure, StoreUnfit)
    assert EPOCH_FLOOR in str(node.failure)
    assert len(str(node.failure)) < 500
    assert "\n" not in str(node.failure)
    with pytest.raises(RecordUnreadable, match=EPOCH_FLOOR.replace(".", r"\.")):
        hostile_nodes()
    assert get(store, EPOCH_FLOOR) == body


def test_a_floor_above_the_head_stops_everyone(hostile_nodes: Start, store: MemoryStore) -> None:
    """A well-formed floor that cannot be (above what was just written) makes no orphan a leader (I4)."""
    node, heard = hostile_nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    overwrite(store, EPOCH_FLOOR, encode(Floor(cluster=node.cluster, nonce="n", floor=2**40)))
    assert lease.lost.wait(LIVENESS_S)
    assert node.wait(LIVENESS_S)
    assert isinstance(node.failure, StoreUnfit)


def overwrite(store: MemoryStore, key: str, body: bytes) -> None:
    """What a stranger may do and Holocron never does."""
    while True:
        there = store.perform(Get(key), 1.0)
        match = there.etag if isinstance(there, Found) else None
        if isinstance(store.perform(Put(key, body, match), 1.0), Written):
            return


# --- beside the chain -----------------------------------------------------------------------------------------------


def test_nothing_beside_the_chain_disturbs_a_leader(hostile_nodes: Start, store: MemoryStore) -> None:
    """Members, control requests, history and foreign objects that cannot be read cost no renewal and stay (I12)."""
    node = hostile_nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        odd = {}
        for number, body in enumerate(BODIES.values()):
            for key in (
                member_key(f"stranger{number}"),
                f"members/UPPER{number}.json",
                history_key(64 * number + 1, 64 * number + 64),
                f"history/odd{number}",
                identity_key(f"stranger{number}"),
                state_key(f"stranger{number}"),
                f"nodes/odd{number}",
                f"control/odd{number}",
            ):
                odd[key] = body
        for number, kind in enumerate(("foreign", "huge", "deep", "newer"), start=1):
            odd[numbered(CONTROL, number)] = BODIES[kind]
        for key, body in odd.items():
            put(store, key, body)
        before = lease.epoch
        other = hostile_nodes()
        until(lambda: {m.node for m in node.members()} == {node.id, other.id}, "the view has who can be read")
        while lease.epoch < before + 4:
            assert not lease.lost.wait(0.01)
        # Requests that cannot be read are passed over, and the next one is dealt with.
        asked = Control(
            cluster=node.cluster,
            nonce="n",
            number=5,
            request="step-down",
            term=lease.token,
            heir=None,
            by="",
            written="",
        )
        put(store, numbered(CONTROL, 5), asked)
        assert lease.lost.wait(LIVENESS_S)
    assert lease.reason is Reason.RELEASED
    until(lambda: read(store, head(store)).kind == "release", "it was released")
    assert {key: get(store, key) for key in odd} == odd
    assert node.failure is None


def test_a_stranger_among_the_members_is_read_once(place: str, nodes: Start, store: MemoryStore) -> None:
    """What is no beacon costs one GET, and another only when it has changed (section 10)."""
    for number, body in enumerate(BODIES.values()):
        put(store, member_key(f"stranger{number}"), body)
    meddler = Meddler(store)
    node = nodes(location=meddler, settings=SETTINGS)
    with node.lead(timeout=LIVENESS_S):
        until(lambda: len(meddler.trips("LIST", "members/")) >= 5, "it looks around")
        for number in range(len(BODIES)):
            assert len(meddler.trips("GET", member_key(f"stranger{number}"))) == 1
        overwrite(store, member_key("stranger0"), b"changed")
        until(lambda: len(meddler.trips("GET", member_key("stranger0"))) == 2, "it looks again")


def test_a_beacon_of_ones_own_that_cannot_be_read_costs_presence_alone(
    hostile_nodes: Start, store: MemoryStore
) -> None:
    """It is never written over, and the node follows and leads all the same."""
    crowd = []
    for number, body in enumerate(BODIES.values()):
        put(store, member_key(f"n{number}"), body)
        crowd.append(hostile_nodes(node_id=f"n{number}"))
    with crowd[0].lead(timeout=LIVENESS_S) as lease:
        until(lambda: all(node.leader() is not None for node in crowd), "all follow")
        while lease.epoch < 5:
            assert not lease.lost.wait(0.01)
    for number, body in enumerate(BODIES.values()):
        crowd[number].stop()
        assert get(store, member_key(f"n{number}")) == body
        assert crowd[number].failure is None


@each_kind
def test_a_node_lives_without_a_state_that_can_be_read(hostile_nodes: Start, store: MemoryStore, body: bytes) -> None:
    """What it last knew is a hint; a state or beacon that a stranger has spoilt is left alone, and not believed."""
    first = hostile_nodes()
    with first.lead(timeout=LIVENESS_S):
        pass
    first.stop()
    for key in (state_key(first.id), member_key(first.id)):
        overwrite(store, key, body)
    again = hostile_nodes(first.id)
    assert again.incarnation == 2
    with again.lead(timeout=LIVENESS_S) as lease:
        assert lease.token > 1
    again.stop()
    assert get(store, state_key(first.id)) == get(store, member_key(first.id)) == body


@hostile
def test_an_identity_that_cannot_be_read_is_an_answer(hostile_nodes: Start, store: MemoryStore, body: bytes) -> None:
    """Neither started over nor resumed, and one clear line for each."""
    hostile_nodes().stop()
    put(store, identity_key("alpha"), body)
    before = everything(store, "nodes/", EPOCHS, "members/")
    with pytest.raises(NodeExists):
        hostile_nodes(node_id="alpha")
    with pytest.raises(RecordUnreadable, match=r"nodes/alpha/identity\.json") as refused:
        hostile_nodes("alpha")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
    assert everything(store, "nodes/", EPOCHS, "members/") == before


@each_kind
def test_a_genesis_that_cannot_be_read_lets_nobody_in(hostile_nodes: Start, store: MemoryStore, body: bytes) -> None:
    """Those inside go on under what they have read; those outside are told what is wrong."""
    node = hostile_nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        overwrite(store, CLUSTER, body)
        for resumed in (None, node.id):
            with pytest.raises(RecordUnreadable, match=r"cluster\.json"):
                hostile_nodes(resumed)
        before = lease.epoch
        while lease.epoch < before + 1:
            assert not lease.lost.wait(0.01)
    assert get(store, CLUSTER) == body
    assert node.failure is None


@hostile
def test_a_marker_that_cannot_be_read_is_said_and_kept(hostile_nodes: Start, store: MemoryStore, body: bytes) -> None:
    """The note of the probe is a record like any other: never taken for absent, never written over."""
    put(store, PROBE, body)
    with pytest.raises(RecordUnreadable, match=r"probe\.json"):
        hostile_nodes()
    assert get(store, PROBE) == body


def test_a_flood_of_strangers_is_no_more_than_slow(hostile_nodes: Start, store: MemoryStore) -> None:
    """Thousands of foreign objects in every folder: the leader leads and its view has who is real."""
    for number in range(1500):
        put(store, f"members/{number:04d}.json", b"foreign")
        put(store, f"epochs/x{number:04d}", b"foreign")
    node = hostile_nodes(node_id="zz")
    with node.lead(timeout=LIVENESS_S) as lease:
        until(lambda: [m.node for m in node.members()] == ["zz"], "the view has who is real")
        while lease.epoch < 4:
            assert not lease.lost.wait(0.01)
        assert lease.token == 1


def test_an_operator_looks_past_what_cannot_be_read(hostile_nodes: Start, store: MemoryStore) -> None:
    """`Cluster` names the object that cannot be read and shows the rest; it changes nothing."""
    node = hostile_nodes()
    with node.lead(timeout=LIVENESS_S):
        until(lambda: len(node.members()) == 1, "it knows itself")
        put(store, member_key("stranger"), b"\xff")
        before = everything(store, "members/stranger", "nodes/")
        with Cluster.open(node.location) as cluster:
            leader = cluster.leader()
            assert leader is not None
            assert leader.node == node.id
            assert node.id in {member.node for member in cluster.members()}
        assert everything(store, "members/stranger", "nodes/") == before


def test_many_meddle_at_once_and_the_lease_is_told_truly(hostile_nodes: Start, store: MemoryStore) -> None:
    """Objects of every kind turn up while nodes lead in turn: no two ever believe at once, none crashes (I1, I12)."""
    three = [hostile_nodes() for _ in range(3)]
    believers, overlap, over = [], threading.Event(), threading.Event()
    terms: list[int] = []

    def work(node: Node) -> None:
        while not over.is_set():
            try:
                with node.lead(timeout=0.5) as lease:
                    believers.append(node.id)
                    if lease.valid and len(believers) > 1:
                        overlap.set()
                    terms.append(lease.token)
                    believers.remove(node.id)
            except TimeoutError:
                continue

    threads = [threading.Thread(target=work, args=(node,)) for node in three]
    for thread in threads:
        thread.start()
    bodies = list(BODIES.values())
    for number in range(4):
        reached = len(terms) + 1
        until(lambda reached=reached: len(terms) >= reached, "someone leads")  # type: ignore[misc]  # a default binds
        for kind, body in enumerate(bodies):
            put(store, f"members/m{number}-{kind}.json", body)
            put(store, f"epochs/m{number}-{kind}", body)
        slip_in(store, bodies[number])
    reached = len(terms) + 1
    until(lambda: len(terms) >= reached, "someone leads after it all")
    over.set()
    for thread in threads:
        thread.join(LIVENESS_S)
    assert not overlap.is_set()
    assert terms == sorted(set(terms))
    assert [node.failure for node in three] == [None] * 3
