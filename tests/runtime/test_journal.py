"""`node.journal`: acknowledged means there, in order, once; and no heartbeat waits for it (I9, I10, section 7)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import msgspec
import pytest

from holocron import Node
from holocron.errors import (
    NodeStopped,
    OutcomeUnknown,
    RecordUnreadable,
    SettingsError,
    StoreUnreachable,
    Superseded,
)
from holocron.layout import identity_key
from holocron.runtime.journal import BACKLOG_BYTES
from holocron.state.recovery import SIDE_BY_SIDE
from holocron.state.slots import ENTRY_LIMIT_BYTES, SNAPSHOT_LIMIT_BYTES
from holocron.state.writer import WINDOW
from holocron.store.base import Get, List, Listed, Put
from holocron.store.memory import MemoryStore
from holocron.store.s3 import S3Store
from holocron.testing.server import serve
from tests.runtime import made
from tests.runtime.conftest import SETTINGS
from tests.runtime.stores import LIVENESS_S, Meddler, anything, hang, hold, lose, on, refuse
from tests.runtime.waiting import until

Start = Callable[..., Node]


def journaled(node: Node) -> list[bytes]:
    """What a node finds in its journal, one entry after the other; a snapshot is the entries joined."""
    found: list[bytes] = []

    def restore(snapshot: bytes, position: int) -> None:
        found[:] = snapshot.split(b",")
        assert len(found) == position

    def apply(position: int, entry: bytes) -> None:
        found.append(entry)
        assert len(found) == position

    assert node.journal.replay(apply, restore) == len(found)
    return found


@pytest.fixture
def meddler(store: MemoryStore) -> Meddler:
    """The place, with a way to it that does harm."""
    return Meddler(store)


# --- appending and coming back --------------------------------------------------------------------------------------


def test_what_was_appended_comes_back_with_the_node(nodes: Start) -> None:
    """Positions count from 1, over all incarnations."""
    node = nodes()
    assert [node.journal.append(b"a"), node.journal.append(b"b")] == [1, 2]
    assert node.journal.position == 2
    again = nodes(resume=node.id)
    assert journaled(again) == [b"a", b"b"]
    assert again.journal.append(b"c") == 3
    assert journaled(nodes(resume=node.id)) == [b"a", b"b", b"c"]


def test_entries_that_wait_together_share_a_slot(nodes: Start, store: MemoryStore) -> None:
    """Group commit: a thousand at once are a few objects, acknowledged in the order in which they were handed in."""
    node = nodes()
    node.journal.replay()
    order: list[int] = []
    heard = threading.Semaphore(0)

    def told(future: Future[int]) -> None:
        order.append(future.result())
        heard.release()

    for _ in range(1000):
        node.journal.append_nowait(b"x").add_done_callback(told)
    for _ in range(1000):
        assert heard.acquire(timeout=LIVENESS_S)
    assert order == list(range(1, 1001))
    listed = store.perform(List(f"nodes/{node.id}/journal/"), 1.0)
    assert isinstance(listed, Listed)
    assert len(listed.entries) < 100


def test_many_threads_append_and_nothing_is_lost_or_doubled(nodes: Start) -> None:
    """Each is told its own position, and each position is one entry."""
    node = nodes()

    def work(number: int) -> dict[int, bytes]:
        return {node.journal.append(entry): entry for entry in (b"%d-%d" % (number, n) for n in range(50))}

    told: dict[int, bytes] = {}
    with ThreadPoolExecutor(8) as pool:
        for positions in pool.map(work, range(8)):
            assert not told.keys() & positions.keys()
            told |= positions
    assert journaled(nodes(resume=node.id)) == [told[position] for position in range(1, 401)]


def test_flush_waits_for_everything_appended_so_far(nodes: Start, meddler: Meddler) -> None:
    """Once it returns, every future of before is done."""
    node = nodes(location=meddler)
    node.journal.replay()
    release = threading.Event()
    meddler.rule(on("PUT", "/journal/"), hold(release), times=1)
    futures = [node.journal.append_nowait(b"x") for _ in range(10)]
    with pytest.raises(OutcomeUnknown, match="not settled in time"):
        node.journal.flush(timeout=0.05)
    assert not any(future.done() for future in futures)
    release.set()
    node.journal.flush(timeout=LIVENESS_S)
    assert all(future.done() for future in futures)


def test_a_lost_answer_is_settled_by_reading_back(nodes: Start, meddler: Meddler) -> None:
    """Applied and told to be lost: acknowledged, and there once (I10)."""
    node = nodes(location=meddler)
    node.journal.append(b"a")
    rule = meddler.rule(on("PUT", "/journal/"), lose, times=3)
    assert node.journal.append(b"b") == 2
    rule.wait(3)
    assert journaled(nodes(resume=node.id)) == [b"a", b"b"]


def test_replay_comes_first_and_once(nodes: Start) -> None:
    """Later it would hand out what this incarnation wrote, and fence off itself."""
    node = nodes()
    node.journal.append(b"a")
    with pytest.raises(SettingsError, match="is open"):
        node.journal.replay()


def test_what_is_called_by_a_replay_cannot_append(nodes: Start) -> None:
    """It would wait for itself for ever; it is told so, and the journal can be replayed again."""
    node = nodes()
    node.journal.append(b"a")
    again = nodes(resume=node.id)

    def apply(position: int, entry: bytes) -> None:
        again.journal.append_nowait(entry)

    with pytest.raises(SettingsError, match="being replayed"):
        again.journal.replay(apply)
    assert journaled(again) == [b"a"]


def test_a_callback_that_takes_its_time_holds_up_no_heartbeat(nodes: Start, meddler: Meddler) -> None:
    """It is the application's, and is called beside the runtime's own thread."""
    node = nodes(location=meddler)
    release, called = threading.Event(), threading.Event()

    def slow(_: Future[int]) -> None:
        called.set()
        release.wait(LIVENESS_S)

    node.journal.append_nowait(b"a").add_done_callback(slow)
    assert called.wait(LIVENESS_S)
    meddler.forget()
    until(lambda: len(meddler.trips("PUT", "members/")) >= 3, "three heartbeats")
    assert node.journal.append(b"b", timeout=LIVENESS_S) == 2
    release.set()


def test_a_future_cannot_be_cancelled(nodes: Start, meddler: Meddler) -> None:
    """What was handed in is not taken back."""
    node = nodes(location=meddler)
    node.journal.replay()
    release = threading.Event()
    meddler.rule(on("PUT", "/journal/"), hold(release), times=1)
    future = node.journal.append_nowait(b"a")
    assert not future.cancel()
    release.set()
    assert future.result(LIVENESS_S) == 1


# --- limits ---------------------------------------------------------------------------------------------------------


def test_an_entry_may_have_four_mebibytes_and_no_more(nodes: Start) -> None:
    """The largest comes back whole, several of them over several slots; one byte more is refused."""
    node = nodes()
    largest = bytes(ENTRY_LIMIT_BYTES)
    futures = [node.journal.append_nowait(largest) for _ in range(3)]
    assert [future.result(LIVENESS_S) for future in futures] == [1, 2, 3]
    with pytest.raises(SettingsError, match=f"at most {ENTRY_LIMIT_BYTES} bytes, this one has {ENTRY_LIMIT_BYTES + 1}"):
        node.journal.append(largest + b"x")
    assert node.journal.append(b"") == 4
    assert journaled(nodes(resume=node.id)) == [largest, largest, largest, b""]


def test_whoever_appends_more_than_the_backlog_waits_for_room(nodes: Start, meddler: Meddler) -> None:
    """Back-pressure in bytes; with a time limit nothing is handed in, and that is certain (I10)."""
    node = nodes(location=meddler)
    node.journal.replay()
    release = threading.Event()
    meddler.rule(on("PUT", "/journal/"), hold(release))
    largest = bytes(ENTRY_LIMIT_BYTES)
    futures = [node.journal.append_nowait(largest) for _ in range(BACKLOG_BYTES // ENTRY_LIMIT_BYTES)]
    with pytest.raises(StoreUnreachable, match="nothing was appended"):
        node.journal.append(b"one more", timeout=0.05)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.journal.append, b"patient")
        meddler.clear()
        release.set()
        assert [future.result(LIVENESS_S) for future in futures] == list(range(1, len(futures) + 1))
        assert waiting.result(LIVENESS_S) == len(futures) + 1
    assert journaled(nodes(resume=node.id)) == [*[largest] * len(futures), b"patient"]


# --- superseded and stopped -----------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_after_the_node_is_resumed_elsewhere(nodes: Start, meddler: Meddler) -> None:
    """Whatever was not acknowledged by then raises `Superseded`, and may be in the journal or not (I2, I9)."""
    node = nodes(location=meddler)
    node.journal.append(b"a")
    release = threading.Event()
    rule = meddler.rule(on("PUT", "/journal/"), hold(release))
    waiting = [node.journal.append_nowait(b"b%d" % number) for number in range(5)]
    rule.wait()
    newer = nodes(resume=node.id)
    assert journaled(newer) == [b"a"]
    assert newer.journal.append(b"c") == 2
    meddler.clear()
    release.set()
    for future in waiting:
        assert isinstance(future.exception(LIVENESS_S), Superseded)
    with pytest.raises(Superseded):
        node.journal.append(b"d")
    assert node.wait(LIVENESS_S)
    assert isinstance(node.failure, Superseded)
    assert journaled(nodes(resume=node.id)) == [b"a", b"c"]


def test_an_incarnation_that_opens_its_journal_late_is_told(nodes: Start) -> None:
    """Its fence comes behind the newer one's, and opens nothing (I9)."""
    node = nodes(settings=msgspec.structs.replace(SETTINGS, heartbeat_every_s=60.0))
    newer = nodes(resume=node.id)
    newer.journal.append(b"a")
    with pytest.raises(Superseded, match="incarnation 2"):
        node.journal.append(b"b")
    assert newer.journal.append(b"c") == 2
    assert journaled(nodes(resume=node.id)) == [b"a", b"c"]


def test_stop_leaves_nobody_waiting(nodes: Start, meddler: Meddler) -> None:
    """What the store has not settled is unknown, what comes later is refused, whoever waits for room is let go."""
    node = nodes(location=meddler)
    node.journal.replay()
    meddler.rule(on("PUT", "/journal/"), hang)
    largest = bytes(ENTRY_LIMIT_BYTES)
    with ThreadPoolExecutor(2) as pool:
        futures = [node.journal.append_nowait(largest) for _ in range(BACKLOG_BYTES // ENTRY_LIMIT_BYTES)]
        crowded = pool.submit(node.journal.append, b"x")
        flushing = pool.submit(node.journal.flush)
        node.stop(timeout=0.5)
        for future in futures:
            assert isinstance(future.exception(LIVENESS_S), OutcomeUnknown)
        assert isinstance(crowded.exception(LIVENESS_S), NodeStopped)
        assert flushing.exception(LIVENESS_S) is None
    with pytest.raises(NodeStopped):
        node.journal.append(b"y")


@pytest.mark.parametrize("what", ["replay", "checkpoint"])
def test_stop_ends_a_replay_and_a_checkpoint_that_wait_for_the_store(nodes: Start, meddler: Meddler, what: str) -> None:
    """Nobody is left waiting for a thread that is gone."""
    node = nodes(location=meddler)
    if what == "checkpoint":
        node.journal.append(b"a")
    rule = meddler.rule(on("GET", "journal.floor" if what == "replay" else "/checkpoint/"), hang)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.journal.replay) if what == "replay" else pool.submit(node.journal.checkpoint, b"a")
        rule.wait()
        node.stop(timeout=0.5)
        assert isinstance(waiting.exception(LIVENESS_S), NodeStopped)


def test_a_replay_keeps_to_its_timeout_and_can_be_tried_again(nodes: Start, meddler: Meddler) -> None:
    """A fence that was given up on may stand or not; the next one stands behind it."""
    node = nodes(location=meddler)
    node.journal.append(b"a")
    again = nodes(location=meddler, resume=node.id)
    meddler.rule(on("GET", "/journal/"), hang)
    with pytest.raises(StoreUnreachable, match="not done within"):
        again.journal.replay(timeout=0.3)
    meddler.clear()
    assert journaled(again) == [b"a"]


def test_a_fork_has_no_journal(nodes: Start) -> None:
    """It lives on in the parent; in the child it says so and waits for nothing."""
    node = nodes()
    node.journal.append(b"a")
    child = os.fork()
    if child == 0:
        try:
            node.journal.append(b"b", timeout=5.0)
        except NodeStopped:
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is to know that it is wrong
            os._exit(2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert node.journal.append(b"c") == 2


# --- heartbeats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["append", "replay", "checkpoint"])
def test_a_journal_that_hangs_starves_no_heartbeat(nodes: Start, meddler: Meddler, what: str) -> None:
    """Its requests have threads of their own: renewals and heartbeats never queue behind them (section 7)."""
    first = nodes()
    for number in range(40):
        first.journal.append(b"%d" % number)
    release = threading.Event()
    node = nodes(location=meddler, resume=first.id)
    if what != "replay":
        node.journal.replay()
    with node.lead(timeout=LIVENESS_S) as lease, ThreadPoolExecutor(40) as pool:
        kind = "/checkpoint/" if what == "checkpoint" else "/journal/"
        verb = "GET" if what == "replay" else "PUT"
        rule = meddler.rule(on(verb, kind), hold(release))
        # As many as the runtime has threads for requests, and more.
        kinds: dict[str, list[Callable[[], object]]] = {
            "append": [partial(node.journal.append, b"x")],
            "replay": [node.journal.replay],
            "checkpoint": [partial(node.journal.checkpoint, b"x")] * 40,
        }
        waiting = [pool.submit(each) for each in kinds[what]]
        # A replay first reads the window before its fence.
        rule.wait({"append": 1, "replay": WINDOW, "checkpoint": WINDOW + SIDE_BY_SIDE}[what])
        meddler.forget()
        epoch = node.epoch
        until(lambda: len(meddler.trips("PUT", "members/")) >= 4, "four heartbeats")
        until(lambda: node.epoch >= epoch + 3, "three renewals")
        assert lease.valid
        assert not any(future.done() for future in waiting)
        release.set()
        for future in waiting:
            future.result(LIVENESS_S)


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_replay_begins_at_the_newest_checkpoint(nodes: Start) -> None:
    """What it covers is not handed out again, and at a position of one's choice."""
    node = nodes()
    for entry in (b"a", b"b", b"c"):
        node.journal.append(entry)
    node.journal.checkpoint(b"a,b", position=2)
    applied: list[tuple[int, bytes]] = []
    restored: list[tuple[bytes, int]] = []
    again = nodes(resume=node.id)
    again.journal.replay(lambda *entry: applied.append(entry), lambda *snapshot: restored.append(snapshot))
    assert restored == [(b"a,b", 2)]
    assert applied == [(3, b"c")]
    again.journal.checkpoint(b"a,b,c")
    assert journaled(nodes(resume=node.id)) == [b"a", b"b", b"c"]


def test_a_checkpoint_of_what_nobody_has_acknowledged_here_is_refused(nodes: Start) -> None:
    """Not acknowledged, or so far back that its slot is not known: a replay from there would have a gap."""
    node = nodes()
    for entry in (b"a", b"b", b"c"):
        node.journal.append(entry)
    for position in (-1, 4):
        with pytest.raises(SettingsError, match=f"position {position}"):
            node.journal.checkpoint(b"x", position)
    node.journal.checkpoint(b"a,b,c")
    again = nodes(resume=node.id)
    assert journaled(again) == [b"a", b"b", b"c"]
    again.journal.append(b"d")
    with pytest.raises(SettingsError, match="position 2 is too far back"):
        again.journal.checkpoint(b"a,b", position=2)
    again.journal.checkpoint(b"a,b,c,d")
    with pytest.raises(SettingsError, match="position 3 is too far back"):
        again.journal.checkpoint(b"a,b,c", position=3)
    assert journaled(nodes(resume=node.id)) == [b"a", b"b", b"c", b"d"]


def test_a_checkpoint_has_its_limits(nodes: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large, or before the journal is open: refused, and nothing was written."""
    node = nodes()
    with pytest.raises(SettingsError, match="replay comes before all else"):
        node.journal.checkpoint(b"x")
    node.journal.append(b"a")
    monkeypatch.setattr("holocron.runtime.journal.SNAPSHOT_LIMIT_BYTES", 10)
    with pytest.raises(SettingsError, match="at most 10 bytes, this one has 11"):
        node.journal.checkpoint(b"x" * 11)
    assert SNAPSHOT_LIMIT_BYTES == 256 * 1024 * 1024


def test_a_damaged_journal_is_refused_with_its_key(nodes: Start, store: MemoryStore) -> None:
    """And the node lives on, without one (I12)."""
    node = nodes()
    node.journal.append(b"a")
    again = nodes(resume=node.id)
    key = f"nodes/{node.id}/journal/0000000000000002"
    body = made.get(store, key)
    assert body is not None
    found = store.perform(Get(key), 1.0)
    store.perform(Put(key, b"rubbish", found.etag), 1.0)  # type: ignore[union-attr]  # it is Found
    with pytest.raises(RecordUnreadable, match=key):
        again.journal.replay()
    assert not again.stopped


def test_a_store_out_of_reach_is_waited_for(nodes: Start, meddler: Meddler) -> None:
    """An append outlives an outage; with a time limit its outcome is unknown, and it may come through later (I10)."""
    node = nodes(location=meddler)
    node.journal.append(b"a")
    meddler.rule(anything, refuse)
    with pytest.raises(OutcomeUnknown):
        node.journal.append(b"b", timeout=0.2)
    future = node.journal.append_nowait(b"c")
    meddler.clear()
    assert future.result(LIVENESS_S) == 3
    assert journaled(nodes(resume=node.id)) == [b"a", b"b", b"c"]


# --- over HTTP ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """A place on the embedded S3 server."""
    with serve() as server:
        server.reset()
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        store = S3Store("holocron", "journals", endpoint_url=server.url, region="us-east-1")
        yield store
        store.close()


def test_a_journal_on_s3(nodes: Start, bucket: S3Store) -> None:
    """The same over HTTP: group commit, checkpoint, resume, and the end of the former self."""
    node = nodes(location=bucket)
    futures = [node.journal.append_nowait(b"%d" % number) for number in range(200)]
    assert [future.result(LIVENESS_S) for future in futures] == list(range(1, 201))
    node.journal.checkpoint(b",".join(b"%d" % number for number in range(200)))
    node.journal.append(b"200")
    again = nodes(location=bucket, resume=node.id)
    assert journaled(again) == [b"%d" % number for number in range(201)]
    with pytest.raises(Superseded):
        node.journal.append(b"late")
    assert made.get(bucket, identity_key(node.id)) is not None
