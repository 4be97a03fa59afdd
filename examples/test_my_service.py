"""A service that acts only while it leads, and its tests: killed, frozen, cut off, and an hour of it in a moment.

`holocron_cluster` gives the tests real nodes, in time that passes only when a test lets it: nothing here waits.

pytest examples/test_my_service.py
"""

from __future__ import annotations

import contextlib

import pytest

import holocron
from holocron.testing import MakeCluster, NodeCluster

# --- the service ----------------------------------------------------------------------------------------------------


class StaleTokenError(Exception):
    """Someone with a newer token has written already."""


class Ledger:
    """What the service writes to: something of its own that remembers the highest token it has seen."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str]] = []

    def append(self, token: int, entry: str) -> None:
        """Keep `entry`, unless `token` is a former leader's."""
        if any(token < newer for newer, _ in self.entries):
            raise StaleTokenError(f"token {token} is older than one that has written")
        self.entries.append((token, entry))


class Reporter:
    """Writes one report a minute into the ledger, from whichever node leads."""

    def __init__(self, node: holocron.Node, ledger: Ledger, every_s: float = 60.0) -> None:
        self.node = node
        self.ledger = ledger
        self.every_s = every_s

    def run(self) -> None:
        """Report while the node leads, wait while it does not, and end when it is stopped."""
        with contextlib.suppress(holocron.NodeStopped):
            self.node.run(self._report)

    def _report(self, lease: holocron.Lease) -> None:
        # A service sleeps by waiting for the end of its lease.
        while not lease.lost.wait(self.every_s):
            lease.check()
            self.ledger.append(lease.token, self.node.id)


# --- its tests ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger() -> Ledger:
    """An empty one."""
    return Ledger()


@pytest.fixture
def cluster(holocron_cluster: MakeCluster, ledger: Ledger) -> NodeCluster:
    """Three nodes, a reporter on each; the first one leads."""
    made = holocron_cluster(3)
    for process in made:
        process.run(Reporter(process.node, ledger).run)
    assert made.await_leader() is made[0]
    return made


def test_an_hour_of_reports(cluster: NodeCluster, ledger: Ledger) -> None:
    """One a minute, all by one leader."""
    cluster.advance(3600)
    assert ledger.entries == [(1, "node-1")] * 60


def test_another_goes_on_when_the_leader_is_killed(cluster: NodeCluster, ledger: Ledger) -> None:
    """Its lease has to run out first, and then somebody reports under a higher token."""
    cluster.advance(90)
    cluster[0].kill()
    after = cluster.await_leader()
    assert cluster.now_s < 90 + 15
    cluster.advance(60)
    assert [node for _, node in ledger.entries] == ["node-1", after.node.id]
    assert ledger.entries[0][0] < ledger.entries[1][0]


def test_a_frozen_leader_comes_back_and_may_not_write(cluster: NodeCluster, ledger: Ledger) -> None:
    """It slept through its own end: its lease says so at once, and the ledger would refuse its token."""
    lease = cluster[0].node.lease
    assert lease is not None
    cluster[0].freeze()
    cluster.advance(120)
    after = cluster.leader
    assert after is not None
    cluster[0].thaw()
    cluster.advance(120)
    assert {node for _, node in ledger.entries} == {after.node.id}
    with pytest.raises(holocron.LeadershipLost):
        lease.check()
    # Had it been frozen between its check and its write, the token alone would have told.
    with pytest.raises(StaleTokenError):
        ledger.append(lease.token, "node-1")


def test_a_leader_cut_off_stops_before_another_begins(cluster: NodeCluster, ledger: Ledger) -> None:
    """Nobody tells it: it steps down by its own clock."""
    cut = cluster[0]
    cut.partition()
    cluster.until(lambda: not cut.leads)
    assert cluster.leader is None
    cluster.advance(180)
    cut.heal()
    cluster.advance(180)
    assert "node-1" not in {node for _, node in ledger.entries}
    assert len(ledger.entries) == 5


def test_lost_answers_go_unnoticed(cluster: NodeCluster, ledger: Ledger) -> None:
    """What was written is found to have been written, and the leader leads on."""
    for _ in range(10):
        cluster[0].lose_response()
        cluster.advance(60)
    assert ledger.entries == [(1, "node-1")] * 10


def test_a_killed_node_comes_back_on_fresh_compute(cluster: NodeCluster, ledger: Ledger) -> None:
    """The same node, its next incarnation: it stands for election again and takes over when it is its turn."""
    cluster[0].kill()
    fresh = cluster[0].resume()
    fresh.run(Reporter(fresh.node, ledger).run)
    cluster.await_leader()
    for process in list(cluster)[1:]:
        process.kill()
    cluster.until(lambda: fresh.leads)
    cluster.advance(60)
    assert fresh.node.incarnation == 2
    assert ledger.entries[-1][1] == "node-1"
