"""Many nodes in one process: one scheduler, a bounded number of threads, and none disturbs another (section 7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from holocron import Node, Runtime
from holocron.errors import NodeExists, NodeStopped, SettingsError, Superseded
from holocron.store.memory import MemoryStore
from tests.runtime.conftest import SETTINGS
from tests.runtime.stores import LIVENESS_S, Meddler, hold, on
from tests.runtime.test_service import Adder, Keeping
from tests.runtime.waiting import until

Start = Callable[..., Node]
MANY = 200


@pytest.fixture
def runtime(place: str) -> Iterator[Runtime]:
    """A runtime at the place of these tests."""
    with Runtime(place, settings=SETTINGS) as made:
        yield made


def threads(before: set[threading.Thread]) -> list[str]:
    """The threads of ours that were not there before, by name."""
    return sorted(thread.name for thread in set(threading.enumerate()) - before if "holocron" in thread.name)


def test_two_hundred_nodes_share_a_bounded_number_of_threads(place: str) -> None:
    """One leads, all know it, and threads do not grow with nodes."""
    before = set(threading.enumerate())
    settings = msgspec.structs.replace(SETTINGS, ttl_s=6.0, heartbeat_every_s=2.0)
    with Runtime(place, settings=settings, io_threads=8) as runtime:
        made = runtime.start_many(MANY)
        assert len({node.id for node in made}) == MANY
        assert set(runtime.nodes) == set(made)
        made[0].campaign()
        until(lambda: all((known := node.leader()) is not None and known.node == made[0].id for node in made), "known")
        # The scheduler, two pools of eight, and one that tells: nothing for each node.
        assert len(threads(before)) <= 2 * 8 + 2, threads(before)
        assert all(not node.stopped for node in made)
    assert all(node.stopped for node in made)
    until(lambda: not threads(before), "all threads are gone")


def test_stopping_one_leaves_the_rest_alone(runtime: Runtime) -> None:
    """The leader goes on leading, beacons are renewed, journals take entries."""
    leader, other, leaving = runtime.start_many(3)
    with leader.lead(timeout=LIVENESS_S) as lease:
        other.journal.append(b"a")
        leaving.journal.append(b"a")
        leaving.stop()
        assert set(runtime.nodes) == {leader, other}
        epoch = leader.epoch
        until(lambda: leader.epoch >= epoch + 3, "three renewals")
        assert lease.valid
        assert other.journal.append(b"b") == 2
        with pytest.raises(NodeStopped):
            leaving.journal.append(b"b")


def test_one_that_is_superseded_leaves_the_rest_alone(runtime: Runtime, nodes: Start) -> None:
    """Resumed elsewhere, or here: only its former self ends."""
    leader, victim = runtime.start_many(2)
    with leader.lead(timeout=LIVENESS_S) as lease:
        elsewhere = nodes(resume=victim.id)
        assert victim.wait(LIVENESS_S)
        assert isinstance(victim.failure, Superseded)
        here = runtime.resume(victim.id)
        assert elsewhere.wait(LIVENESS_S)
        assert isinstance(elsewhere.failure, Superseded)
        assert (here.id, here.incarnation) == (victim.id, 3)
        assert set(runtime.nodes) == {leader, here}
        assert lease.valid
        assert not leader.stopped


def test_one_whose_journal_hangs_leaves_the_rest_alone(store: MemoryStore) -> None:
    """Replays and appends of one, however many, hold up no heartbeat of another."""
    meddler = Meddler(store)
    with Runtime(meddler, settings=SETTINGS, io_threads=4) as runtime:
        healthy, *stuck = runtime.start_many(9)
        with healthy.lead(timeout=LIVENESS_S) as lease, ThreadPoolExecutor(8) as pool:
            release = threading.Event()
            rule = meddler.rule(on("PUT", "/journal/"), hold(release))
            waiting = [pool.submit(node.journal.append, b"x") for node in stuck]
            rule.wait(4)
            meddler.forget()
            epoch = healthy.epoch
            until(lambda: healthy.epoch >= epoch + 3, "three renewals")
            beating = {f"members/{node.id}.json" for node in (healthy, *stuck)}
            until(lambda: {trip.key for trip in meddler.trips("PUT", "members/")} >= beating, "every heart beats")
            assert lease.valid
            release.set()
            assert [future.result(LIVENESS_S) for future in waiting] == [1] * 8


def test_services_stand_beside_each_other(runtime: Runtime) -> None:
    """Each has a journal and a state of its own, and comes back with its own node."""
    hosted = [runtime.host(Keeping(), node_id=f"shelf-{number}") for number in range(10)]
    for number, node in enumerate(hosted):
        assert node.submit(b"%d" % number) == b"%d" % number
    hosted[3].stop()
    again = runtime.host(Keeping(), node_id="shelf-3")
    assert again.incarnation == 2
    assert again.submit(b"1") == b"4"
    assert hosted[4].submit(b"1") == b"5"


def test_many_come_back_side_by_side(place: str) -> None:
    """All that were there are there again, with what they acknowledged."""
    with Runtime(place, settings=SETTINGS) as first:
        ids = tuple(node.id for node in first.start_many(20))
        for node in first.nodes:
            node.journal.append(node.id.encode())
    with Runtime(place, settings=SETTINGS) as second:
        for node in second.resume_many(ids):
            found: list[bytes] = []
            node.journal.replay(lambda _, entry, found=found: found.append(entry))  # type: ignore[misc]  # a lambda's default has no annotation
            assert found == [node.id.encode()]
        assert {node.id for node in second.nodes} == set(ids)


def test_if_one_cannot_come_aboard_none_of_its_company_stays(runtime: Runtime) -> None:
    """What keeps it is raised, and the others are stopped; whoever was there before stays."""
    before = runtime.start(node_id="n1")
    with pytest.raises(NodeExists):
        runtime.start_many(3, node_id="n1")
    assert runtime.nodes == (before,)


def test_stop_ends_everything_and_may_be_called_again(place: str) -> None:
    """Nothing can be started in it any more."""
    before = set(threading.enumerate())
    runtime = Runtime(place, settings=SETTINGS)
    node = runtime.start()
    service = Adder()
    hosted = runtime.host(service)
    runtime.stop()
    runtime.stop()
    assert node.stopped
    assert hosted.stopped
    assert service.stopped == 1
    assert runtime.nodes == ()
    starts: list[Callable[[], Node]] = [
        runtime.start,
        lambda: runtime.resume(node.id),
        lambda: runtime.host(Adder()),
    ]
    for start in starts:
        with pytest.raises(NodeStopped, match="this runtime has stopped"):
            start()
    until(lambda: not threads(before), "all threads are gone")


def test_one_that_comes_aboard_while_the_runtime_stops_does_not_stay(store: MemoryStore) -> None:
    """It is told that the runtime has stopped, and waits for nobody (no thread is there to answer it)."""
    meddler = Meddler(store)
    runtime = Runtime(meddler, settings=SETTINGS)
    runtime.start()
    release = threading.Event()
    rule = meddler.rule(on("PUT", "identity"), hold(release))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(runtime.start)
        rule.wait()
        runtime.stop()
        release.set()
        began_s = time.monotonic()
        assert isinstance(late.exception(LIVENESS_S), NodeStopped)
        assert time.monotonic() - began_s < LIVENESS_S
    assert runtime.nodes == ()


@pytest.mark.parametrize("io_threads", [0, 1025])
def test_a_number_of_threads_that_makes_no_sense_is_refused(io_threads: int) -> None:
    """Before anything is opened."""
    with pytest.raises(SettingsError, match="between 1 and 1024"):
        Runtime("memory://nowhere", io_threads=io_threads)
