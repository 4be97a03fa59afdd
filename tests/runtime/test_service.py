"""Hosted services: journaled, then applied, then answered, exactly once across crashes (I9, section 6)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holocron import Node, host
from holocron.errors import NodeStopped, OutcomeUnknown, RecordUnreadable, SettingsError, Superseded
from holocron.runtime.service import Service
from holocron.state.slots import ENTRY_LIMIT_BYTES
from holocron.store.memory import MemoryStore
from tests.runtime import made
from tests.runtime.conftest import SETTINGS
from tests.runtime.stores import LIVENESS_S, Meddler, hang, hold, on
from tests.runtime.waiting import until

Start = Callable[..., Node]


class Adder:
    """Adds up; knows what it was told."""

    def __init__(self) -> None:
        self.total = 0
        self.applied: list[int] = []
        self.stopped = 0

    def apply(self, command: bytes) -> bytes:
        """Add; the new total. What is below zero is refused."""
        number = int(command)
        if number < 0:
            raise ValueError(f"{number} is below zero")
        self.total += number
        self.applied.append(number)
        return str(self.total).encode()

    def stop(self) -> None:
        """The node is about to stop."""
        self.stopped += 1


class Keeping(Adder):
    """One that can be snapshotted."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots = 0
        self.restored: list[int] = []

    def snapshot(self) -> bytes:
        """The total."""
        self.snapshots += 1
        return json.dumps(self.total).encode()

    def restore(self, snapshot: bytes) -> None:
        """The total as it was."""
        self.total = json.loads(snapshot)
        self.restored.append(self.total)


def hosting(node: Node, service: Service, **more: Any) -> int:
    """Put a service on a node."""
    return node.host(service, **more)


def resumed(nodes: Start, node: Node, service: Service, **more: Any) -> Node:
    """Another incarnation of a node, with a service: the former one is as good as killed."""
    again = nodes(resume=node.id)
    again.host(service, **more)
    return again


def checkpoints(store: MemoryStore, node: Node) -> list[int]:
    """The slots of its checkpoints."""
    return [int(key.rpartition("/")[2]) for key in made.keys(store, f"nodes/{node.id}/checkpoint/")]


# --- exactly once ---------------------------------------------------------------------------------------------------


def test_a_service_stands_where_its_last_acknowledged_command_left_it(nodes: Start) -> None:
    """Commands come back in the order in which they were answered."""
    node = nodes()
    assert node.host(Adder()) == 0
    assert [node.submit(b"%d" % number) for number in (1, 2, 3)] == [b"1", b"3", b"6"]
    after = Adder()
    again = nodes(resume=node.id)
    assert again.host(after) == 3
    assert (after.total, after.applied) == (6, [1, 2, 3])
    assert again.submit(b"4") == b"10"


def test_a_replay_tells_how_far_it_is(nodes: Start) -> None:
    """After each slot from the checkpoint's to the fence, how many were read of how many there are."""
    node = nodes()
    node.host(Adder(), checkpoint_every=0)
    for number in (1, 2, 3):
        node.submit(b"%d" % number)
    told: list[tuple[int, int]] = []
    again = nodes(resume=node.id)
    again.host(Adder(), checkpoint_every=0, progress=lambda done, of: told.append((done, of)))
    # Two fences, and a slot for each command, for each was waited for.
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_command_is_applied_once_under_its_key(nodes: Start) -> None:
    """Repeated here, or to whoever has resumed the node: the first answer again, and nothing is done (I9)."""
    service = Adder()
    node = nodes()
    node.host(service)
    assert node.submit(b"5", key="a") == b"5"
    assert node.submit(b"7", key="b") == b"12"
    assert node.submit(b"5", key="a") == b"5"
    after = Adder()
    again = resumed(nodes, node, after)
    assert again.submit(b"5", key="a") == b"5"
    assert again.submit(b"1", key="c") == b"13"
    assert service.applied == [5, 7]
    assert after.applied == [5, 7, 1]


def test_a_key_is_remembered_over_a_checkpoint(nodes: Start) -> None:
    """The command is in no journal any more; its answer is in the checkpoint."""
    node = nodes()
    node.host(Keeping())
    node.submit(b"5", key="a")
    node.stop()
    after = Keeping()
    again = resumed(nodes, node, after)
    assert after.restored == [5]
    assert again.submit(b"5", key="a") == b"5"
    assert after.applied == []


def test_an_unknown_command_that_was_durable_is_not_done_twice(nodes: Start, store: MemoryStore) -> None:
    """Journaled, and the process died before it could answer: the repetition gets the answer, and nothing is done."""
    meddler = Meddler(store)
    node = nodes(location=meddler)
    node.host(Adder())
    release = threading.Event()
    # The slot is there, and the read of the floor that makes it a win never comes back.
    rule = meddler.rule(on("GET", "journal.floor"), hold(release, answered=False))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(node.submit, b"5", "a")
        rule.wait()
        after = Adder()
        again = resumed(nodes, node, after)
        assert again.submit(b"5", key="a") == b"5"
        node.stop(0.2)
        # Whether it heard of its successor first is a matter of its heartbeat; either leaves open what became of it.
        assert isinstance(first.exception(LIVENESS_S), OutcomeUnknown | Superseded)
        release.set()
    assert after.applied == [5]


def test_a_command_under_way_is_shared_by_whoever_repeats_it(nodes: Start, store: MemoryStore) -> None:
    """Two that submit one key at once get one answer."""
    meddler = Meddler(store)
    service = Adder()
    node = nodes(location=meddler)
    node.host(service)
    release = threading.Event()
    rule = meddler.rule(on("PUT", "/journal/"), hold(release))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(node.submit, b"5", "a") for _ in range(4)]
        rule.wait()
        release.set()
        assert [answer.result(LIVENESS_S) for answer in answers] == [b"5"] * 4
    assert service.applied == [5]


def test_commands_are_applied_in_the_order_in_which_they_are_journaled(nodes: Start) -> None:
    """Whatever threads hand them in, a replay comes to the same answers."""
    service = Adder()
    node = nodes()
    node.host(service)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: node.submit(b"%d" % number, key=str(number)), range(200)))
    after = Adder()
    again = resumed(nodes, node, after)
    assert after.applied == service.applied
    assert [again.submit(b"0", key=str(number)) for number in range(200)] == answers


# --- what a service may do wrong ------------------------------------------------------------------------------------


def test_what_apply_raises_is_the_answer_and_the_command_has_not_happened(nodes: Start) -> None:
    """It is raised again by the one who submitted it, tried again under its key, and harmless when replayed."""
    service = Adder()
    node = nodes()
    node.host(service)
    for _ in range(2):
        with pytest.raises(ValueError, match="-1 is below zero"):
            node.submit(b"-1", key="a")
    assert node.submit(b"3") == b"3"
    after = Adder()
    assert hosting(nodes(resume=node.id), after) == 3
    assert after.applied == [3]


class Rude(Keeping):
    """Does what a service should not."""

    def apply(self, command: bytes) -> bytes:
        """Leave, answer what is no answer, take too long, or add."""
        if command == b"exit":
            raise SystemExit("out of here")
        if command == b"late":
            raise TimeoutError("the service's own")
        if command == b"none":
            return None  # type: ignore[return-value]  # on purpose
        return super().apply(command)

    def snapshot(self) -> bytes:
        """No snapshot."""
        raise OSError("no snapshot today")

    def stop(self) -> None:
        """Not even that."""
        raise OSError("no end today")


def test_a_rude_service_hurts_only_itself(nodes: Start) -> None:
    """Whatever it raises, wherever: the next command is served, and the node stops as any other."""
    node = nodes()
    node.host(Rude(), checkpoint_every=1)
    with pytest.raises(SystemExit):
        node.submit(b"exit", timeout=LIVENESS_S)
    with pytest.raises(TimeoutError, match="the service's own"):
        node.submit(b"late", timeout=LIVENESS_S)
    with pytest.raises(TypeError, match="returned NoneType and not bytes"):
        node.submit(b"none", timeout=LIVENESS_S)
    assert node.submit(b"1", timeout=LIVENESS_S) == b"1"
    node.stop()
    assert node.stopped


def test_limits_are_told_before_anything_is_journaled(nodes: Start) -> None:
    """Keys and commands beyond them, a second service, and none."""
    node = nodes()
    with pytest.raises(SettingsError, match="hosts no service"):
        node.submit(b"1")
    node.host(Adder())
    with pytest.raises(SettingsError, match="hosts Adder already"):
        node.host(Adder())
    with pytest.raises(SettingsError, match="at most 256 characters"):
        node.submit(b"1", key="k" * 257)
    with pytest.raises(SettingsError, match=f"at most {ENTRY_LIMIT_BYTES} bytes with its key"):
        node.submit(bytes(ENTRY_LIMIT_BYTES))
    with pytest.raises(SettingsError, match="cannot be below zero"):
        nodes().host(Adder(), checkpoint_every=-1)
    with pytest.raises(SettingsError, match="checkpoint_bytes is -1 and cannot be below zero"):
        nodes().host(Adder(), checkpoint_bytes=-1)
    assert node.submit(b"1") == b"1"
    assert node.journal.position == 1


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_taken_every_so_many_commands(nodes: Start, store: MemoryStore) -> None:
    """And no more often; what is behind the last one is applied again."""
    service = Keeping()
    node = nodes()
    node.host(service, checkpoint_every=10)
    for taken in (1, 2, 3):
        for _ in range(10):
            node.submit(b"1")
        until(lambda: service.snapshots == taken and len(checkpoints(store, node)) == min(taken, 2), "a checkpoint")  # noqa: B023
    for _ in range(5):
        node.submit(b"1")
    after = Keeping()
    resumed(nodes, node, after)
    assert after.restored == [30]
    assert after.total == 35


def test_a_checkpoint_is_taken_after_so_many_bytes(nodes: Start, store: MemoryStore) -> None:
    """By size alone, where a number of commands says nothing; and never where neither is asked for."""
    service = Keeping()
    node = nodes()
    node.host(service, checkpoint_every=0, checkpoint_bytes=4096)
    for _ in range(20):
        node.submit(b"1")
    assert service.snapshots == 0
    node.submit(b"1" + b" " * 4096)
    until(lambda: len(checkpoints(store, node)) == 1, "the checkpoint")
    never = Keeping()
    other = nodes()
    other.host(never, checkpoint_every=0)
    other.submit(b"1" + b" " * 4096)
    other.stop()
    assert (never.snapshots, checkpoints(store, other)) == (0, [])


def test_whichever_comes_first_is_when_a_checkpoint_is_taken(nodes: Start, store: MemoryStore) -> None:
    """Many small commands come to the number, a few large ones to the size."""
    node = nodes()
    node.host(Keeping(), checkpoint_every=3, checkpoint_bytes=4096)
    for _ in range(3):
        node.submit(b"1")
    until(lambda: len(checkpoints(store, node)) == 1, "the checkpoint by number")
    node.submit(b"1" + b" " * 4096)
    until(lambda: len(checkpoints(store, node)) == 2, "the checkpoint by size")


def test_commands_applied_again_count_towards_the_next_checkpoint(nodes: Start, store: MemoryStore) -> None:
    """A process that dies early each time comes to a checkpoint all the same."""
    node = nodes()
    node.host(Keeping(), checkpoint_every=10)
    for _ in range(9):
        node.submit(b"1")
    assert checkpoints(store, node) == []
    again = resumed(nodes, node, Keeping(), checkpoint_every=10)
    again.submit(b"1")
    until(lambda: len(checkpoints(store, node)) == 1, "the checkpoint that was due")


def test_stop_takes_a_last_checkpoint(nodes: Start, store: MemoryStore) -> None:
    """Whoever resumes the node has nothing to apply again; and where nothing was new, none is taken."""
    node = nodes()
    service = Keeping()
    node.host(service)
    node.submit(b"5")
    node.stop()
    assert service.stopped == 1
    assert len(checkpoints(store, node)) == 1
    after = Keeping()
    again = resumed(nodes, node, after)
    assert (after.restored, after.applied) == ([5], [])
    again.stop()
    assert after.snapshots == 0


def test_a_service_without_snapshot_has_every_command_applied_again(nodes: Start, store: MemoryStore) -> None:
    """There is nothing to take, and nothing is lost."""
    node = nodes()
    node.host(Adder(), checkpoint_every=1)
    for _ in range(5):
        node.submit(b"1")
    node.stop()
    assert checkpoints(store, node) == []
    after = Adder()
    resumed(nodes, node, after)
    assert after.applied == [1] * 5


def test_a_service_that_cannot_restore_is_not_begun_anew(nodes: Start) -> None:
    """There is a state, and it is not thrown away: told, and the node is stopped again by `host`."""
    node = nodes()
    node.host(Keeping())
    node.submit(b"5")
    node.stop()
    with pytest.raises(RecordUnreadable, match="Adder has no restore"):
        host(Adder(), node.location, node_id=node.id, settings=SETTINGS)
    with host(Keeping(), node.location, node_id=node.id, settings=SETTINGS) as again:
        assert again.submit(b"0") == b"5"


def test_a_node_with_a_journal_of_its_own_hosts_nothing(nodes: Start) -> None:
    """Entries that are no commands are told with their position."""
    node = nodes()
    node.journal.append(b"not a command")
    with pytest.raises(RecordUnreadable, match="entry at position 1 is not a command"):
        nodes(resume=node.id).host(Adder())


# --- leadership and the end -----------------------------------------------------------------------------------------


class Standing(Adder):
    """One that stands for election."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.elected = threading.Event()

    def on_elected(self, lease: Any) -> None:
        """It leads."""
        self.told.append(f"elected {lease.term}")
        self.elected.set()

    def on_deposed(self, reason: Any) -> None:
        """It leads no more."""
        self.told.append(f"deposed {reason.value}")


def test_a_service_that_wants_to_lead_stands_for_election(nodes: Start) -> None:
    """It is told when it leads and when no more, before it is told to stop."""
    service = Standing()
    node = nodes()
    node.host(service)
    assert service.elected.wait(LIVENESS_S)
    node.stop()
    assert service.told == ["elected 1", "deposed released"]
    assert service.stopped == 1


def test_a_service_without_on_elected_does_not(nodes: Start) -> None:
    """State and leadership are two things."""
    node = nodes()
    node.host(Adder())
    other = nodes()
    with other.lead(timeout=LIVENESS_S):
        assert node.role == "follower"
        assert node.submit(b"1") == b"1"


def test_a_superseded_service_acknowledges_nothing_more(nodes: Start) -> None:
    """The former self is refused, told to stop, and takes no checkpoint of what is not its own any more (I9)."""
    service = Keeping()
    node = nodes()
    node.host(service)
    node.submit(b"1")
    after = Keeping()
    again = resumed(nodes, node, after)
    with pytest.raises((Superseded, NodeStopped)):
        node.submit(b"2")
    assert node.wait(LIVENESS_S)
    until(lambda: service.stopped == 1, "the former self was told to stop")
    assert service.snapshots == 0
    assert again.submit(b"3") == b"4"


def test_stop_waits_for_no_store_that_is_silent(nodes: Start, store: MemoryStore) -> None:
    """What is under way is unknown to whoever submitted it, and the node is gone within its time."""
    meddler = Meddler(store)
    service = Keeping()
    node = nodes(location=meddler)
    node.host(service)
    node.submit(b"1")
    rule = meddler.rule(on("PUT", "/journal/"), hang)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.submit, b"2")
        rule.wait()
        node.stop(timeout=0.3)
        assert isinstance(waiting.exception(LIVENESS_S), OutcomeUnknown)
    assert service.stopped == 1
    with pytest.raises(NodeStopped):
        node.submit(b"3")
    after = Keeping()
    assert hosting(nodes(resume=node.id), after) >= 1


def test_stop_waits_for_no_command_that_never_ends(nodes: Start) -> None:
    """The service is at fault, and the node is gone all the same; it is not told to stop beside its own command."""
    began, release = threading.Event(), threading.Event()

    class Slow(Adder):
        def apply(self, command: bytes) -> bytes:
            began.set()
            release.wait(LIVENESS_S)
            return super().apply(command)

    service = Slow()
    node = nodes()
    node.host(service)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.submit, b"1")
        assert began.wait(LIVENESS_S)
        with pytest.raises(OutcomeUnknown, match="not answered in time"):
            node.submit(b"2", timeout=0.05)
        node.stop(timeout=0.2)
        assert node.stopped
        assert service.stopped == 0
        release.set()
        assert waiting.result(LIVENESS_S) == b"1"


# --- holocron.host --------------------------------------------------------------------------------------------------


def test_host_starts_a_node_or_resumes_it(place: str) -> None:
    """One call for the first life and for every later one."""
    with host(Keeping(), place, node_id="stock", settings=SETTINGS) as node:
        assert node.submit(b"5", key="a") == b"5"
        assert node.incarnation == 1
    with host(Keeping(), place, node_id="stock", settings=SETTINGS) as node:
        assert node.incarnation == 2
        assert node.submit(b"5", key="a") == b"5"
    with host(Keeping(), place, settings=SETTINGS) as fresh:
        assert fresh.id != "stock"
        assert fresh.submit(b"1") == b"1"


def test_one_who_may_not_host_leaves_no_node_behind(place: str) -> None:
    """What comes of a service that raises on the way is raised, and the node is stopped."""

    class Broken(Keeping):
        def restore(self, snapshot: bytes) -> None:
            raise OSError("cannot")

    with host(Keeping(), place, node_id="stock", settings=SETTINGS) as node:
        node.submit(b"5")
    before = threading.active_count()
    with pytest.raises(OSError, match="cannot"):
        host(Broken(), place, node_id="stock", settings=SETTINGS)
    until(lambda: threading.active_count() <= before, "its threads are gone")
    with host(Keeping(), place, node_id="stock", settings=SETTINGS) as node:
        assert node.submit(b"0") == b"5"
