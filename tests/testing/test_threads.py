"""Threads of an application keep to the cluster's time, from their first wait for something of a node's on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from holocron import Lease, Node, NodeStopped, Settings, events
from holocron.testing import MakeCluster, NodeCluster, pace

LIVENESS_S = 30.0


class Periodic:
    """Does something every `every_s` while its node leads, and notes when, and by what right."""

    def __init__(self, cluster: NodeCluster, node: Node, every_s: float) -> None:
        self.cluster, self.node, self.every_s = cluster, node, every_s
        self.done: list[tuple[float, int]] = []
        self.ended: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.node.run(self.lead)
        except NodeStopped as error:
            self.ended = error

    def lead(self, lease: Lease) -> None:
        while not lease.lost.wait(self.every_s):
            lease.check()
            self.done.append((round(self.cluster.now_s, 6), lease.token))


def test_a_thread_of_a_process_works_in_the_clusters_time(holocron_cluster: MakeCluster) -> None:
    """`run` and `lease.lost.wait(seconds)` wait by the cluster's clock: as many rounds as there is time for."""
    cluster = holocron_cluster(1)
    work = Periodic(cluster, cluster[0].node, 60.0)
    cluster[0].run(work)
    cluster.advance(600)
    assert work.done == [(60.0 * round_, 1) for round_ in range(1, 11)]


def test_freezing_and_killing_a_process_stop_its_threads_too(holocron_cluster: MakeCluster) -> None:
    """A frozen thread goes on where it stood, and its lease tells it the truth; a killed one never does."""
    cluster = holocron_cluster(2)
    works = [Periodic(cluster, process.node, 5.0) for process in cluster]
    for process, work in zip(cluster, works, strict=True):
        process.run(work)
    cluster.advance(12)
    first, second = cluster
    assert [len(work.done) for work in works] == [2, 0]
    first.freeze()
    cluster.advance(60)
    assert len(works[0].done) == 2
    assert works[1].done[0][1] > 1
    first.thaw()
    cluster.advance(60)
    assert len(works[0].done) == 2, "its lease was over when it came back"
    second.kill()
    count = len(works[1].done)
    cluster.advance(60)
    assert len(works[1].done) == count
    assert len(works[0].done) > 2
    assert works[0].done[-1][1] > works[1].done[-1][1]


def test_a_thread_that_the_service_started_joins_in_with_its_first_wait(holocron_cluster: MakeCluster) -> None:
    """Any thread may wait for a node; it is a thread of the node's process from then on, until it ends."""
    cluster = holocron_cluster(1)
    work = Periodic(cluster, cluster[0].node, 1.0)
    thread = threading.Thread(target=work)
    thread.start()
    cluster.until(lambda: len(work.done) >= 3)
    assert cluster.leader is cluster[0]
    cluster[0].node.stop()
    thread.join(LIVENESS_S)
    assert not thread.is_alive()
    assert isinstance(work.ended, NodeStopped)
    cluster.advance(10)


def test_joining_a_thread_of_a_process_lets_time_pass(holocron_cluster: MakeCluster) -> None:
    """`join` on the test's own thread returns when the work is done, or after so much of the cluster's time."""
    cluster = holocron_cluster(1)
    node = cluster[0].node

    def lead_for_a_minute() -> None:
        with node.lead() as lease:
            assert not lease.lost.wait(60)

    thread = cluster[0].run(lead_for_a_minute)
    thread.join(20)
    assert cluster.now_s == pytest.approx(20, abs=1e-6)
    assert node.role == "leader"
    thread.join()
    assert cluster.now_s == pytest.approx(60, abs=1e-6)
    assert not thread.is_alive()
    assert node.leader() is None, "it released when it was done"


def test_the_end_of_the_test_ends_every_thread() -> None:
    """Whoever still waits, in a killed process or a live one, is told that the node has stopped."""
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    before = set(threading.enumerate())

    def wait_in(node: Node) -> Callable[[], None]:
        def work() -> None:
            try:
                with node.lead():
                    raise AssertionError("it never leads")
            except NodeStopped as error:
                ended.put(str(error))

        return work

    with NodeCluster(3) as cluster:
        cluster[0].node.campaign()
        cluster.await_leader()
        for process in list(cluster)[1:]:
            threading.Thread(target=wait_in(process.node)).start()
        cluster.until(lambda: all(process.node._leadership._waiting for process in list(cluster)[1:]))
        cluster[1].kill()
        cluster.advance(1)
    assert [ended.get(timeout=LIVENESS_S) for _ in range(2)] == ["the test is over, and its cluster with it"] * 2
    with pytest.raises(NodeStopped, match="the test is over"):
        cluster.advance(1)
    for thread in set(threading.enumerate()) - before:
        thread.join(LIVENESS_S)
        assert not thread.is_alive()


def test_only_the_tests_own_thread_lets_time_pass(holocron_cluster: MakeCluster) -> None:
    """Two that moved the clock would be two stories at once; a condition or a thread that does is told so."""
    cluster = holocron_cluster(1)
    told: list[str] = []

    def meddle() -> None:
        with pytest.raises(RuntimeError) as refused:
            cluster.advance(1)
        told.append(str(refused.value))

    cluster[0].run(meddle)
    cluster.advance(1)
    assert told == ["only the thread that made the cluster lets its time pass"]

    def let_it_pass() -> bool:
        cluster.advance(1)
        return True

    with pytest.raises(RuntimeError, match="time passes already"):
        cluster.until(let_it_pass)
    cluster.advance(1)
    assert cluster.now_s == 2.0


def test_a_thread_that_waits_for_something_else_is_named_and_not_waited_for(
    holocron_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes on without it, with a warning that says where it hangs, and it may come back."""
    monkeypatch.setattr(pace, "_PATIENCE_TURN_S", 0.005)
    cluster = holocron_cluster(1)
    go_on = threading.Event()
    done: list[float] = []

    def hang() -> None:
        with cluster[0].node.lead() as lease:
            go_on.wait(LIVENESS_S)
            lease.lost.wait(30)
            done.append(cluster.now_s)

    thread = cluster[0].run(hang)
    with pytest.warns(RuntimeWarning, match=r"thread 'node-1-hang' of node-1 has not come back .*test_threads\.py:\d+"):
        cluster.advance(20)
    assert cluster[0].node.role == "leader"
    go_on.set()
    thread.join()
    assert done[0] >= 50


def test_a_subscriber_may_wait_for_a_node_too(holocron_cluster: MakeCluster) -> None:
    """A callback that publishes waits for that on its own thread, as it would in earnest."""
    cluster = holocron_cluster(1)
    node = cluster[0].node
    epochs: list[int] = []

    def announce(event: events.Event) -> None:
        if isinstance(event, events.Elected):
            epochs.append(node.publish(b"here I am"))

    node.subscribe(announce)
    node.campaign()
    cluster.advance(1)
    assert epochs == [2]


def test_a_service_may_start_its_own_node(holocron_cluster: MakeCluster) -> None:
    """`Node.start` with the store and the clock of a process is one more node of the cluster."""
    cluster = holocron_cluster(1)
    process = cluster[0]
    with Node.start(process.store, clock=process.clock, settings=Settings(ttl_s=30.0)) as node:
        assert node.cluster == process.node.cluster
        with node.lead(timeout=60) as lease:
            cluster.advance(100)
            assert lease.valid
            assert process.node.leader() == node.leader()
