"""The threads that put requests: what a lease hangs on does not wait behind what does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from holocron.layout import EPOCH_FLOOR, EPOCHS, numbered
from holocron.runtime.loop import Loop
from holocron.store.base import Absent, Answer, Get, List, Put, Request, Store
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
