"""Procedures of the store driven by hand: answers in, steps out, with time as the test has it and no store at all.

And the same procedures on a real store in memory, one request at a time, so that a test decides who goes when and
after which request somebody dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from holocron.clock import Instant
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.records import Floor, encode
from holocron.store.base import (
    OUT_OF_TIME,
    Absent,
    Answer,
    Ask,
    Clash,
    Deadline,
    Found,
    Get,
    List,
    Listed,
    Pause,
    Procedure,
    Put,
    Reply,
    Request,
    Step,
    Store,
    Together,
    Unclear,
    Written,
)
from holocron.store.chain import Chain, Head
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore

T = TypeVar("T")

CLUSTER = "c"
WITHIN_S, ATTEMPT_S = 8.0, 2.0


def at(seconds: float) -> Instant:
    """The instant `seconds` into the test."""
    return Instant(100.0 + seconds, 100.0 + seconds, 2.0**30 + seconds)


def deadline(within_s: float = WITHIN_S) -> Deadline:
    """A deadline that began with the test."""
    return Deadline(at(0), within_s, ATTEMPT_S)


class After(msgspec.Struct, frozen=True):
    """An answer that comes `seconds` after its request was sent."""

    seconds: float
    answer: Answer


class Played(msgspec.Struct, Generic[T]):
    """What came of a procedure: its result, the requests it made, the pauses it took, and when it ended."""

    result: T
    requests: list[Request]
    allowed_s: list[float]
    pauses: list[Pause]
    ended_s: float


def play(
    procedure: Procedure[T],
    *answers: Answer | After,
    instead: Callable[[Request], Answer | After] | None = None,
    late_s: float = 0.0,
) -> Played[T]:
    """Drive `procedure`, answering its requests with `answers` in turn, each to be used; then as `instead` says.

    As every driver does, it sends nothing where the deadline of a request is over. Answers take no time unless they
    say so; a pause takes as long as it may, and `late_s` more.
    """
    waiting = list(answers)
    requests: list[Request] = []
    allowed_s: list[float] = []
    pauses: list[Pause] = []
    now_s = 0.0
    try:
        step = next(procedure)
        while True:
            asked = at(now_s)
            answer: Answer | None = None
            if isinstance(step, Pause):
                pauses.append(step)
                now_s += step.high_s + late_s
            else:
                assert isinstance(step, Ask), f"no procedure of a chain takes the step {step}"
                allowed = step.deadline.allows_s(asked)
                if allowed <= 0:
                    answer = OUT_OF_TIME
                else:
                    requests.append(step.request)
                    allowed_s.append(allowed)
                    assert waiting or instead, f"one request more than answers: {step.request}"
                    told = waiting.pop(0) if waiting or instead is None else instead(step.request)
                    now_s += told.seconds if isinstance(told, After) else 0.0
                    answer = told.answer if isinstance(told, After) else told
            step = procedure.send(Reply(answer, asked, at(now_s)))
    except StopIteration as stop:
        assert not waiting, f"answers that nobody asked for: {waiting}"
        return Played(stop.value, requests, allowed_s, pauses, now_s)


# --- what a chain is told -------------------------------------------------------------------------------------------


def chain(store: Store | None = None, floor_key: str | None = EPOCH_FLOOR) -> Chain:
    """The chain of epochs in `store`, or in no store at all."""
    return Chain(store if store is not None else MemoryStore(), EPOCHS, floor_key, CLUSTER)


def floor_body(floor: int, cluster: str = CLUSTER, nonce: str = "n") -> bytes:
    """The record of a floor."""
    return encode(Floor(cluster=cluster, nonce=nonce, floor=floor))


def floor_found(floor: int) -> Found:
    """The answer to a read of the floor."""
    return Found(floor_body(floor), f'"floor-{floor}"')


def wrote(etag: str = '"e"') -> Written:
    """The answer to a write that was applied."""
    return Written(etag)


CLASH, ABSENT = Clash(), Absent()
UNCLEAR, NEVER_LEFT = Unclear("it broke"), Unclear("nobody listens", sent=False)


# --- a real store, one request at a time ----------------------------------------------------------------------------


class Pages:
    """A store in memory that lists no more than `most` keys at a time, as if each page were full."""

    def __init__(self, inner: Store, most: int) -> None:
        self.inner = inner
        self.most = most

    @property
    def uri(self) -> str:
        return self.inner.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, List):
            request = List(request.prefix, request.after, min(request.limit, self.most))
        return self.inner.perform(request, timeout_s)

    def close(self) -> None:
        self.inner.close()


def founded(head: int, floor: int = 1) -> MemoryStore:
    """A store with the epochs `floor` to `head`, each with a body of its own, and their floor."""
    store = MemoryStore()
    put(store, EPOCH_FLOOR, floor_body(floor))
    for number in range(floor, head + 1):
        put(store, chain(store).key(number), b"epoch %d" % number)
    return store


def put(store: Store, key: str, body: bytes) -> None:
    """Create `key`."""
    assert isinstance(store.perform(Put(key, body), 1.0), Written)


def span(head: object) -> tuple[int, int]:
    """The newest number of `head`, and the one that its unbroken run was counted from."""
    assert isinstance(head, Head), head
    return head.number, head.start


def numbers(store: Store) -> list[int]:
    """The epochs that are there, in order."""
    listed = store.perform(List(EPOCHS), 1.0)
    assert isinstance(listed, Listed)
    return [number for entry in listed.entries if (number := chain(store).number(entry.key)) is not None]


def floor_in(store: Store) -> int:
    """The floor that stands in `store`."""
    answer = store.perform(Get(EPOCH_FLOOR), 1.0)
    assert isinstance(answer, Found)
    return msgspec.json.decode(answer.body, type=Floor).floor


class Still:
    """A clock that stands still at the beginning of the test."""

    def now(self) -> Instant:
        return at(0)


def done(procedure: Procedure[T]) -> T:
    """What `procedure` comes to on the store it was made for, when nothing takes any time."""
    return drive(procedure, Still(), lambda pause_s: None)


class Hand(Generic[T]):
    """A procedure that is moved by hand, one request at a time."""

    def __init__(self, procedure: Procedure[T]) -> None:
        self.procedure = procedure
        self.results: list[T] = []
        self._advance(lambda: next(procedure))

    @property
    def ended(self) -> bool:
        return bool(self.results)

    @property
    def result(self) -> T:
        """What it returned."""
        return self.results[0]

    def move(self) -> None:
        """Carry out the one request it waits for; a pause is over at once."""
        while isinstance(self.step, Pause) and not self.ended:
            self._advance(lambda: self.procedure.send(Reply(None, at(0), at(0))))
        if not self.ended:
            assert isinstance(self.step, Ask)
            answer = self.step.store.perform(self.step.request, 1.0)
            self._advance(lambda: self.procedure.send(Reply(answer, at(0), at(0))))

    def _advance(self, on: Callable[[], Step]) -> None:
        try:
            self.step = on()
            while isinstance(self.step, Together):
                # What goes side by side is carried out at once, so that it is a request that is waited for.
                results = tuple(done(each) for each in self.step.procedures)
                self.step = self.procedure.send(Reply(None, at(0), at(0), results))
        except StopIteration as stop:
            self.results.append(stop.value)


def interleave(order: Iterable[int], hands: Sequence[Hand[Any]], between: Callable[[], None] = lambda: None) -> None:
    """Move `hands` in the `order` given by their indexes, then each to its end; `between` is called after each move."""
    for index in order:
        hands[index].move()
        between()
    for hand in hands:
        while not hand.ended:
            hand.move()
            between()
