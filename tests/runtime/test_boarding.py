"""A node comes back on other compute: same node, next incarnation, and what it knew (rule 11, I7, I9)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from holocron import Cluster, Node, Reason, Settings
from holocron.clock import stamp
from holocron.errors import (
    HolocronError,
    LeadershipLost,
    LeadTimeout,
    NodeUnknown,
    OutcomeUnknown,
    RecordUnreadable,
    SettingsError,
    StoreUnfit,
    Superseded,
)
from holocron.events import Deposed, Elected
from holocron.layout import CLUSTER, EPOCH_FLOOR, EPOCHS, identity_key, member_key, numbered, state_key
from holocron.records import Epoch, Floor, Genesis, Holder, Identity, decode, encode
from holocron.runtime import session
from holocron.store.base import Delete, Deleted, Put, Written
from holocron.store.local import LocalStore
from holocron.store.memory import MemoryStore
from tests.runtime.conftest import SETTINGS
from tests.runtime.made import UUID, genesis, get, keys, put
from tests.runtime.stores import Meddler, hold, lose, on
from tests.runtime.waiting import LIVENESS_S, Heard, until

Start = Callable[..., Node]


def identity(store: MemoryStore, node: str) -> Identity:
    """Who the store says that the node is."""
    body = get(store, identity_key(node))
    assert body is not None
    return decode(Identity, body, identity_key(node))


def everything(store: MemoryStore) -> dict[str, bytes | None]:
    """All objects."""
    return {key: get(store, key) for key in keys(store, "")}


def crash(node: Node) -> None:
    """The process is gone from one instant to the next: nothing is released and nothing is said."""
    node._loop.close()
    node._gone.set()


# --- who comes back -------------------------------------------------------------------------------------------------


def test_a_node_comes_back_as_itself_with_what_it_knew(nodes: Start, store: MemoryStore) -> None:
    """Identity, last epoch and last topology are there the moment `resume` returns, and never go down (I7)."""
    node, other = nodes(name="db-1", address="here", labels={"k": "v"}, priority=5), nodes()
    with node.lead(timeout=LIVENESS_S):
        both = {node.id, other.id}
        until(lambda: {m.node for m in other.members()} == both, "both are in the topology")
        until(lambda: {m.node for m in node.members()} == both, "and it knows")
    node.stop()
    last, topology = node.epoch, node.topology()
    assert topology is not None
    meddler, go_on = Meddler(store), threading.Event()
    # Even before it has read anything of the chain.
    meddler.rule(on("LIST", EPOCHS), hold(go_on), times=1)
    again = nodes(node.id, location=meddler)
    assert (again.id, again.incarnation, again.cluster) == (node.id, 2, node.cluster)
    assert (again.name, again.epoch) == ("db-1", last)
    remembered = again.topology()
    assert remembered is not None
    assert remembered.members == topology.members == again.members()
    assert remembered.leader.node == node.id
    go_on.set()
    known = identity(store, node.id)
    assert (known.address, known.labels, known.priority, known.incarnation) == ("here", {"k": "v"}, 5, 2)
    with again.lead(timeout=LIVENESS_S) as lease:
        assert lease.token > last
        assert again.epoch >= lease.token


def test_what_a_resume_says_anew_is_kept(nodes: Start, store: MemoryStore) -> None:
    """Name, address, labels and priority change where they are given; the rest stays as it was."""
    node = nodes(name="old", address="old", labels={"k": "v"}, priority=5)
    node.stop()
    nodes(node.id, name="new", priority=0).stop()
    known = identity(store, node.id)
    assert (known.name, known.priority, known.address, known.labels) == ("new", 0, "old", {"k": "v"})
    assert known.created == identity(store, node.id).created
    assert nodes(node.id).incarnation == 3


def test_nobody_comes_back_under_an_id_that_never_was(nodes: Start, store: MemoryStore) -> None:
    """`NodeUnknown` says what to check, and nothing is written: no cluster is founded by a resume."""
    with pytest.raises(NodeUnknown, match=f"there is no node 3f10d2708fce at {store.uri}: check the id and the store"):
        nodes("3f10d2708fce")
    assert keys(store, "") == []
    with pytest.raises(SettingsError, match="cannot name a node"):
        nodes("Not/An/Id")
    living = nodes()
    with pytest.raises(NodeUnknown):
        nodes("3f10d2708fce")
    assert living.failure is None
    assert identity_key("3f10d2708fce") not in keys(store, "")


def test_a_forgotten_node_does_not_come_back(nodes: Start, store: MemoryStore) -> None:
    """What an operator has forgotten is no node any more, and the message says so."""
    node = nodes()
    node.stop()
    with Cluster.open(node.location) as cluster:
        cluster.forget(node.id, force=True)
    with pytest.raises(NodeUnknown, match="was forgotten by an operator"):
        nodes(node.id)


# --- two at once ----------------------------------------------------------------------------------------------------


def test_of_two_that_resume_at_once_one_wins_and_the_other_is_told_who(nodes: Start, store: MemoryStore) -> None:
    """The compare-and-swap on identity has one winner; the loser learns process and host of the other (I9)."""
    first = nodes()
    first.stop()
    # Everyone has read the identity before anyone may replace it.
    go = threading.Event()
    meddlers = [Meddler(store) for _ in range(3)]
    rules = [meddler.rule(on("PUT", "/identity.json"), hold(go), times=1) for meddler in meddlers]
    came: list[Node] = []
    refused: list[Superseded] = []

    def claim(meddler: Meddler) -> None:
        try:
            came.append(nodes(first.id, location=meddler))
        except Superseded as error:
            refused.append(error)

    threads = [threading.Thread(target=claim, args=(meddler,)) for meddler in meddlers]
    for thread in threads:
        thread.start()
    for rule in rules:
        rule.wait()
    go.set()
    for thread in threads:
        thread.join(LIVENESS_S)
    (winner,) = came
    assert winner.incarnation == 2
    assert len(refused) == 2
    for error in refused:
        assert f"node {first.id} was resumed by another at the same time: incarnation 2" in str(error)
        assert f"process {os.getpid()} on {socket.gethostname()}" in str(error)
    assert identity(store, first.id).incarnation == 2


def test_a_claim_whose_answer_was_lost_is_known_again(nodes: Start, store: MemoryStore) -> None:
    """Won, told late: the claimant finds its own nonce in the identity and comes aboard (section 3)."""
    first = nodes()
    first.stop()
    meddler = Meddler(store)
    rule = meddler.rule(on("PUT", "/identity.json"), lose, times=1)
    again = nodes(first.id, location=meddler)
    rule.wait()
    assert again.incarnation == identity(store, first.id).incarnation == 2


def test_a_claim_that_cannot_be_settled_is_unknown(
    nodes: Start, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OutcomeUnknown` says to resume once more, and that works whichever way it went."""
    first = nodes()
    first.stop()
    meddler = Meddler(store)
    meddler.rule(on("PUT", "/identity.json"), lose)
    monkeypatch.setattr(session, "_STEP_S", 0.5)
    with pytest.raises(OutcomeUnknown, match=r"may or may not have been resumed here: .*; resume it once more"):
        nodes(first.id, location=meddler)
    assert nodes(first.id).incarnation == 3


# --- the former self ------------------------------------------------------------------------------------------------


def test_the_former_self_stops_at_its_next_heartbeat(nodes: Start, store: MemoryStore) -> None:
    """It loses its lease as superseded, says why it stopped, and writes nothing over its successor's (rule 11, I9)."""
    former, heard = nodes(), Heard()
    former.subscribe(heard)
    with former.lead(timeout=LIVENESS_S) as lease:
        again = nodes(former.id)
        assert lease.lost.wait(LIVENESS_S)
        assert lease.reason is Reason.SUPERSEDED
        with pytest.raises(LeadershipLost, match="superseded"):
            lease.check()
        assert former.wait(LIVENESS_S)
    assert heard.wait(Deposed).reason is Reason.SUPERSEDED
    assert isinstance(former.failure, Superseded)
    assert f"node {former.id} was resumed elsewhere: incarnation 2 has taken the place of 1" in str(former.failure)
    for call in (former.campaign, lambda: former.publish(b"from the past"), lambda: former.history()):
        with pytest.raises(Superseded, match="was resumed elsewhere"):
            call()
    before = get(store, state_key(former.id))
    former.stop()
    assert get(store, state_key(former.id)) == before
    assert again.failure is None
    with again.lead(timeout=LIVENESS_S):
        pass


def test_who_waits_to_lead_learns_that_it_is_the_past(nodes: Start) -> None:
    """A `lead` that waits in the former self raises the failure, not a timeout (section 8)."""
    leader, former = nodes(), nodes()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            with former.lead(timeout=3600):
                pass
        except HolocronError as error:
            raised.append(error)

    with leader.lead(timeout=LIVENESS_S):
        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: former._engine.election.standing, "it waits")
        nodes(former.id)
        waiter.join(LIVENESS_S)
    assert [type(error) for error in raised] == [Superseded]


# --- the lease of the former self -----------------------------------------------------------------------------------


def test_a_resume_does_not_inherit_the_lease(nodes: Start) -> None:
    """A former self may be paused and not dead, so its lease is waited out like anyone's (rule 11)."""
    former = nodes(settings=Settings(ttl_s=2.0))
    former.campaign()
    until(lambda: former.role == "leader", "it leads")
    crash(former)
    lease = former._leadership.lease
    assert lease is not None
    again = nodes(former.id, settings=Settings(ttl_s=2.0))
    with pytest.raises(LeadTimeout), again.lead(timeout=0.3):
        pass
    with again.lead(timeout=LIVENESS_S) as taken:
        assert not lease.valid, "two of one node believed at once"
        assert taken.token > lease.token
        assert again.history(limit=1)[0].cause == "expired"


def test_an_operator_may_vouch_for_the_death_of_the_former_self(nodes: Start, store: MemoryStore) -> None:
    """With `assume_dead` the lease is not waited out: a ttl of minutes costs nothing (rule 11)."""
    former = nodes(settings=Settings(ttl_s=300.0))
    former.campaign()
    until(lambda: former.role == "leader", "it leads")
    crash(former)
    again = nodes(former.id, settings=Settings(ttl_s=300.0), assume_dead=True)
    with again.lead(timeout=LIVENESS_S) as lease:
        assert lease.token == 2


def test_to_vouch_for_oneself_is_not_to_vouch_for_others(nodes: Start) -> None:
    """`assume_dead` concerns this node's earlier incarnations alone; another's lease is waited out (rule 11)."""
    leader, node = nodes(settings=Settings(ttl_s=300.0)), nodes(settings=Settings(ttl_s=300.0))
    leader.campaign()
    until(lambda: leader.role == "leader", "it leads")
    crash(leader)
    node.stop()
    again = nodes(node.id, settings=Settings(ttl_s=300.0), assume_dead=True)
    with pytest.raises(LeadTimeout), again.lead(timeout=0.5):
        pass


def test_after_a_release_nothing_is_waited_for(nodes: Start) -> None:
    """A node that released before it went is back in the election at once, and first if nobody else came."""
    former = nodes(settings=Settings(ttl_s=300.0))
    with former.lead(timeout=LIVENESS_S):
        pass
    former.stop()
    with nodes(former.id, settings=Settings(ttl_s=300.0)).lead(timeout=LIVENESS_S) as lease:
        assert lease.valid


# --- homes ----------------------------------------------------------------------------------------------------------


def test_a_node_may_have_a_home_of_its_own(nodes: Start, store: MemoryStore, tmp_path: Path) -> None:
    """Identity and state lie at the home and nowhere else; beacon and epochs at the cluster (section 2)."""
    home = LocalStore(str(tmp_path / "home"))
    node = nodes(home=home.uri)
    with node.lead(timeout=LIVENESS_S):
        until(lambda: get(home, state_key(node.id)) is not None, "its state is at its home")
        until(lambda: get(store, member_key(node.id)) is not None, "its beacon is at the cluster")
    node.stop()
    assert keys(store, "nodes/") == []
    assert set(keys(home, "")) == {identity_key(node.id), state_key(node.id)}
    with pytest.raises(NodeUnknown):
        nodes(node.id)


@pytest.mark.parametrize("named", [True, False])
def test_a_node_comes_back_from_its_home_alone(nodes: Start, store: MemoryStore, tmp_path: Path, named: bool) -> None:
    """Its identity names the cluster: given both, or the home alone, it is the same node of the same cluster."""
    home = (tmp_path / "home").as_uri()
    node = nodes(home=home)
    with node.lead(timeout=LIVENESS_S):
        pass
    node.stop()
    again = nodes(node.id, home=home) if named else nodes(node.id, location=home)
    assert (again.id, again.incarnation, again.cluster, again.location) == (node.id, 2, node.cluster, store.uri)
    assert again.epoch == node.epoch
    with again.lead(timeout=LIVENESS_S) as lease:
        assert lease.token > node.epoch
    again.stop()
    assert set(keys(LocalStore(str(tmp_path / "home")), "")) == {identity_key(node.id), state_key(node.id)}


def test_a_cluster_that_moved_is_not_led_back_to_where_it_was(nodes: Start, store: MemoryStore) -> None:
    """A copy of everything under another prefix is that place's own: the old URI in an identity is not followed."""
    node = nodes()
    with node.lead(timeout=LIVENESS_S):
        pass
    node.stop()
    moved = store.rooted("moved")
    for key, body in everything(store).items():
        assert body is not None
        put(moved, key, body)
    again = nodes(node.id, location=moved)
    assert again.location == moved.uri
    assert (again.incarnation, identity(store, node.id).incarnation) == (2, 1)


# --- another cluster, a wiped prefix, a store rolled back -----------------------------------------------------------


def test_a_node_of_another_cluster_is_not_let_in(nodes: Start, store: MemoryStore, place: str) -> None:
    """An identity that names another cluster's uuid is refused with both named, and nothing is written (I12)."""
    nodes().stop()
    holder = Holder(host="h", pid=1, since="then")
    stranger = Identity(
        cluster=UUID,
        nonce="n",
        node="stranger",
        incarnation=1,
        session="s",
        cluster_uri=store.uri,
        name="",
        address="",
        labels={},
        priority=1,
        holder=holder,
        created=stamp(0.0),
    )
    put(store, identity_key("stranger"), stranger)
    before = everything(store)
    with pytest.raises(StoreUnfit, match=f"node stranger is of cluster {UUID}, and .* belongs to cluster"):
        nodes("stranger")
    assert everything(store) == before


def test_two_clusters_under_one_prefix_are_told_apart(nodes: Start, store: MemoryStore) -> None:
    """A floor of another cluster means that two share the prefix: nobody starts there, nothing is touched."""
    genesis(store)
    answer = store.perform(Delete(EPOCH_FLOOR), 1.0)
    assert isinstance(answer, Deleted)
    put(store, EPOCH_FLOOR, Floor(cluster="another", nonce="n", floor=1))
    before = everything(store)
    with pytest.raises(RecordUnreadable, match="belongs to cluster another"):
        nodes()
    assert everything(store) == before


@pytest.mark.parametrize("gone", [CLUSTER, EPOCH_FLOOR])
def test_a_prefix_that_was_wiped_in_part_is_refused(nodes: Start, store: MemoryStore, gone: str) -> None:
    """Where epochs stand and genesis or floor do not, neither a new node nor an old one goes on (rule 13)."""
    node = nodes()
    with node.lead(timeout=LIVENESS_S):
        pass
    node.stop()
    assert isinstance(store.perform(Delete(gone), 1.0), Deleted)
    before = everything(store)
    for resumed in (None, node.id):
        with pytest.raises(StoreUnfit, match="wiped"):
            nodes(resumed)
    assert everything(store) == before


def wipe(store: MemoryStore, under: str = "") -> None:
    """Remove everything."""
    for key in keys(store, under):
        store.perform(Delete(key), 1.0)


def test_a_leader_on_a_prefix_that_was_wiped_stops_and_says_so(nodes: Start, store: MemoryStore) -> None:
    """It is never a leader by an epoch that stands alone: the lease ends, the node stops with `StoreUnfit` (13)."""
    node, heard = nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    wipe(store)
    assert node.wait(LIVENESS_S)
    assert not lease.valid
    assert isinstance(node.failure, StoreUnfit)
    assert str(node.failure).count("\n") == 0
    assert heard.wait(Deposed).reason is Reason.STORE_DISHONEST
    with pytest.raises(StoreUnfit):
        node.campaign()


def test_a_follower_that_would_lead_notices_a_wiped_prefix(nodes: Start, store: MemoryStore) -> None:
    """It does not take an empty chain for a first day: it stops, and founds nothing again (I7)."""
    leader, follower = nodes(), nodes()
    with leader.lead(timeout=LIVENESS_S):
        until(lambda: follower.leader() is not None, "the follower knows the leader")
    leader.stop()
    wipe(store)
    follower.campaign()
    assert follower.wait(LIVENESS_S)
    assert isinstance(follower.failure, StoreUnfit)
    assert keys(store, EPOCHS) == []


def test_a_store_that_was_rolled_back_is_noticed_by_who_comes_back(nodes: Start, store: MemoryStore) -> None:
    """The node's own state remembers an epoch that the chain has no more: it stops and leads nobody astray (I7)."""
    node = nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        before = lease.epoch
        while lease.epoch < before + 3:
            assert not lease.lost.wait(0.01)
    node.stop()
    chain = keys(store, EPOCHS)
    for key in chain[-2:]:
        store.perform(Delete(key), 1.0)
    again = nodes(node.id)
    again.campaign()
    assert again.wait(LIVENESS_S)
    assert isinstance(again.failure, StoreUnfit)
    assert keys(store, EPOCHS) == chain[:-2]


def test_a_history_that_was_rewritten_is_noticed_by_followers(nodes: Start, store: MemoryStore) -> None:
    """An epoch that names another predecessor than the one seen comes of a store that was rolled back (rule 13)."""
    leader, follower = nodes(), nodes()
    leader.campaign()
    until(lambda: follower.leader() is not None, "the follower knows the leader")
    crash(leader)
    until(lambda: follower.epoch == int(keys(store, EPOCHS)[-1][len(EPOCHS) : -len(".json")]), "it has seen the head")
    number = follower.epoch
    body = get(store, numbered(EPOCHS, number))
    assert body is not None
    head = decode(Epoch, body, numbered(EPOCHS, number))
    other = changed(head, epoch=number + 1, nonce="another", previous="never seen")
    answer = store.perform(Put(numbered(EPOCHS, number + 1), encode(other)), 1.0)
    assert isinstance(answer, Written)
    assert follower.wait(LIVENESS_S)
    assert isinstance(follower.failure, StoreUnfit)
    assert "history was rewritten" in str(follower.failure)


def test_a_genesis_of_a_narrower_cluster_is_kept(nodes: Start, store: MemoryStore) -> None:
    """The first node's bounds of ttl stand for all that come back, too."""
    put(store, CLUSTER, Genesis(cluster=UUID, nonce="g", ttl_min_ms=1000, ttl_max_ms=2000, created="then"))
    node = nodes(settings=SETTINGS)
    node.stop()
    with pytest.raises(SettingsError, match="was founded for 1s to 2s"):
        nodes(node.id, settings=Settings(ttl_s=3.0))
    assert nodes(node.id).incarnation == 2
