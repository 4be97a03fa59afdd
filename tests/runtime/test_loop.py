"""The threads that put requests: what a lease hangs on does not wait behind what does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from holocron.layout import EPOCH_FLOOR, EPOCHS, numbered
from holocron.runtime.counting import CountingStore
from holocron.runtime.loop import Loop
from holocron.store.base import Absent, Answer, Found, Get, List, Put, Request, Store
from holocron.store.memory import MemoryStore
from tests.runtime.stores import Meddler
from tests.runtime.waiting import LIVENESS_S, until

THREADS = 2


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop with few threads."""
    loop = Loop(io_threads=THREADS)
    yield loop
    loop.close()


class Slow:
    """A store that answers a request whose key has "poll" in it only when it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.store = Meddler(MemoryStore())
        self.store.rule(lambda request: isinstance(request, Get) and "poll" in request.key, self._hang)
        self.answered: list[Request] = []

    def _hang(self, inner: Store, request: Request, timeout_s: float) -> Answer:
        assert self.go.wait(LIVENESS_S)
        return Absent()

    def ask(self, loop: Loop, *requests: Request) -> None:
        for request in requests:
            loop.perform(self.store, request, LIVENESS_S, lambda _, request=request: self.answered.append(request))  # type: ignore[misc]  # bound now


@pytest.mark.parametrize(
    "urgent", [Put(numbered(EPOCHS, 7), b"x"), List(EPOCHS), Get(EPOCH_FLOOR)], ids=["create", "look", "floor"]
)
def test_what_a_lease_hangs_on_goes_before_the_polls_of_others(loop: Loop, urgent: Request) -> None:
    """However many nodes of the process wait for a slow store, a leader among them renews (rule 5)."""
    slow = Slow()
    polls = [Get(f"poll-{number}") for number in range(20 * THREADS)]
    slow.ask(loop, *polls)
    slow.ask(loop, urgent, urgent)
    until(lambda: slow.answered == [urgent, urgent], "it was answered while every poll waits")
    slow.go.set()
    until(lambda: len(slow.answered) == len(polls) + 2, "and then the polls were")


def test_those_that_may_go_first_take_their_turn_where_there_are_many(loop: Loop) -> None:
    """A process full of leaders uses all of its threads: whatever finds none of the few free waits with the others."""
    slow = Slow()
    creations = [Put(numbered(EPOCHS, number), b"x") for number in range(1, 200)]
    slow.ask(loop, *creations)
    until(lambda: len(slow.answered) == len(creations), "all were answered")
    assert {request.key for request in slow.answered if isinstance(request, Put)} == {one.key for one in creations}


class Held:
    """A store whose reads wait until they are let go, each with what it found when it was sent."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.sent = 0
        self.place = MemoryStore()
        self.store = Meddler(self.place)
        self.store.rule(lambda request: isinstance(request, Get), self._hold)
        self.answers: list[Answer] = []

    def _hold(self, inner: Store, request: Request, timeout_s: float) -> Answer:
        self.sent += 1
        answer = inner.perform(request, timeout_s)
        assert self.go.wait(LIVENESS_S)
        return answer

    def ask(self, loop: Loop, count: int, key: str = "key") -> None:
        for _ in range(count):
            # As nodes do, each of which counts its own.
            loop.perform(CountingStore(self.store), Get(key), LIVENESS_S, self.answers.append)


@pytest.fixture
def wide() -> Iterator[Loop]:
    """A loop with more threads than one object is read by."""
    loop = Loop(io_threads=32)
    yield loop
    loop.close()


def test_a_crowd_that_asks_for_one_object_shares_few_reads(wide: Loop) -> None:
    """A thousand nodes of a process that poll for one epoch cost a few requests, and each is answered (I14)."""
    held = Held()
    held.place.perform(Put("key", b"x"), LIVENESS_S)
    held.ask(wide, 1000)
    held.go.set()
    until(lambda: len(held.answers) == 1000, "everyone was answered")
    assert held.sent <= 10
    assert all(isinstance(answer, Found) and answer.body == b"x" for answer in held.answers)
    held.ask(wide, 1)
    until(lambda: len(held.answers) == 1001, "and so is who comes later")


def test_what_is_shared_was_read_after_everyone_had_asked(wide: Loop) -> None:
    """Whoever waits for the next read is not given one that began before it asked (rules 3, 7)."""
    held = Held()
    held.ask(wide, 2)
    until(lambda: held.sent == 2, "as many reads as there may be are under way")
    held.place.perform(Put("key", b"news"), LIVENESS_S)
    held.ask(wide, 8)
    held.go.set()
    until(lambda: len(held.answers) == 10, "everyone was answered")
    assert [type(answer) for answer in held.answers].count(Absent) == 2
    assert sum(isinstance(answer, Found) and answer.body == b"news" for answer in held.answers) == 8


def test_reads_of_other_objects_and_stores_are_their_own(wide: Loop) -> None:
    """Nothing is shared but one key of one store: clusters of one process do not wait for each other."""
    one, other = Held(), Held()
    one.ask(wide, 5)
    until(lambda: one.sent == 2, "one object is read as often at once as may be")
    one.ask(wide, 1, "another")
    other.ask(wide, 1)
    until(lambda: (one.sent, other.sent) == (3, 1), "the others are read beside it")
    one.go.set()
    other.go.set()
    until(lambda: (len(one.answers), len(other.answers)) == (6, 1), "and all are answered")
