"""What must not grow with the crowd or with the years: requests, pages, attempts, and what is written (sections 5, 10).

Counts, never times. Where many nodes are needed they live on the testing clock, so a test is the same in every run.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from holocron import Cluster, Node, Runtime, Settings
from holocron.layout import EPOCH_FLOOR, EPOCHS, HISTORY, MEMBERS, history_key, member_key, numbered, state_key
from holocron.protocol.membership import fitted
from holocron.protocol.retention import compact
from holocron.records import RECORD_LIMIT_BYTES, VIEW_LIMIT_BYTES, Epoch, Floor, Member, Past, decode, encode
from holocron.runtime.sharing import read_once
from holocron.store.base import Answer, Found, Get, List, Listed, Put, Request, Store, Written
from holocron.store.memory import MemoryStore
from holocron.testing.cluster import NodeCluster
from tests.runtime import made
from tests.runtime.conftest import SETTINGS
from tests.runtime.stores import Meddler
from tests.runtime.waiting import LIVENESS_S, until

MILLION = 1_000_000
BATCH = 64


# --- a long chain ---------------------------------------------------------------------------------------------------


def lived(store: MemoryStore, head: int, tenure: int) -> None:
    """A cluster that has come to epoch `head`, each leader for `tenure` epochs, with retention at its defaults.

    The history files that nothing here asks for hold nothing that could be read: whoever reads one finds that out.
    """
    made.begun(store)
    floor = max(0, (head - 256) // BATCH) * BATCH + 1

    def epoch(number: int) -> Epoch:
        return made.epoch(number, (number - 1) // tenure * tenure + 1, f"n{(number - 1) // tenure % 7}")

    for first in range(1, floor, BATCH):
        last = first + BATCH - 1
        key = history_key(first, last)
        if first == 1 or last > floor - 20 * BATCH or first <= head // 2 <= last:
            pasts = tuple(Past(epoch=number, record=epoch(number)) for number in range(first, last + 1))
            made.put(store, key, compact(first, last, pasts, made.UUID, f"h{first}"))
        else:
            made.put(store, key, b"nobody should read this")
    made.chain(store, *(epoch(number) for number in range(floor, head + 1)))
    held = store.perform(Get(EPOCH_FLOOR), 1.0)
    assert isinstance(held, Found)
    raised = encode(Floor(cluster=made.UUID, nonce="r", floor=floor))
    assert isinstance(store.perform(Put(EPOCH_FLOOR, raised, held.etag), 1.0), Written)


@pytest.fixture(scope="module")
def million() -> MemoryStore:
    """A million epochs, most of them in 15,621 files of the history."""
    store = MemoryStore()
    lived(store, MILLION, 50)
    return store


@pytest.fixture(scope="module")
def hundred() -> MemoryStore:
    """A hundred epochs, none of them taken out yet."""
    store = MemoryStore()
    lived(store, 100, 50)
    return store


def listed(meddler: Meddler) -> list[int]:
    """How many keys each LIST brought."""
    return [len(trip.answer.entries) for trip in meddler.trips("LIST") if isinstance(trip.answer, Listed)]


def counted(store: Store, look: Callable[[Cluster], object]) -> Counter[str]:
    """What `look` asks of the store, by verb, once the cluster is open."""
    meddler = Meddler(store)
    with Cluster.open(meddler) as cluster:
        meddler.forget()
        look(cluster)
    return Counter(trip.verb for trip in meddler.trips())


@pytest.mark.parametrize("look", [Cluster.head, Cluster.leader, Cluster.topology], ids=["head", "leader", "topology"])
def test_the_head_of_a_million_epochs_is_found_as_that_of_a_hundred(
    million: MemoryStore, hundred: MemoryStore, look: Callable[[Cluster], object]
) -> None:
    """One page, from the floor (rule 12): the same requests, whatever lies in the history."""
    assert counted(million, look) == counted(hundred, look)
    assert counted(million, look)["LIST"] == 1


def test_the_newest_tenures_of_a_million_epochs_are_read_without_a_look_at_the_rest(million: MemoryStore) -> None:
    """Two epochs for each tenure; of the history the files that they lie in, found by one page."""
    meddler = Meddler(million)
    with Cluster.open(meddler) as cluster:
        meddler.forget()
        tenures = cluster.history(20)
    assert [tenure.first_epoch for tenure in tenures] == list(range(MILLION - 49, MILLION - 1000, -50))
    assert len(meddler.trips("LIST", HISTORY)) <= 1
    assert max(listed(meddler)) <= 1000
    files = Counter(trip.key for trip in meddler.trips("GET", HISTORY))
    assert set(files.values()) == {1}, files
    assert len(files) <= 1000 / BATCH + 1


@pytest.mark.parametrize("number", [1, MILLION // 2, MILLION - 400])
def test_an_old_epoch_is_one_page_and_one_file(million: MemoryStore, number: int) -> None:
    """Wherever it lies: where a file may begin follows from its number."""
    meddler = Meddler(million)
    with Cluster.open(meddler) as cluster:
        meddler.forget()
        found = cluster.epoch(number)
    assert found is not None
    assert found.epoch == number
    assert len(meddler.trips("LIST")) == 1
    assert len(meddler.trips("GET", HISTORY)) == 1


def test_a_node_that_resumes_after_a_million_epochs_asks_no_more(nodes: Callable[..., Node]) -> None:
    """Resume to leadership costs the same requests on a chain of a million as on one of a hundred (I14)."""
    asked: list[Counter[str]] = []
    for head in (100, MILLION):
        store = MemoryStore()
        lived(store, head, head)
        former = nodes(location=store)
        until(lambda former=former, head=head: former.epoch == head, "it knows the head")  # type: ignore[misc]  # a lambda's default has no annotation
        former.stop()
        meddler = Meddler(store)
        again = nodes(former.id, location=meddler)
        until(lambda again=again, head=head: again.epoch == head, "it is back at the head")  # type: ignore[misc]  # as above
        until(lambda meddler=meddler: bool(meddler.trips("PUT", MEMBERS)), "and is seen")  # type: ignore[misc]  # as above
        trips = meddler.trips()
        assert max(listed(meddler)) <= 1000
        first_poll = numbered(EPOCHS, head + 1)
        asked.append(Counter(trip.verb for trip in trips if trip.key != first_poll and "state.json" not in trip.key))
        again.stop()
    assert asked[0] == asked[1]


# --- a large view ---------------------------------------------------------------------------------------------------


def crowd(count: int, **more: object) -> tuple[Member, ...]:
    """The view of `count` members that stand."""
    each = {"incarnation": 1, "status": "alive", "standing": True, **more}
    return tuple(msgspec.convert({"node": f"{n:012x}", "rank": n, **each}, Member) for n in range(1, count + 1))


def test_a_lock_file_of_a_thousand_members_has_a_short_line_for_each() -> None:
    """What is as by default is not written; whoever reads it with `aws s3 cp` sees a table."""
    epoch = made.epoch(7, topology=crowd(1000))
    body = encode(epoch)
    assert decode(Epoch, body, numbered(EPOCHS, 7), made.UUID) == epoch
    assert len(body) < 120 * 1000
    assert len(body.splitlines()) < 1000 + 40
    assert msgspec.json.decode(body)["topology"][999]["rank"] == 1000


def test_a_view_that_fits_is_told_as_it_is() -> None:
    """A thousand members with names and labels do."""
    view = crowd(1000, name="rack 7, third from the left", labels={"zone": "eu-central-1a", "role": "worker"})
    assert fitted(view) is view


@pytest.mark.parametrize(
    ("count", "more", "kept"),
    [
        (1000, {"labels": {f"k{n}": "v" * 256 for n in range(60)}, "name": "n" * 100}, 1000),
        (3000, {"name": "n" * 1024, "address": "a" * 1024}, 3000),
        (12_000, {"address": "a" * 1024}, 12_000),
        (25_000, {}, 20_000),
    ],
)
def test_a_view_that_nobody_could_read_is_cut_until_it_can_be(count: int, more: dict[str, object], kept: int) -> None:
    """Labels go first, then names, then addresses, then rows: an unreadable lock file would end leadership (I12)."""
    view = fitted(crowd(count, **more))
    body = encode(made.epoch(7, topology=view))
    assert len(view) == kept
    assert len(body) < VIEW_LIMIT_BYTES + 4096 < RECORD_LIMIT_BYTES
    assert decode(Epoch, body, numbered(EPOCHS, 7), made.UUID).topology == view


def test_of_too_many_rows_those_stay_that_could_lead() -> None:
    """Who is gone goes before who stands, and the youngest before the oldest; the order of ranks stays."""
    view = crowd(100)
    view = tuple(msgspec.structs.replace(m, status="gone") if m.rank <= 50 else m for m in view)
    left = fitted(view, limit_bytes=len(encode(made.epoch(7, topology=view[:60]))))
    assert len(left) < 100
    assert {member.node for member in view[50:]} <= {member.node for member in left}
    assert [member.rank for member in left] == sorted(member.rank for member in left)


def test_a_leader_of_a_crowd_that_no_lock_file_holds_leads_on(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """Members with 16 KiB of labels each: all know all the others, without labels; it is said aloud, and once (13)."""
    labels = {f"k{n}": "v" * 250 for n in range(60)}
    with Runtime(place, settings=msgspec.structs.replace(SETTINGS, ttl_s=6.0)) as runtime:
        leader, *others = runtime.start_many(300, labels=labels)
        with leader.lead(timeout=LIVENESS_S) as lease:
            until(lambda: all(len(node.members()) == 300 for node in others), "everyone knows everyone")
            assert lease.valid
            assert all(not member.labels for member in others[0].members())
        assert caplog.text.count("too large for a lock file") == 1


def test_a_lock_file_is_decoded_once_for_a_process() -> None:
    """And the same view in two of them is one value, which is compared in no time."""
    key = numbered(EPOCHS, 7)
    found = Found(encode(made.epoch(7, topology=crowd(200))), '"1"', None, None)
    again = Found(bytes(bytearray(found.body)), '"1"', None, None)
    first = read_once(found, key, made.UUID)
    assert read_once(again, key, made.UUID) is first
    later = Found(encode(made.epoch(8, topology=crowd(200))), '"2"', None, None)
    assert read_once(later, numbered(EPOCHS, 8), made.UUID).topology is first.topology
    # An ETag alone is no proof: a store that reuses one is believed by its bytes.
    other = Found(encode(made.epoch(7, topology=crowd(100))), '"1"', None, None)
    assert len(read_once(other, key, made.UUID).topology) == 100


# --- a crowd on the testing clock -----------------------------------------------------------------------------------


class Log:
    """Every request of every node, with the cluster's time."""

    def __init__(self, cluster: NodeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[float, Request]] = []
        perform = cluster.store.perform

        def heard(request: Request, timeout_s: float) -> Answer:
            self.told.append((cluster.now_s, request))
            return perform(request, timeout_s)

        monkeypatch.setattr(cluster.store, "perform", heard)

    def puts(self, part: str) -> list[tuple[float, str]]:
        """When which keys that contain `part` were written, or were tried to be."""
        return [(at_s, one.key) for at_s, one in self.told if isinstance(one, Put) and part in one.key]

    def lists(self, prefix: str) -> list[float]:
        """When `prefix` was listed."""
        return [at_s for at_s, one in self.told if isinstance(one, List) and one.prefix == prefix]


def test_one_of_forty_followers_tries_and_does_so_the_moment_the_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 8: one LIST and one PUT per failover; and the LIST comes a whole ttl after the last read, on no grid."""
    with NodeCluster(0, Settings(ttl_s=10.0)) as cluster:
        for number in range(41):
            cluster.add(f"node-{number}")
        cluster.campaign()
        leader = cluster.await_leader()
        cluster.advance(65.0)
        assert all(sum(member.standing for member in node.members()) == 41 for node in cluster.nodes)
        reads: dict[str, float] = {}
        cluster.until(lambda: len({node.epoch for node in cluster.nodes}) == 1)
        log = Log(cluster, monkeypatch)
        leader.kill()
        killed_s = cluster.now_s
        for process in cluster:
            head = process.node._engine.election.head
            assert head is not None
            reads[process.node.id] = cluster.now_s - process.clock.now().mono_s + head.read.mono_s
        cluster.until(lambda: cluster.leader is not None)
        successor = cluster.leader
        assert successor is not None
        assert len(log.lists(EPOCHS)) == 1
        assert len(log.puts(EPOCHS)) == 1
        assert log.lists(EPOCHS)[0] == pytest.approx(reads[successor.node.id] + 10.0, abs=1e-3)
        assert cluster.now_s - killed_s <= 1.05 * 10.0


def test_nodes_that_start_at_once_do_not_beat_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cuts its first interval by a share of its own: a thousand of them are no burst; then all keep their time."""
    with NodeCluster(0, Settings(ttl_s=10.0)) as cluster:
        log = Log(cluster, monkeypatch)
        for number in range(40):
            cluster.add(f"node-{number}")
        cluster.advance(60.0)
        beats = Counter(key for _, key in log.puts(MEMBERS))
        assert set(beats.values()) <= {6, 7}
        steady = [at_s for at_s, _ in log.puts(MEMBERS) if 40.0 <= at_s < 50.0]
        assert len(steady) == 40
        assert max(Counter(int(at_s * 2) for at_s in steady).values()) <= 12
        assert member_key("node-0") in beats


def test_a_changing_view_is_kept_at_most_once_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 5: each node keeps the last view it saw; a crowd that comes one by one is no storm of states."""
    with NodeCluster(8, Settings(ttl_s=10.0)) as cluster:
        cluster[0].node.campaign()
        cluster.await_leader()
        log = Log(cluster, monkeypatch)
        for number in range(20):
            cluster.add(f"late-{number}")
            cluster.advance(4.0)
        cluster.advance(25.0)
        saved = Counter(key for _, key in log.puts("/state.json"))
        for process in list(cluster)[1:8]:
            assert 1 <= saved[state_key(process.node.id)] <= 80.0 / 10.0 + 3
            state = Cluster.open(cluster.store).node(process.node.id).state
            assert state is not None
            assert len(state.topology) == 28


# --- many in one process --------------------------------------------------------------------------------------------


def test_a_runtime_that_stops_passes_leadership_to_none_of_its_own(place: str) -> None:
    """A hundred that all stand stop together: one release, and no epoch of any of the others behind it."""
    with Runtime(place, settings=msgspec.structs.replace(SETTINGS, ttl_s=6.0)) as runtime:
        made_ = runtime.start_many(100)
        for node in made_:
            node.campaign()
        until(lambda: any(node.term is not None for node in made_), "one leads")
        leader = next(node for node in made_ if node.term is not None)
        elected: list[object] = []
        for node in made_:
            if node is not leader:
                node.subscribe(elected.append)
        term = leader.term
    with Cluster.open(place) as cluster:
        head = cluster.head()
    assert head is not None
    assert (head.kind, head.term, head.leader.node) == ("release", term, leader.id)
    assert not [event for event in elected if type(event).__name__ == "Elected"]
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("holocron-events")], "threads are gone")
