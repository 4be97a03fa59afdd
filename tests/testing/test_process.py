"""What may befall a process: each method of `NodeProcess` does what it says, and the node keeps to the rules."""

from __future__ import annotations

import pytest

from holocron import LeadershipLost, LeadTimeout, NodeStopped, NotLeader, Settings, Superseded, events
from holocron.events import Deposed, Elected, Reason, StoreBack, StoreUnreachable
from holocron.testing import MakeCluster, NodeCluster
from tests.testing.looking import Told, read_beacon, read_epoch

SETTINGS = Settings()


@pytest.fixture
def cluster(holocron_cluster: MakeCluster) -> NodeCluster:
    """Three nodes, the first of which leads and has renewed a few times."""
    made = holocron_cluster(3)
    made.campaign()
    assert made.await_leader() is made[0]
    made.advance(11)
    return made


def never_two(cluster: NodeCluster) -> None:
    """I1, asked of everyone at this moment."""
    assert [process.leads for process in cluster].count(True) <= 1


# --- kill -----------------------------------------------------------------------------------------------------------


def test_a_killed_process_says_nothing_and_releases_nothing(cluster: NodeCluster) -> None:
    """As SIGKILL: its lease stands in the store to its end, its beacon says no goodbye, no request comes any more."""
    killed, lease = cluster[0], cluster[0].node.lease
    assert lease is not None
    killed.kill()
    epoch, requests = killed.node.epoch, killed.node.requests
    assert not killed.alive
    assert not killed.leads
    assert not lease.valid
    cluster.advance(5)
    newest = read_epoch(cluster, epoch)
    assert (newest.kind, newest.leader.node) == ("lease", "node-1")
    assert cluster.leader is None
    cluster.advance(60)
    assert cluster.await_leader() is not killed
    assert killed.node.requests == requests
    assert not read_beacon(cluster, "node-1").stopped
    assert "killed" in repr(killed)


def test_a_killed_process_can_be_asked_for_nothing(cluster: NodeCluster) -> None:
    """Calls on its node end at once: a limited one as if its time were up, an unlimited one with `NodeStopped`."""
    killed = cluster[0]
    with killed.node.lead() as lease:
        killed.kill()
        with pytest.raises(LeadershipLost):
            lease.check()
    with pytest.raises(NotLeader):
        killed.node.publish(b"from the grave")
    with pytest.raises(LeadTimeout), killed.node.lead(timeout=5):
        pass
    with pytest.raises(NodeStopped, match="process node-1 was killed"), killed.node.lead():
        pass
    killed.node.stop()
    assert cluster.now_s == 11.0
    newest = read_epoch(cluster, killed.node.epoch)
    assert (newest.kind, newest.leader.node) == ("lease", "node-1")


# --- freeze and thaw ------------------------------------------------------------------------------------------------


def test_a_frozen_leader_is_followed_and_may_do_nothing_when_it_comes_back(cluster: NodeCluster) -> None:
    """As SIGSTOP: nothing of it runs, its clocks run on; its first answer after SIGCONT is the truth (rule 4, I1)."""
    frozen, lease, told = cluster[0], cluster[0].node.lease, Told(cluster, cluster[0])
    assert lease is not None
    requests, before = frozen.node.requests, frozen.clock.now()
    frozen.freeze()
    cluster.advance(60)
    assert frozen.node.requests == requests
    assert told.events == []
    after = frozen.clock.now()
    assert (after.boot_s - before.boot_s, after.mono_s - before.mono_s) == pytest.approx((60, 60))
    leader = cluster.leader
    assert leader is not None
    assert leader is not frozen
    frozen.thaw()
    assert not lease.valid
    with pytest.raises(NotLeader):
        frozen.node.publish(b"late")
    cluster.advance(20)
    assert [event.reason for event in told.of(Deposed) if isinstance(event, Deposed)] == [Reason.EXPIRED]
    assert frozen.node.role == "follower"
    assert frozen.node.leader() == leader.node.leader()
    never_two(cluster)


def test_a_short_freeze_costs_nothing(cluster: NodeCluster) -> None:
    """Thawed within its lease, a leader renews and goes on under the same token (rule 6)."""
    frozen, lease = cluster[0], cluster[0].node.lease
    assert lease is not None
    frozen.freeze()
    cluster.advance(5)
    assert lease.valid
    frozen.thaw()
    cluster.advance(60)
    assert lease.valid
    assert frozen.node.term == lease.token == 1


# --- suspend --------------------------------------------------------------------------------------------------------


def test_a_suspended_machine_wakes_by_itself_and_its_monotonic_clock_stood_still(cluster: NodeCluster) -> None:
    """BOOTTIME and the wall run on, timers by MONOTONIC come so much later, and the holder counts it (rule 4)."""
    asleep, lease, told = cluster[0], cluster[0].node.lease, Told(cluster, cluster[0])
    assert lease is not None
    requests, before = asleep.node.requests, asleep.clock.now()
    asleep.suspend(30)
    cluster.advance(20)
    now = asleep.clock.now()
    assert (now.boot_s - before.boot_s, now.mono_s - before.mono_s, now.wall_s - before.wall_s) == pytest.approx(
        (20, 0, 20)
    )
    assert asleep.node.requests == requests
    assert not lease.valid
    cluster.advance(20)
    now = asleep.clock.now()
    assert (now.boot_s - before.boot_s, now.mono_s - before.mono_s, now.wall_s - before.wall_s) == pytest.approx(
        (40, 10, 40)
    )
    assert asleep.node.requests != requests
    assert [event.reason for event in told.of(Deposed) if isinstance(event, Deposed)] == [Reason.EXPIRED]
    leader = cluster.leader
    assert leader is not None
    assert leader is not asleep


def test_a_follower_that_slept_has_not_waited(holocron_cluster: MakeCluster) -> None:
    """Rule 4: the waiter counts what MONOTONIC counts, so a sleep does not shorten a lease (I8)."""
    cluster = holocron_cluster(2)
    cluster.campaign()
    leader, follower = cluster
    assert cluster.await_leader() is leader
    cluster.advance(11)
    seen_s = cluster.now_s
    leader.kill()
    follower.suspend(60)
    cluster.advance(60)
    assert cluster.await_leader() is follower
    # It had waited for about a second before it slept.
    assert cluster.now_s - seen_s > 60 + SETTINGS.ttl_s - 2


# --- partition and heal ---------------------------------------------------------------------------------------------


def test_a_leader_cut_off_steps_down_before_anyone_follows(cluster: NodeCluster) -> None:
    """Rule 3: it believes for the ttl less the margin from its last renewal, and others wait the whole ttl."""
    cut = cluster[0]
    told = [Told(cluster, process) for process in cluster]
    renewed_s = cluster.now_s - cluster.now_s % SETTINGS.renew_every
    cut.partition()
    cluster.until(lambda: not cut.leads)
    assert cluster.leader is None
    leader = cluster.await_leader()
    assert leader is not cut
    assert told[0].when(Deposed) == pytest.approx(renewed_s + SETTINGS.belief_s, abs=0.1)
    assert told[list(cluster).index(leader)].when(Elected) > renewed_s + SETTINGS.ttl_s
    assert len(told[0].of(StoreUnreachable)) == 1
    assert told[0].of(StoreBack) == []
    cut.heal()
    cluster.advance(20)
    assert len(told[0].of(StoreBack)) == 1
    assert cut.node.role == "follower"
    assert cut.node.leader() == leader.node.leader()
    never_two(cluster)


def test_what_was_under_way_in_a_partition_is_lost_when_it_heals(cluster: NodeCluster) -> None:
    """Nothing that was sent into the silence takes effect, then or later, and its sender never hears of it."""
    cut, epoch = cluster[0], cluster[0].node.epoch
    cut.partition()
    cluster.until(lambda: cut.node.statistics().failures.get("PUT", 0) > 0)
    assert read_epoch(cluster, epoch).epoch == cut.node.epoch
    cut.heal()
    cluster.advance(1)
    assert cut.node.term == 1
    assert cut.node.epoch == epoch + 1
    assert read_epoch(cluster, epoch + 1).leader.node == "node-1"


def test_a_leader_cut_off_can_be_stopped(cluster: NodeCluster) -> None:
    """`stop` waits for the release that cannot be written no longer than it says, by the cluster's clock."""
    cut = cluster[0]
    cut.partition()
    before_s = cluster.now_s
    cut.node.stop(timeout=3)
    assert cut.node.role == "stopped"
    assert 3 <= cluster.now_s - before_s < 3 + 2 * SETTINGS.ttl_s
    assert read_epoch(cluster, cut.node.epoch).kind == "lease"
    assert cluster.await_leader() is not cut


def test_a_partition_is_one_process_alone(cluster: NodeCluster) -> None:
    """The others go on as if nothing were; the leader's view calls the one that is cut off gone, in time."""
    cluster[2].partition()
    cluster.advance(120)
    assert cluster.leader is cluster[0]
    assert cluster[0].node.term == 1
    status = {member.node: member.status for member in cluster[0].node.members()}
    assert status == {"node-1": "alive", "node-2": "alive", "node-3": "gone"}


# --- lost responses -------------------------------------------------------------------------------------------------


def test_a_write_whose_answer_was_lost_is_found_to_have_been_ours(cluster: NodeCluster) -> None:
    """ "Won, told late": the value is published once, in one epoch, and the lease goes on under its token."""
    leader, epoch = cluster[0], cluster[0].node.epoch
    before_s = cluster.now_s
    leader.lose_response()
    assert leader.node.publish(b"once") == epoch + 1
    # It was not told: it had to ask again once the time limit of the first attempt had passed.
    assert cluster.now_s - before_s >= SETTINGS.attempt_s
    assert leader.node.epoch == epoch + 1
    assert leader.node.term == 1
    record = read_epoch(cluster, epoch + 1)
    assert record.published is not None
    assert record.published.value == b"once"
    cluster.advance(60)
    assert leader.node.term == 1


def test_as_many_answers_are_lost_as_were_asked_for(cluster: NodeCluster) -> None:
    """`times` counts writes that were applied, and the next one after them is answered."""
    leader = cluster[0]
    failures = leader.node.statistics().failures
    leader.lose_response(times=3)
    cluster.advance(60)
    after = leader.node.statistics().failures
    assert {verb: after[verb] - failures[verb] for verb in after} == {"GET": 0, "PUT": 3, "LIST": 0, "DELETE": 0}
    assert leader.node.term == 1


# --- resume ---------------------------------------------------------------------------------------------------------


def test_a_killed_node_is_resumed_on_fresh_compute_in_its_place(holocron_cluster: MakeCluster) -> None:
    """Rule 11: the next incarnation of the same node, which waits out the lease of its former self like anyone."""
    cluster = holocron_cluster(1)
    cluster.campaign()
    cluster.advance(11)
    former = cluster[0]
    former.kill()
    fresh = former.resume()
    assert cluster[0] is fresh
    assert (fresh.node.id, fresh.node.incarnation, fresh.node.epoch) == ("node-1", 2, former.node.epoch)
    began_s = cluster.now_s
    fresh.node.campaign()
    assert cluster.await_leader() is fresh
    assert cluster.now_s - began_s >= SETTINGS.ttl_s


def test_whoever_vouches_for_a_death_need_not_wait(holocron_cluster: MakeCluster) -> None:
    """What `Node.resume` takes can be said: with `assume_dead` the lease of the former self is not waited out."""
    cluster = holocron_cluster(1)
    cluster.campaign()
    cluster.advance(11)
    cluster[0].kill()
    fresh = cluster[0].resume(assume_dead=True)
    fresh.node.campaign()
    assert cluster.await_leader(within_s=1) is fresh


def test_a_node_resumed_under_a_living_process_supersedes_it(cluster: NodeCluster) -> None:
    """The former one learns of it at its next heartbeat and stops (rule 11); a frozen one when it is thawed."""
    former, told = cluster[0], Told(cluster, cluster[0])
    former.freeze()
    fresh = former.resume()
    cluster.advance(30)
    assert former.node.failure is None
    former.thaw()
    cluster.until(lambda: former.node.failure is not None, within_s=2 * SETTINGS.heartbeat_every)
    assert isinstance(former.node.failure, Superseded)
    assert former.node.wait(timeout=1)
    assert former.node.role == "stopped"
    assert len(told.of(events.Superseded)) == 1
    assert fresh.node.incarnation == 2
    assert fresh.node.failure is None
