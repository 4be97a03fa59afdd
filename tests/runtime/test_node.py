"""A node comes, shows what it knows, and goes (design, sections 1, 2 and 7; rule 11 is in test_boarding.py)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from holocron import Cluster, Node, Settings
from holocron.errors import (
    NodeExists,
    NodeStopped,
    RecordUnreadable,
    SettingsError,
    StoreUnreachable,
)
from holocron.layout import CLUSTER, identity_key, member_key, state_key
from holocron.records import Beacon, Epoch, Identity, State, decode
from holocron.runtime import session
from holocron.store.base import Delete, Deleted, Get, Unclear
from holocron.store.memory import MemoryStore
from tests.runtime.made import get, keys, put
from tests.runtime.stores import Meddler, anything, hang, refuse
from tests.runtime.waiting import until

Start = Callable[..., Node]


def newest(store: MemoryStore) -> Epoch:
    """The newest lock file."""
    key = keys(store, "epochs/")[-1]
    body = get(store, key)
    assert body is not None
    return decode(Epoch, body, key)


def beacon(store: MemoryStore, node: str) -> Beacon:
    """A node's own beacon."""
    body = get(store, member_key(node))
    assert body is not None
    return decode(Beacon, body, member_key(node))


def our_threads() -> set[threading.Thread]:
    """The threads that the library has started."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("holocron-")}


def test_a_new_node_founds_the_cluster_and_is_what_it_was_told_to_be(nodes: Start, store: MemoryStore) -> None:
    """Identity and beacon lie in the store before `start` returns or soon after, and nobody leads unasked."""
    node = nodes(name="db-1", address="10.0.0.7:80", labels={"zone": "a"}, priority=3)
    assert re.fullmatch(r"[0-9a-f]{12}", node.id)
    assert (node.name, node.incarnation, node.epoch, node.term, node.failure) == ("db-1", 1, 0, None, None)
    assert node.location == store.uri
    body = get(store, identity_key(node.id))
    assert body is not None
    identity = decode(Identity, body, identity_key(node.id), node.cluster)
    assert (identity.name, identity.address, identity.labels, identity.priority) == (
        "db-1",
        "10.0.0.7:80",
        {"zone": "a"},
        3,
    )
    assert identity.cluster_uri == store.uri
    until(lambda: get(store, member_key(node.id)) is not None, "its beacon is there")
    until(lambda: node.role == "follower", "it has looked")
    assert (node.leader(), node.topology(), node.members(), node.published(), node.history()) == (
        None,
        None,
        (),
        None,
        (),
    )
    assert keys(store, "epochs/") == []
    assert node.id in repr(node)


def test_nodes_at_one_place_are_one_cluster(nodes: Start) -> None:
    """The genesis record is created once; who comes later joins, and another prefix is another cluster."""
    one, other = nodes(), nodes()
    assert one.cluster == other.cluster
    assert one.id != other.id
    assert nodes(location=one.location + "/elsewhere").cluster != one.cluster


def test_first_nodes_that_come_at_once_found_one_cluster(nodes: Start) -> None:
    """However many create the genesis record, one stands and all take it (create-if-absent)."""
    at_once = threading.Barrier(8)
    clusters: list[str] = []

    def come() -> None:
        at_once.wait(30)
        clusters.append(nodes().cluster)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(clusters) == 8
    assert len(set(clusters)) == 1


def test_an_id_names_one_node(nodes: Start) -> None:
    """A second start under an id is refused and says what to do; nothing is overwritten."""
    nodes(node_id="alpha", name="first")
    with pytest.raises(NodeExists, match=r"node alpha exists .* resume it"):
        nodes(node_id="alpha", name="second")
    assert nodes("alpha").name == "first"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"node_id": "No/Such Id"}, "cannot name a node"),
        ({"node_id": "alpha\n"}, "cannot name a node"),
        ({"priority": -1}, "priority is -1"),
        ({"priority": 1001}, "priority is 1001"),
        ({"location": "nowhere"}, "URI"),
        ({"home": "ftp://x"}, "no store is called"),
        ({"name": "n" * 2000}, "name"),
        ({"name": "\udcff"}, "Unicode"),
        ({"labels": {"k": "v" * 2000}}, "label"),
        ({"address": "a" * 2000}, "address"),
        ({"labels": {f"k{number}": "v" for number in range(100)}}, "label"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    nodes: Start, store: MemoryStore, wrong: dict[str, Any], words: str
) -> None:
    """`SettingsError`, one line, and nothing of the node is written ("Bad input")."""
    before = our_threads()
    with pytest.raises(SettingsError, match=words) as refused:
        nodes(**wrong)
    assert "\n" not in str(refused.value)
    assert keys(store, "nodes/") == []
    until(lambda: our_threads() <= before, "no thread is left behind")


def test_the_cluster_bounds_the_ttl(nodes: Start) -> None:
    """A ttl outside what the cluster was founded for is refused with both said (section 2)."""
    nodes(settings=Settings(ttl_s=1.0, ttl_max_s=2.0))
    with pytest.raises(SettingsError, match=r"ttl is 3s; the cluster at .* was founded for 1s to 2s"):
        nodes(settings=Settings(ttl_s=3.0))


def test_a_store_that_cannot_be_reached_leaves_nothing_behind(
    nodes: Start, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`start` fails with `StoreUnreachable`, and no thread of it goes on (section 7)."""
    monkeypatch.setattr(session, "_STEP_S", 0.2)
    before = our_threads()
    meddler = Meddler(store)
    meddler.rule(anything, refuse)
    with pytest.raises(StoreUnreachable, match="no route"):
        nodes(location=meddler)
    until(lambda: our_threads() <= before, "no thread is left behind")


def test_a_genesis_that_cannot_be_read_is_never_written_over(nodes: Start, store: MemoryStore) -> None:
    """A foreign cluster.json is an answer: nobody joins, nobody founds (I12)."""
    put(store, CLUSTER, b"\xff\xfe not json")
    with pytest.raises(RecordUnreadable, match=r"cluster\.json is not a genesis record"):
        nodes()
    assert get(store, CLUSTER) == b"\xff\xfe not json"
    assert keys(store, "") == [CLUSTER]


def test_a_store_that_was_given_stays_open(store: MemoryStore) -> None:
    """Several nodes may share one store; the one that stops closes only what it opened itself."""
    with Node.start(store, settings=Settings(ttl_s=1.0)) as first, Node.start(store, home=store) as second:
        first.stop()
        assert not isinstance(store.perform(Get(CLUSTER), 1.0), Unclear)
        with second.lead(timeout=30):
            pass


# --- what it shows --------------------------------------------------------------------------------------------------


def test_everyone_sees_what_the_leader_sees(nodes: Start) -> None:
    """Leader, topology, members, published value and history are the same from every node (section 5)."""
    leader, follower = nodes(name="L", address="here", labels={"k": "v"}), nodes()
    with leader.lead(timeout=30) as lease:
        assert (leader.role, leader.term, leader.epoch >= 1) == ("leader", lease.token, True)
        leader.publish(b"value")
        until(lambda: {m.node for m in follower.members()} == {leader.id, follower.id}, "the view has both")
        until(lambda: follower.published() is not None, "the value has come")
        for node in (leader, follower):
            known, topology, value = node.leader(), node.topology(), node.published()
            assert known is not None
            assert topology is not None
            assert value is not None
            assert (known.node, known.incarnation, known.name, known.address) == (leader.id, 1, "L", "here")
            assert topology.leader == known
            assert topology.term == lease.token
            assert topology.members == node.members()
            assert value.value == b"value"
            (tenure,) = node.history()
            assert (tenure.term, tenure.leader.node, tenure.cause, tenure.ended) == (1, leader.id, "first", None)
        rows = {member.node: member for member in follower.members()}
        assert (rows[leader.id].name, rows[leader.id].labels, rows[leader.id].status) == ("L", {"k": "v"}, "alive")
        assert (follower.role, follower.term) == ("follower", None)


def test_history_is_newest_first_and_as_long_as_asked(nodes: Start) -> None:
    """One row for each tenure, with how it began and that it was released."""
    one, other = nodes(), nodes()
    for node in (one, other, one):
        with node.lead(timeout=30):
            pass
    tenures = one.history()
    assert [tenure.leader.node for tenure in tenures] == [one.id, other.id, one.id]
    assert [tenure.cause for tenure in tenures] == ["released", "released", "first"]
    assert all(tenure.released for tenure in tenures)
    assert one.history(limit=2) == tenures[:2]


def test_who_says_goodbye_is_gone_from_the_view(nodes: Start, store: MemoryStore) -> None:
    """The last beacon says that the node has stopped, and the leader's next view calls it gone."""
    leader, other = nodes(), nodes()
    with leader.lead(timeout=30):
        until(lambda: {m.node for m in leader.members() if m.status == "alive"} == {leader.id, other.id}, "both")
        other.campaign()
        other.stop()
        left = beacon(store, other.id)
        assert (left.stopped, left.standing, left.role) == (True, False, "stopped")
        until(lambda: {m.node for m in leader.members() if m.status == "alive"} == {leader.id}, "it is gone")
        with Cluster.open(leader.location) as cluster:
            shown = {member.node: member for member in cluster.members()}
        assert shown[other.id].stopped


# --- how it goes ----------------------------------------------------------------------------------------------------


def test_stop_releases_says_goodbye_and_may_be_called_again(nodes: Start, store: MemoryStore) -> None:
    """A leader that stops lets the next one follow at once, and keeps what it last knew for its next incarnation."""
    before = our_threads()
    node = nodes()
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    assert not node.wait(0.01)
    node.stop()
    node.stop()
    assert node.wait(0)
    assert newest(store).kind == "release"
    assert (node.role, node.term, node.failure) == ("stopped", None, None)
    body = get(store, state_key(node.id))
    assert body is not None
    state = decode(State, body, state_key(node.id), node.cluster)
    assert state.epoch == newest(store).epoch == node.epoch
    until(lambda: our_threads() <= before, "all of its threads have ended")


def test_a_stopped_node_does_nothing_more(nodes: Start) -> None:
    """Whatever needs a running node raises `NodeStopped`; what only ends something is harmless."""
    node = nodes()
    node.stop()
    for call in (node.campaign, node.step_down, node.history, lambda: node.publish(b""), lambda: node.run(bool)):
        with pytest.raises(NodeStopped, match=f"node {node.id} has stopped"):
            call()
    with pytest.raises(NodeStopped), node.lead():
        pass
    node.withdraw()
    assert node.leader() is None


def test_stop_wakes_those_who_wait_to_lead(nodes: Start) -> None:
    """A `lead` that waits when the node stops raises `NodeStopped` then, not at its timeout."""
    leader, other = nodes(), nodes()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            with other.lead(timeout=3600):
                pass
        except NodeStopped as error:
            raised.append(error)

    with leader.lead(timeout=30):
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: other._engine.election.standing, "they wait")
        other.stop()
        for thread in threads:
            thread.join(30)
    assert len(raised) == 3


def test_stop_waits_for_the_work_and_releases_after_it(nodes: Start, store: MemoryStore) -> None:
    """The lease ends first, the work that holds it finishes, and only then the release is written (rule 9)."""
    node = nodes()
    holding, order = threading.Event(), []

    def work() -> None:
        with node.lead(timeout=30) as lease:
            holding.set()
            assert lease.lost.wait(30)
            assert newest(store).kind == "lease"
            order.append("work")

    worker = threading.Thread(target=work)
    worker.start()
    assert holding.wait(30)
    node.stop()
    order.append("stopped")
    worker.join(30)
    assert order == ["work", "stopped"]
    assert newest(store).kind == "release"


def test_the_work_itself_may_stop_the_node(nodes: Start, store: MemoryStore) -> None:
    """Within the body of `lead`, `stop` does not wait for that body, ends the lease and releases it."""
    node = nodes()
    with node.lead(timeout=30) as lease:
        node.stop()
        assert not lease.valid
        assert newest(store).kind == "release"
        assert node.wait(0)


def test_any_number_of_threads_may_stop_a_node_at_once(nodes: Start, store: MemoryStore) -> None:
    """All of them return when it has stopped, and it was released once."""
    node = nodes()
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    at_once = threading.Barrier(8)
    gone: list[bool] = []

    def stop() -> None:
        at_once.wait(30)
        node.stop()
        gone.append(node.wait(0))

    threads = [threading.Thread(target=stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert gone == [True] * 8
    bodies = [get(store, key) or b"" for key in keys(store, "epochs/")]
    assert sum(b'"release"' in body for body in bodies) == 1


def test_stop_without_a_store_is_bounded(nodes: Start, store: MemoryStore) -> None:
    """Where nobody answers any more, a leader stops all the same, in its time; its lease lapses by itself."""
    meddler = Meddler(store)
    node = nodes(location=meddler, settings=Settings(ttl_s=20.0))
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    meddler.rule(anything, hang)
    began = time.monotonic()
    node.stop(timeout=0.5)
    assert time.monotonic() - began < 10
    assert node.wait(0)
    assert newest(store).kind == "lease"


def test_a_body_that_raises_stops_the_node_and_passes_on(nodes: Start, store: MemoryStore) -> None:
    """Both `with` statements do their work whatever happens inside."""
    with pytest.raises(LookupError, match="own fault"), nodes() as node, node.lead(timeout=30):
        raise LookupError("the application's own fault")
    assert node.wait(0)
    assert newest(store).kind == "release"


def test_a_beacon_that_was_taken_away_is_written_again(nodes: Start, store: MemoryStore) -> None:
    """A living node shows up again as long as its identity stands (section 5)."""
    node = nodes()
    until(lambda: get(store, member_key(node.id)) is not None, "its beacon is there")
    assert isinstance(store.perform(Delete(member_key(node.id)), 1.0), Deleted)
    until(lambda: get(store, member_key(node.id)) is not None, "its beacon is there again")
    assert node.failure is None
