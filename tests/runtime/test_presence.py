"""Heartbeats as they find out what became of a node, and of the store that it lives in."""

from __future__ import annotations

from msgspec.structs import replace as changed

from holocron.clock import SystemClock
from holocron.layout import EPOCH_FLOOR, EPOCHS, identity_key, member_key, numbered
from holocron.records import Beacon, Floor, Holder, Identity, encode
from holocron.runtime.presence import Beaten, NewerFound, Obstructed, first_beacon, heartbeat, next_beacon
from holocron.store.base import Deadline, Delete, Found, Get, Put, Written
from holocron.store.chain import Dishonest
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore

UUID = "c1"


def identity(incarnation: int = 2) -> Identity:
    """Node n1 as its incarnation `incarnation`."""
    return Identity(
        cluster=UUID,
        nonce=f"i{incarnation}",
        node="n1",
        incarnation=incarnation,
        session=f"s{incarnation}",
        cluster_uri="memory://c",
        name="",
        address="",
        labels={},
        priority=1,
        holder=Holder(host="h", pid=1, since="then"),
        created="then",
    )


def put(store: MemoryStore, key: str, body: bytes) -> str:
    """Have `body` stand under `key`, whatever was there; its ETag."""
    store.perform(Delete(key), 1.0)
    written = store.perform(Put(key, body), 1.0)
    assert isinstance(written, Written)
    return written.etag


def beacon(incarnation: int = 2) -> Beacon:
    """The first beacon of an incarnation."""
    return first_beacon(identity(incarnation), None, "memory://c", 10_000, 0.0)


def beat(store: MemoryStore, what: Beacon, etag: str | None, confirmed: int) -> object:
    """What one heartbeat comes to."""
    deadline = Deadline(SystemClock().now(), 5.0, 1.0)
    return drive(heartbeat(store, store, what, etag, confirmed, deadline))


def home() -> MemoryStore:
    """A store in which node n1 is incarnation 2."""
    store = MemoryStore()
    put(store, identity_key("n1"), encode(identity()))
    put(store, EPOCH_FLOOR, encode(Floor(cluster=UUID, nonce="f", floor=1)))
    return store


def test_heartbeats_follow_one_another() -> None:
    """Each rewrites the one before, and each has a greater beat."""
    store, one = home(), beacon()
    first = beat(store, one, None, 0)
    assert isinstance(first, Beaten)
    two = next_beacon(one, "n", 1.0)
    second = beat(store, two, first.etag, first.beat)
    assert isinstance(second, Beaten)
    assert second.beat == first.beat + 1


def test_a_newer_incarnation_is_found() -> None:
    """A former self learns at its next heartbeat that another has taken its place (rule 11)."""
    store = home()
    put(store, member_key("n1"), encode(beacon(3)))
    assert beat(store, beacon(), None, 0) == NewerFound(3)


def test_a_former_incarnations_beacon_is_replaced_at_first_and_a_sign_of_rollback_later() -> None:
    """Once a beat of this session stood, an older incarnation's can only come from a backup (I7)."""
    store = home()
    put(store, member_key("n1"), encode(beacon(1)))
    assert isinstance(beat(store, beacon(), None, 0), Beaten)
    put(store, member_key("n1"), encode(beacon(1)))
    found = beat(store, next_beacon(beacon(), "n", 1.0), '"stale"', 1)
    assert isinstance(found, Dishonest)
    assert "rolled back" in found.error


def test_an_earlier_beat_of_its_own_is_a_sign_of_rollback() -> None:
    """What was confirmed stood; where an older one stands now, the store went back (I7)."""
    store = home()
    put(store, member_key("n1"), encode(beacon()))
    found = beat(store, changed(beacon(), beat=9, nonce="n"), '"stale"', 8)
    assert isinstance(found, Dishonest)
    assert "beat 8" in found.error


def test_a_beat_whose_answer_was_lost_is_no_sign_of_anything() -> None:
    """A heartbeat that landed unheard is the newest there is: the next one replaces it."""
    store = home()
    put(store, member_key("n1"), encode(changed(beacon(), beat=8, nonce="landed unheard")))
    assert isinstance(beat(store, changed(beacon(), beat=9, nonce="n"), '"stale"', 7), Beaten)


def test_a_goodbye_is_not_overwritten_by_a_slower_heartbeat() -> None:
    """Where a later beat of the same session stands already, an earlier one in flight leaves it."""
    store = home()
    goodbye = changed(beacon(), beat=5, nonce="bye", stopped=True)
    etag = put(store, member_key("n1"), encode(goodbye))
    assert beat(store, changed(beacon(), beat=4, nonce="late"), '"stale"', 3) == Beaten(etag, 5)
    there = store.perform(Get(member_key("n1")), 1.0)
    assert isinstance(there, Found)
    assert there.body == encode(goodbye)


def test_a_beacon_that_went_is_written_again_while_the_identity_stands() -> None:
    """An operator's `rm` of a beacon costs nothing; a wiped home is noticed (I7)."""
    store = home()
    assert isinstance(beat(store, beacon(), '"stale"', 1), Beaten)
    store.perform(Delete(member_key("n1")), 1.0)
    store.perform(Delete(identity_key("n1")), 1.0)
    assert isinstance(beat(store, next_beacon(beacon(), "n", 1.0), '"stale"', 1), Dishonest)


def test_a_cluster_that_went_with_the_beacon_is_noticed() -> None:
    """A node with a home of its own, which stands, still finds out that the chain is gone (I7)."""
    apart, cluster = home(), home()
    deadline = Deadline(SystemClock().now(), 5.0, 1.0)
    knows = changed(beacon(), epoch=5)
    found = drive(heartbeat(cluster, apart, knows, '"stale"', 1, deadline))
    assert isinstance(found, Dishonest)
    assert "0000000000000005" in found.error
    cluster.perform(Delete(EPOCH_FLOOR), 1.0)
    found = drive(heartbeat(cluster, apart, beacon(), '"stale"', 1, deadline))
    assert isinstance(found, Dishonest)
    assert EPOCH_FLOOR in found.error


def test_a_wipe_is_noticed_although_an_epoch_landed_after_it() -> None:
    """An epoch that was under way as the prefix was wiped is a head like any other: the floor tells (rule 13, I7)."""
    apart, cluster = home(), MemoryStore()
    put(cluster, numbered(EPOCHS, 5), b"whatever")
    deadline = Deadline(SystemClock().now(), 5.0, 1.0)
    found = drive(heartbeat(cluster, apart, changed(beacon(), epoch=5), '"stale"', 1, deadline))
    assert isinstance(found, Dishonest)
    assert EPOCH_FLOOR in found.error


def test_an_identity_that_went_back_is_noticed() -> None:
    """A former incarnation's identity can only come from a backup (I7)."""
    store = MemoryStore()
    put(store, identity_key("n1"), encode(identity(1)))
    found = beat(store, beacon(), '"stale"', 1)
    assert isinstance(found, Dishonest)
    assert "incarnation 1" in found.error


def test_a_strangers_object_is_never_overwritten() -> None:
    """What cannot be read is held by someone we cannot read (I12)."""
    store = home()
    put(store, member_key("n1"), b"not a beacon")
    found = beat(store, beacon(), None, 0)
    assert isinstance(found, Obstructed)
    assert member_key("n1") in found.error
    there = store.perform(Get(member_key("n1")), 1.0)
    assert isinstance(there, Found)
    assert there.body == b"not a beacon"
