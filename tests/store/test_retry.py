"""Asking again: which answers are asked again, how long is waited, and that the deadline bounds it all (section 3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holocron.clock import Instant
from holocron.runtime.world import run
from holocron.store.base import (
    OUT_OF_TIME,
    Absent,
    Answer,
    Ask,
    Clash,
    Conflict,
    Deadline,
    Delete,
    Deleted,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Put,
    Reply,
    Request,
    Store,
    Together,
    Unclear,
    Written,
)
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from holocron.store.retry import ask, asked
from tests.store.scripted import ATTEMPT_S, NEVER_LEFT, UNCLEAR, WITHIN_S, After, at, deadline, play

STORE = MemoryStore()
PUT, GET = Put("key", b"body"), Get("key")
DENIED = Denied("not for you")
FINAL = (Found(b"", "e"), Oversize(1, "e"), Absent(), Written("e"), Clash(), DENIED, Listed(()), Deleted())
REQUESTS = (PUT, GET, Delete("key"), List("key"))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
@pytest.mark.parametrize("answer", FINAL, ids=lambda answer: type(answer).__name__)
def test_an_answer_that_tells_is_not_asked_for_again(request_: Request, answer: Answer) -> None:
    """Only 409 and what does not tell at all is asked again; 403 and 404 are answers (section 3)."""
    played = play(ask(STORE, request_, deadline()), answer)
    assert (played.result.answer, played.requests, played.pauses) == (answer, [request_], [])


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_the_very_same_request_is_sent_again_until_an_answer_tells(request_: Request) -> None:
    """The same bytes and the same condition each time, so that our own write is known by its nonce (section 3)."""
    played = play(asked(STORE, request_, deadline()), UNCLEAR, Conflict(), NEVER_LEFT, UNCLEAR, Clash())
    assert played.result == Clash()
    assert played.requests == [request_] * 5


def test_pauses_double_up_to_a_second_and_leave_room_for_chance() -> None:
    """Ever less often, and each over the upper half of its length, so that crowds spread out."""
    pauses = play(asked(STORE, GET, deadline(60.0)), instead=lambda _: UNCLEAR).pauses
    assert [pause.high_s for pause in pauses[:8]] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert all(pause.low_s == pause.high_s / 2 for pause in pauses)


@pytest.mark.parametrize("took_s", [0.0, 0.1, 0.7, 2.0])
@pytest.mark.parametrize("within_s", [0.01, 0.1, 1.0, 8.0])
def test_asking_again_is_bounded_by_what_is_left(within_s: float, took_s: float) -> None:
    """No attempt begins after the deadline or is allowed more than is left, and no pause runs over it (section 3)."""

    def always(request: Request) -> After:
        return After(took_s, UNCLEAR)

    played = play(asked(STORE, GET, deadline(within_s)), instead=always)
    assert played.result == UNCLEAR
    assert played.ended_s <= within_s + took_s
    assert played.allowed_s[0] == min(ATTEMPT_S, within_s)
    assert all(0 < allowed_s <= ATTEMPT_S for allowed_s in played.allowed_s)
    begun_s = 0.0
    for allowed_s, pause_s in zip(played.allowed_s, [*(pause.high_s for pause in played.pauses), 0.0], strict=True):
        assert allowed_s <= within_s - begun_s + 1e-9
        begun_s += took_s + pause_s
    # It does not give up early either: one more pause would not have fitted.
    assert begun_s + 1.0 >= within_s


def test_nothing_is_sent_when_the_time_is_over() -> None:
    """A procedure of several requests that used up its time on the first sends none of the others."""
    assert play(asked(STORE, GET, deadline(0.0))).result == OUT_OF_TIME

    def two() -> Procedure[tuple[Answer, Answer]]:
        limit = deadline()
        return (yield from asked(STORE, GET, limit)), (yield from asked(STORE, PUT, limit))

    assert play(two(), After(WITHIN_S, Absent())).result == (Absent(), OUT_OF_TIME)


def test_time_is_counted_as_a_holder_counts() -> None:
    """A suspend, and a pause that only the wall clock shows, use the time up (rule 4)."""
    limit = Deadline(Instant(10, 10, 10), 8.0, 2.0)
    assert limit.left_s(Instant(13, 13, 13)) == 5.0
    assert limit.left_s(Instant(16, 13, 13)) == 2.0
    assert limit.left_s(Instant(13, 13, 17)) == 1.0
    assert limit.left_s(Instant(13, 13, -3600)) == 5.0
    assert limit.left_s(Instant(20, 11, 11)) == 0.0
    assert [limit.allows_s(Instant(now, now, now)) for now in (10, 16.5, 18, 99)] == [2.0, 1.5, 0.0, 0.0]


def test_what_went_wrong_is_told_rather_than_that_time_ran_out() -> None:
    """A pause that ended late leaves no time for another attempt; the line for a person is the real one."""
    played = play(asked(STORE, GET, deadline()), UNCLEAR, Conflict(), NEVER_LEFT, late_s=WITHIN_S / 2 - 0.04)
    assert (played.result, len(played.pauses)) == (NEVER_LEFT, 2)
    played = play(asked(STORE, GET, deadline()), NEVER_LEFT, late_s=WITHIN_S)
    assert (played.result, len(played.pauses)) == (NEVER_LEFT, 1)


@pytest.mark.parametrize("last", [NEVER_LEFT, DENIED, Conflict()], ids=["never left", "denied", "conflict"])
@pytest.mark.parametrize("between", [(), (Conflict(),), (NEVER_LEFT, Conflict())])
def test_a_write_is_unclear_once_any_attempt_was(last: Answer, between: tuple[Answer, ...]) -> None:
    """What the last attempt was told says nothing about an earlier one that may have been applied (I10)."""
    told = play(asked(STORE, PUT, deadline()), UNCLEAR, *between, After(WITHIN_S, last)).result
    assert isinstance(told, Unclear)
    assert told.sent
    # A read has no effect that could be in doubt, and a write that surely never left has none either.
    assert play(asked(STORE, GET, deadline()), UNCLEAR, *between, After(WITHIN_S, last)).result == last
    assert play(asked(STORE, PUT, deadline()), NEVER_LEFT, *between, After(WITHIN_S, last)).result == last


def test_a_reply_is_of_the_attempt_that_told() -> None:
    """A waiter counts from the end of its own read (rule 3), and a trip is one attempt and not all of them."""
    answers = (After(1.0, UNCLEAR), After(0.5, Found(b"", "e")))
    reply = play(ask(STORE, GET, deadline()), *answers).result
    assert (reply.asked, reply.now) == (at(1.02), at(1.52))


# --- who drives -----------------------------------------------------------------------------------------------------


class Slow:
    """A store and a clock in one: each request takes `takes_s` of its time."""

    uri = "slow://"

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.now_s = 0.0
        self.allowed_s: list[float] = []

    def now(self) -> Instant:
        return at(self.now_s)

    def perform(self, request: Request, timeout_s: float) -> Answer:
        self.allowed_s.append(timeout_s)
        self.now_s += self.takes_s
        return Absent()

    def close(self) -> None: ...


class SlowWorld:
    """The world of an engine whose one store is slow; what is to be called is called by `work`, in order."""

    def __init__(self, slow: Slow) -> None:
        self.slow = slow
        self.calls: list[Callable[[], None]] = []

    def now(self) -> Instant:
        return self.slow.now()

    def nonce(self) -> str:
        return "n"

    def uniform(self, low: float, high: float) -> float:
        return high

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        self.calls.append(lambda: done(store.perform(request, timeout_s)))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def work(self) -> None:
        while self.calls:
            self.calls.pop(0)()


def reads(slow: Slow) -> Procedure[list[Answer | None]]:
    """Four reads by one deadline, the last of them side by side with nothing."""
    limit = deadline()

    def one() -> Procedure[object]:
        reply: Reply = yield Ask(slow, GET, limit)
        return reply.answer

    answers: list[Answer | None] = []
    for _ in range(3):
        answers.append((yield Ask(slow, GET, limit)).answer)
    together = yield Together((one(),))
    return [*answers, together.results[0]]  # type: ignore[list-item]  # `one` gives an answer


def test_both_drivers_keep_the_deadline() -> None:
    """In a plain loop as in an engine's world: what is left is allowed, and then nothing is sent (section 3)."""
    plain, inside = Slow(3.5), Slow(3.5)
    assert drive(reads(plain), plain, lambda pause_s: None) == [Absent(), Absent(), Absent(), OUT_OF_TIME]
    world, results = SlowWorld(inside), list[object]()
    run(world, reads(inside), results.append)
    world.work()
    assert results == [[Absent(), Absent(), Absent(), OUT_OF_TIME]]
    assert plain.allowed_s == inside.allowed_s == [ATTEMPT_S, ATTEMPT_S, 1.0]


def test_out_of_time_is_told_later_and_not_at_once() -> None:
    """Whoever starts a procedure is never called back before it has returned, or an engine would feed itself."""
    world, results = SlowWorld(Slow(1.0)), list[object]()
    run(world, asked(world.slow, GET, deadline(0.0)), results.append)
    assert results == []
    world.work()
    assert results == [OUT_OF_TIME]
