"""Time in a cluster under test passes when the test lets it, at once, and the same way each time (I13)."""

from __future__ import annotations

import pytest

from holocron import LeadTimeout, Node, Settings, SettingsError
from holocron.clock import stamp
from holocron.layout import EPOCHS
from holocron.store.base import List, Listed
from holocron.testing import MakeCluster, NodeCluster
from holocron.testing.clock import WALL_S
from tests.testing.looking import Told, read_beacon, read_epoch


def test_a_cluster_is_made_of_real_nodes_that_lead_when_they_are_asked_to(holocron_cluster: MakeCluster) -> None:
    """`holocron_cluster(n)` gives n nodes of one cluster; nobody stands for election unasked."""
    cluster = holocron_cluster(3)
    assert len(cluster) == 3
    assert [node.id for node in cluster.nodes] == ["node-1", "node-2", "node-3"]
    assert [process.node for process in cluster] == list(cluster.nodes)
    assert {type(node) for node in cluster.nodes} == {Node}
    assert len({node.cluster for node in cluster.nodes}) == 1
    cluster.advance(60)
    assert cluster.leader is None
    assert [node.role for node in cluster.nodes] == ["follower"] * 3
    cluster.campaign()
    leader = cluster.await_leader()
    assert leader is cluster.leader
    assert [process.leads for process in cluster].count(True) == 1
    assert (leader.node.role, leader.node.term, leader.node.epoch) == ("leader", 1, 1)


def test_two_clusters_of_one_test_have_nothing_in_common(holocron_cluster: MakeCluster) -> None:
    """Each has a store and a time of its own."""
    one, other = holocron_cluster(1), holocron_cluster(1)
    one.advance(5)
    assert (one.now_s, other.now_s) == (5.0, 0.0)
    assert one[0].node.cluster != other[0].node.cluster


def test_nothing_happens_until_time_is_let_pass(holocron_cluster: MakeCluster) -> None:
    """What a test asks of a node is done in its next `advance`, and with 0 no time passes for it."""
    cluster = holocron_cluster(1)
    cluster[0].node.campaign()
    asked = cluster[0].node.requests
    assert (cluster[0].node.role, cluster[0].node.requests) == ("follower", asked)
    cluster.advance(0)
    assert (cluster[0].node.role, cluster.now_s) == ("leader", 0.0)
    assert cluster[0].node.requests != asked


def test_an_hour_passes_at_once_with_all_that_happens_in_it(holocron_cluster: MakeCluster) -> None:
    """One tenure, renewed every third of the ttl, and a beacon within every ttl: each timer at its own moment."""
    cluster = holocron_cluster(2, Settings(ttl_s=60.0))
    cluster.campaign()
    leader = cluster.await_leader()
    cluster.advance(3600)
    assert cluster.now_s == 3600.0
    assert (leader.node.term, leader.node.epoch) == (1, 1 + 3600 // 20)
    written = [read_epoch(cluster, number).written for number in range(60, 66)]
    assert written == [stamp(WALL_S + 20 * (number - 1)) for number in range(60, 66)]
    # Beacons of a crowd are spread over a heartbeat from the first on, so this one's last is of the last 60 s.
    assert stamp(WALL_S + 3540) < read_beacon(cluster, "node-2").written <= stamp(WALL_S + 3600)
    assert [member.status for member in leader.node.members()] == ["alive", "alive"]


def test_a_lease_of_ten_minutes_is_waited_out_to_the_end_and_not_longer(holocron_cluster: MakeCluster) -> None:
    """I8 and I11: nobody follows a silent leader before its ttl is over, and somebody soon after."""
    settings = Settings(ttl_s=600.0)
    cluster = holocron_cluster(3, settings)
    cluster.campaign()
    cluster.await_leader()
    cluster.advance(900)
    renewed_s = 800.0
    leader = cluster.leader
    assert leader is not None
    leader.kill()
    cluster.advance(renewed_s + 600 - cluster.now_s)
    assert cluster.leader is None
    taken = cluster.await_leader()
    assert taken is not leader
    assert 600 <= cluster.now_s - renewed_s <= 600 + 2 * settings.renew_every
    assert read_epoch(cluster, taken.node.epoch).cause == "expired"


def test_waiting_for_what_never_comes_ends_and_says_how_things_stand(holocron_cluster: MakeCluster) -> None:
    """`await_leader` and `until` give up after so much of the cluster's time, with one line that shows everyone."""
    cluster = holocron_cluster(2)
    with pytest.raises(TimeoutError, match=r"nobody led within 30 s of the cluster's time: .*node-2 .* follower"):
        cluster.await_leader(within_s=30)
    assert cluster.now_s == 30.0

    def two_lead() -> bool:
        return all(process.leads for process in cluster)

    with pytest.raises(TimeoutError, match="two_lead did not hold within 60 s"):
        cluster.until(two_lead, within_s=60)
    assert cluster.now_s == 90.0


def test_time_only_goes_forward(holocron_cluster: MakeCluster) -> None:
    """What makes no sense is refused, and changes nothing."""
    cluster = holocron_cluster(1)
    with pytest.raises(SettingsError, match=r"time does not pass by -1 s"):
        cluster.advance(-1)
    with pytest.raises(SettingsError, match=r"cannot sleep for -5 s"):
        cluster[0].suspend(-5)
    assert cluster.now_s == 0.0
    assert cluster[0].clock.running


def test_until_stops_at_the_moment_that_it_came_true(holocron_cluster: MakeCluster) -> None:
    """The condition is asked whenever something has happened, not now and then."""
    cluster = holocron_cluster(1, Settings(ttl_s=9.0))
    cluster.campaign()
    cluster.until(lambda: cluster[0].node.epoch == 5)
    assert cluster.now_s == pytest.approx(4 * 3.0, abs=1e-6)


def test_a_wait_of_the_tests_own_thread_lets_time_pass(holocron_cluster: MakeCluster) -> None:
    """`lead` in the test itself waits by the cluster's clock: for a dead leader's lease, or until its time limit."""
    cluster = holocron_cluster(2)
    first, second = cluster
    with first.node.lead() as lease:
        assert lease.token == 1
        with pytest.raises(LeadTimeout, match="within 30 s; node node-1 leads"), second.node.lead(timeout=30):
            pass
        assert cluster.now_s == pytest.approx(30, abs=1e-6)
        assert lease.valid
        first.kill()
        with second.node.lead(timeout=60) as other:
            assert other.token > lease.token
            assert 35 < cluster.now_s < 45
            assert not lease.valid


def test_a_release_is_followed_without_waiting(holocron_cluster: MakeCluster) -> None:
    """Rule 9 as an application tests it: `stop` hands over, and the next leader need not wait out the lease."""
    cluster = holocron_cluster(2)
    cluster.campaign()
    leader = cluster.await_leader()
    cluster.advance(100)
    leader.node.stop()
    assert leader.node.role == "stopped"
    before_s = cluster.now_s
    after = cluster.await_leader()
    assert after is not leader
    assert cluster.now_s - before_s < Settings().renew_every + 1
    assert read_epoch(cluster, after.node.epoch).cause == "released"


def test_what_is_published_reaches_the_others(holocron_cluster: MakeCluster) -> None:
    """The publisher is told its epoch at once, and followers have it by their next look at the chain."""
    cluster = holocron_cluster(3)
    cluster.campaign()
    leader = cluster.await_leader()
    epoch = leader.node.publish(b"v1")
    assert cluster.now_s < 1
    cluster.advance(Settings().renew_every * 1.5)
    for node in cluster.nodes:
        published = node.published()
        assert published is not None
        assert (published.value, published.epoch) == (b"v1", epoch)


def test_events_are_told_within_the_time_that_they_happen_in(holocron_cluster: MakeCluster) -> None:
    """A subscriber has heard of everything when `advance` returns."""
    cluster = holocron_cluster(2)
    told = [Told(cluster, process) for process in cluster]
    cluster.campaign()
    cluster.advance(20)
    names = [[type(event).__name__ for _, event in one.events] for one in told]
    assert names[0].count("Elected") == 1
    assert names[1].count("Elected") == 0
    assert all("LeaderChanged" in one for one in names)


def story(cluster: NodeCluster) -> list[object]:
    """A life with a bit of everything, and all that can be seen of it."""
    seen: list[object] = []
    for process in cluster:
        process.node.subscribe(
            lambda event, name=process.node.id: seen.append((cluster.now_s, name, type(event).__name__))  # type: ignore[misc]
        )
    cluster.campaign()
    first = cluster.await_leader()
    first.lose_response(2)
    cluster.advance(17.5)
    first.kill()
    second = cluster.await_leader()
    seen.append((cluster.now_s, second.node.id))
    second.partition()
    third = next(process for process in cluster if process.alive and process is not second)
    third.suspend(5.0)
    cluster.advance(30)
    second.heal()
    first = first.resume()
    first.node.campaign()
    cluster.advance(10)
    leader = cluster.await_leader()
    leader.freeze()
    cluster.advance(25)
    leader.thaw()
    cluster.advance(25)
    seen.append(sorted((verb, count) for node in cluster.nodes for verb, count in node.requests.items()))
    listed = cluster.store.perform(List(EPOCHS), 1.0)
    assert isinstance(listed, Listed)
    for number in range(1, len(listed.entries) + 1):
        epoch = read_epoch(cluster, number)
        seen.append((epoch.term, epoch.kind, epoch.cause, epoch.leader.node, epoch.leader.incarnation, epoch.written))
    return seen


def test_the_same_story_is_the_same_each_time(holocron_cluster: MakeCluster) -> None:
    """I13 for real threads: twenty times, to the nanosecond and the last request."""
    first = story(holocron_cluster(3))
    assert len(first) > 30
    for _ in range(19):
        assert story(holocron_cluster(3)) == first
