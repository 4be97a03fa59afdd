"""Nodes of a cluster under test hint each other in the cluster's own time (rule 16)."""

from __future__ import annotations

import pytest

from holocron.testing import MakeCluster, NodeCluster


def _handed_over(cluster: NodeCluster) -> float:
    """How long it takes until another leads once the leader steps down, all being known to it."""
    cluster.campaign()
    leader = cluster.await_leader()
    cluster.advance(60)
    began_s = cluster.now_s
    leader.node.step_down()
    cluster.until(lambda: cluster.leader not in (None, leader))
    return cluster.now_s - began_s


def test_a_release_is_followed_in_no_time_where_nodes_hint_each_other(holocron_cluster: MakeCluster) -> None:
    """The heir is told; without hints it finds out at its next poll, a part of a round later (rules 9, 10, 16)."""
    assert _handed_over(holocron_cluster(3, hints=True)) < 0.01
    assert _handed_over(holocron_cluster(3)) > 0.1


def test_all_follow_at_once_and_what_is_published_is_seen_at_once(holocron_cluster: MakeCluster) -> None:
    """Everyone is told of a new leader and of each value (rule 16)."""
    cluster = holocron_cluster(5, hints=True)
    _handed_over(cluster)
    leader = cluster.leader
    assert leader is not None
    cluster.advance(0.05)
    leaders = [node.leader() for node in cluster.nodes]
    assert [one.node if one is not None else None for one in leaders] == [leader.node.id] * 5
    leader.node.publish(b"value")
    cluster.advance(0.05)
    values = [node.published() for node in cluster.nodes]
    assert [one.value if one is not None else None for one in values] == [b"value"] * 5


@pytest.mark.parametrize("befallen", ["kill", "freeze"])
def test_an_heir_that_hears_nothing_is_passed_over(holocron_cluster: MakeCluster, befallen: str) -> None:
    """A hint to a process that does not run is lost, or waits; the next heir follows in its turn (rules 8, 16)."""
    cluster = holocron_cluster(3, hints=True)
    cluster.campaign()
    leader = cluster.await_leader()
    cluster.advance(60)
    first, second = (process for process in cluster if process is not leader)
    getattr(first, befallen)()
    began_s = cluster.now_s
    leader.node.step_down()
    cluster.until(lambda: second.leads)
    assert cluster.now_s - began_s < 1
    if befallen == "freeze":
        first.thaw()
        cluster.advance(1)
        assert cluster.leader is second


def test_the_same_story_is_the_same_with_hints(holocron_cluster: MakeCluster) -> None:
    """Hints come when the cluster's time has them come, each time the same (I13)."""
    one, other = holocron_cluster(3, hints=True), holocron_cluster(3, hints=True)
    assert _handed_over(one) == _handed_over(other)
    assert [node.requests for node in one.nodes] == [node.requests for node in other.nodes]
