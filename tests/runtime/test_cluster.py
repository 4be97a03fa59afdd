"""A cluster seen from outside, and what an operator may ask of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holocron.errors import (
    HolocronError,
    NodeUnknown,
    NotLeader,
    RecordUnreadable,
    SettingsError,
    StoreDenied,
    StoreUnfit,
    StoreUnreachable,
)
from holocron.layout import CLUSTER, CONTROL, EPOCH_FLOOR, EPOCHS, identity_key, member_key, numbered
from holocron.records import Control, Heir, Identity, decode
from holocron.runtime import reader
from holocron.runtime.cluster import Cluster
from holocron.settings import Settings
from holocron.store.base import BODY_LIMIT_BYTES, Answer, Delete, Denied, Request, Unclear
from holocron.store.memory import MemoryStore
from tests.runtime.made import UUID, chain, epoch, genesis, get, keys, node, put, row


class Broken:
    """A store with one answer for everything."""

    uri = "memory://broken"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def perform(self, request: Request, timeout_s: float) -> Answer:
        return self.answer

    def close(self) -> None:
        return None


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    """A cluster led by alpha from 1 to 3 until it released, and by beta since 5, on memory://looked-at/c."""
    MemoryStore.forget("looked-at")
    made = MemoryStore("looked-at", "c")
    genesis(made)
    view = (row("alpha", 1), row("beta", 2))
    chain(
        made,
        epoch(1, cause="first"),
        epoch(2),
        epoch(3, release=True),
        epoch(4, 4, "gamma", cause="released"),
        epoch(5, 5, "beta", cause="expired"),
        epoch(6, 5, "beta", topology=view, value=b"v", control=2),
    )
    yield made
    MemoryStore.forget("looked-at")


@pytest.fixture
def cluster(store: MemoryStore) -> Iterator[Cluster]:
    """The same, opened by its URI."""
    with Cluster.open("memory://looked-at/c") as opened:
        yield opened


def test_who_leads_and_who_is_there(cluster: Cluster, store: MemoryStore) -> None:
    """The newest lock file tells the leader, its value and its view of everyone (design section 2)."""
    leader, topology = cluster.leader(), cluster.topology()
    assert leader is not None
    assert (leader.node, leader.epoch, leader.term, leader.value, leader.ttl_s) == ("beta", 6, 5, b"v", 10.0)
    assert (leader.released, leader.expired) == (False, False)
    assert topology is not None
    assert [member.node for member in topology.members] == ["alpha", "beta"]
    earlier = cluster.topology(2)
    assert earlier is not None
    assert (earlier.epoch, earlier.leader.node, earlier.members) == (2, "alpha", ())
    assert cluster.topology(7) is None
    assert cluster.epoch(0) is None
    assert (cluster.uuid, cluster.location) == (UUID, store.uri)


def test_history_is_one_row_for_each_tenure_newest_first(cluster: Cluster) -> None:
    """Who led, how it came about, and how it ended."""
    told = cluster.history()
    assert [(one.term, one.leader.node, one.cause, one.first_epoch, one.last_epoch) for one in told] == [
        (5, "beta", "expired", 5, 6),
        (4, "gamma", "released", 4, 4),
        (1, "alpha", "first", 1, 3),
    ]
    assert [(one.began, one.ended, one.released) for one in told] == [
        ("at 5", None, False),
        ("at 4", "at 4", False),
        ("at 1", "at 3", True),
    ]
    assert cluster.history(1) == told[:1]
    assert [one.epoch for one in cluster.epochs(4)] == [6, 5, 4, 3]


def test_a_long_tenure_costs_no_more_than_a_short_one() -> None:
    """A term names its first epoch, so a tenure is two reads however long it lasted."""
    store = MemoryStore()
    genesis(store)
    chain(store, epoch(1, cause="first"), *(epoch(number) for number in range(2, 200)))
    cluster = Cluster.open(store)
    assert [(one.first_epoch, one.last_epoch) for one in cluster.history()] == [(1, 199)]
    assert sum(cluster.requests.values()) < 10


def test_retention_keeps_the_history_whole(cluster: Cluster, store: MemoryStore) -> None:
    """What gc takes out of the chain is still found by number, in the history and in the tenures (rule 12)."""
    before = (cluster.history(), cluster.epochs())
    result = cluster.gc(Settings(keep_epochs=2, trim_batch=2, keep_age_s=0))
    assert (result.removed, result.first, result.last, result.floor) == (4, 1, 4, 5)
    assert keys(store, EPOCHS) == [numbered(EPOCHS, 5), numbered(EPOCHS, 6)]
    assert (cluster.history(), cluster.epochs()) == before
    second = cluster.epoch(2)
    assert second is not None
    assert second.nonce == "n2"
    assert cluster.gc().removed == 0


def test_a_place_where_no_cluster_began() -> None:
    """No leader, no member, no history; looking creates nothing, and a cluster that begins later is seen."""
    store = MemoryStore()
    cluster = Cluster.open(store)
    assert (cluster.head(), cluster.leader(), cluster.topology(), cluster.epoch(1)) == (None, None, None, None)
    assert (cluster.members(), cluster.history(), cluster.epochs()) == ((), (), ())
    with pytest.raises(NodeUnknown):
        cluster.node("alpha")
    with pytest.raises(NotLeader):
        cluster.step_down()
    with pytest.raises(HolocronError, match="no cluster"):
        cluster.gc()
    assert keys(store, "") == []
    genesis(store)
    assert (cluster.leader(), cluster.uuid) == (None, UUID)
    chain(store, epoch(1, cause="first"))
    leader = cluster.leader()
    assert leader is not None
    assert leader.node == "alpha"


def test_what_is_wrong_with_the_store_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """One type for each reaction: denied, unreachable, unreadable, unfit ("Bad input")."""
    monkeypatch.setattr(reader, "WITHIN_S", 0.1)
    with pytest.raises(StoreDenied, match="no entry"):
        Cluster.open(Broken(Denied("no entry")))
    with pytest.raises(StoreUnreachable, match="no route"):
        Cluster.open(Broken(Unclear("no route")))
    with pytest.raises(SettingsError):
        Cluster.open("nowhere")
    store = MemoryStore()
    put(store, CLUSTER, b"foreign")
    with pytest.raises(RecordUnreadable, match=r"cluster\.json"):
        Cluster.open(store)
    store = MemoryStore()
    genesis(store)
    store.perform(Delete(EPOCH_FLOOR), 1.0)
    with pytest.raises(StoreUnfit):
        Cluster.open(store).leader()


def test_an_unreadable_head_is_never_passed_over(cluster: Cluster, store: MemoryStore) -> None:
    """Held by someone we cannot read is not free, and is named (I12)."""
    put(store, numbered(EPOCHS, 7), b"foreign")
    with pytest.raises(RecordUnreadable, match="0000000000000007"):
        cluster.leader()


def test_members_are_the_view_and_the_beacons(cluster: Cluster, store: MemoryStore) -> None:
    """The leader's judgement with each node's own last word; who said goodbye is stopped."""
    node(store, "beta", stopped=True)
    node(store, "new")
    told = {one.node: one for one in cluster.members()}
    assert list(told) == ["alpha", "beta", "new"]
    assert (told["alpha"].status, told["alpha"].written, told["alpha"].stopped) == ("alive", None, False)
    assert (told["beta"].status, told["beta"].rank, told["beta"].stopped) == ("gone", 2, True)
    assert (told["new"].status, told["new"].rank, told["new"].epoch) == ("late", None, 3)


def test_one_unreadable_beacon_hides_nobody_else(cluster: Cluster, store: MemoryStore) -> None:
    """Whoever has a beacon that cannot be read keeps its row, or at least its name, and the reason is told (I12)."""
    node(store, "beta")
    put(store, member_key("alpha"), b"foreign")
    put(store, member_key("odd"), b"x" * (BODY_LIMIT_BYTES + 1))
    told = {one.node: one for one in cluster.members()}
    assert list(told) == ["alpha", "beta", "odd"]
    assert told["beta"].unreadable is None
    alpha, odd = told["alpha"], told["odd"]
    assert (alpha.status, alpha.rank, alpha.incarnation, alpha.written) == ("alive", 1, 1, None)
    assert member_key("alpha") in str(alpha.unreadable)
    assert (odd.status, odd.rank, odd.incarnation, odd.standing) == ("late", None, 0, False)
    assert member_key("odd") in str(odd.unreadable)
    assert get(store, member_key("alpha")) == b"foreign"


def test_one_node_with_and_without_a_home_of_its_own(cluster: Cluster, store: MemoryStore) -> None:
    """Identity is found at the home; without it the answer names the home and does not go there."""
    node(store, "alpha")
    assert cluster.node("alpha").identity.name == "ALPHA"
    home = MemoryStore("looked-at", "home")
    node(store, "beta", home=home)
    assert cluster.node("beta", home=home.uri).identity.node == "beta"
    with pytest.raises(NodeUnknown, match="home"):
        cluster.node("beta")
    with pytest.raises(NodeUnknown, match="nobody"):
        cluster.node("nobody")
    with pytest.raises(SettingsError):
        cluster.node("Not/An/Id")


def test_a_living_node_is_forgotten_by_force_alone(cluster: Cluster, store: MemoryStore) -> None:
    """What the leader calls alive, or has not judged, is not forgotten by mistake."""
    node(store, "alpha")
    node(store, "new")
    for one in ("alpha", "new"):
        with pytest.raises(HolocronError, match="stop it"):
            cluster.forget(one)
        assert get(store, member_key(one)) is not None
    cluster.forget("alpha", force=True)
    assert get(store, member_key("alpha")) is None


def test_a_forgotten_node_cannot_go_on_under_its_identity(cluster: Cluster, store: MemoryStore) -> None:
    """Whoever still runs as it finds a higher incarnation and is superseded (rule 11)."""
    node(store, "alpha", stopped=True)
    cluster.forget("alpha")
    cluster.forget("alpha")
    body = get(store, identity_key("alpha"))
    assert body is not None
    identity = decode(Identity, body, identity_key("alpha"), UUID)
    assert (identity.forgotten, identity.incarnation) == (True, 2)
    assert get(store, member_key("alpha")) is None
    with pytest.raises(NodeUnknown):
        cluster.forget("nobody")


def test_a_request_to_hand_over_takes_the_next_free_number(cluster: Cluster, store: MemoryStore) -> None:
    """After the last one that was dealt with, and after whoever asked first (rule 9)."""
    node(store, "alpha")
    assert cluster.step_down(to="alpha", by="me") == 3
    assert cluster.step_down() == 4
    body = get(store, numbered(CONTROL, 3))
    assert body is not None
    control = decode(Control, body, numbered(CONTROL, 3), UUID)
    assert (control.number, control.term, control.heir, control.by) == (3, 5, Heir(node="alpha"), "me")
    with pytest.raises(SettingsError):
        cluster.step_down(to="Nobody!")


def test_nobody_hands_over_to_a_node_that_could_not_lead(cluster: Cluster, store: MemoryStore) -> None:
    """A leader must not give up its lease for a slip of the pen: an heir has to be there and to stand (rule 9)."""
    node(store, "alpha", stopped=True)
    with pytest.raises(NodeUnknown, match="no node nobody is in the cluster"):
        cluster.step_down(to="nobody")
    with pytest.raises(HolocronError, match="alpha has stopped or does not stand"):
        cluster.step_down(to="alpha")
    assert keys(store, CONTROL) == []


def test_a_leader_that_released_cannot_hand_over(cluster: Cluster, store: MemoryStore) -> None:
    """Nobody is asked, and nothing is written."""
    chain(store, epoch(7, 5, "beta", release=True))
    leader = cluster.leader()
    assert leader is not None
    assert (leader.released, leader.expired) == (True, False)
    with pytest.raises(NotLeader):
        cluster.step_down()
    assert keys(store, CONTROL) == []


def test_a_store_that_was_given_stays_open(store: MemoryStore) -> None:
    """Only what was opened here is closed here, and every request is counted."""
    with Cluster.open(store) as cluster:
        cluster.head()
        assert cluster.requests == {"GET": 3, "PUT": 0, "LIST": 1, "DELETE": 0}
    assert get(store, CLUSTER) is not None
