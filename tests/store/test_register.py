"""Replacing one object: every outcome of the table (design section 3), and a world in which none of them may lie."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.store.base import (
    Answer,
    Conflict,
    Deleted,
    Denied,
    Found,
    Get,
    Listed,
    Oversize,
    Put,
    Request,
)
from holocron.store.memory import MemoryStore
from holocron.store.register import Held, NotDone, Replaced, Replacement, Unsettled, replace
from tests.store.scripted import (
    ABSENT,
    CLASH,
    NEVER_LEFT,
    UNCLEAR,
    WITHIN_S,
    After,
    deadline,
    play,
    wrote,
)

KEY, BODY = "nodes/a/identity.json", b"mine, with a nonce"
MINE, THEIRS = Found(BODY, '"mine"'), Found(b"another's", '"theirs"')
BIG, DENIED, SLOW = Oversize(2**40, '"big"'), Denied("not for you"), After(WITHIN_S, UNCLEAR)


def replaced(*answers: Answer | After, match: str | None = '"old"') -> Replacement:
    """What comes of a replacement that is answered so."""
    return play(replace(MemoryStore(), KEY, BODY, match, deadline()), *answers).result


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("match", [None, '"old"'])
def test_won(match: str | None) -> None:
    """200: ours stands there, under the ETag that the server says."""
    played = play(replace(MemoryStore(), KEY, BODY, match, deadline()), wrote('"new"'))
    assert (played.result, played.requests) == (Replaced('"new"'), [Put(KEY, BODY, match)])


@pytest.mark.parametrize("match", [None, '"old"'])
@pytest.mark.parametrize(
    "before", [(), (UNCLEAR,), (Conflict(),), (UNCLEAR, UNCLEAR, NEVER_LEFT)], ids=["", "unclear", "409", "storm"]
)
def test_won_told_late(match: str | None, before: tuple[Answer, ...]) -> None:
    """412, and what is there carries our nonce: won, and the ETag is that of what is there."""
    assert replaced(*before, CLASH, MINE, match=match) == Replaced('"mine"')


@pytest.mark.parametrize("match", [None, '"old"'])
@pytest.mark.parametrize("there", [THEIRS, BIG], ids=["another nonce", "too large to read"])
@pytest.mark.parametrize("before", [(), (UNCLEAR,), (Conflict(),)], ids=["", "unclear", "409"])
def test_lost(match: str | None, there: Found | Oversize, before: tuple[Answer, ...]) -> None:
    """412, and what is there is not ours: held by someone, whom the caller is shown."""
    assert replaced(*before, CLASH, there, match=match) == Held(there)


def test_what_is_gone_is_lost_to_a_replacement_and_undecided_for_a_creation() -> None:
    """Nothing can replace what is gone; who created what was there and is gone cannot be told any more (I10)."""
    assert replaced(CLASH, ABSENT) == Held(ABSENT)
    assert replaced(UNCLEAR, CLASH, ABSENT) == Held(ABSENT)
    assert isinstance(replaced(CLASH, ABSENT, match=None), Unsettled)


@pytest.mark.parametrize(
    "answers",
    [
        (SLOW,),
        (UNCLEAR, After(WITHIN_S, NEVER_LEFT)),
        (UNCLEAR, After(WITHIN_S, Conflict())),
        (UNCLEAR, DENIED),
        (After(WITHIN_S, CLASH),),
        (CLASH, SLOW),
        (CLASH, DENIED),
        (CLASH, wrote()),
        (CLASH, Listed(())),
        (Listed(()),),
        (Deleted(),),
        (ABSENT,),
        (MINE,),
    ],
)
def test_unknown(answers: tuple[Answer | After, ...]) -> None:
    """Could not be settled before the deadline, or the server says what no write can be told: neither won nor lost."""
    result = replaced(*answers)
    assert isinstance(result, Unsettled)
    assert result.error


@pytest.mark.parametrize(
    ("answer", "denied"), [(DENIED, True), (After(WITHIN_S, NEVER_LEFT), False), (After(WITHIN_S, Conflict()), False)]
)
def test_not_done(answer: Answer | After, denied: bool) -> None:
    """403, 409 to the end, or never a connection: an error, and certainly nothing was written (I10)."""
    result = replaced(answer)
    assert isinstance(result, NotDone)
    assert (result.denied, bool(result.error)) == (denied, True)


# --- any answers at all ---------------------------------------------------------------------------------------------

ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(wrote, st.sampled_from(['"e1"', '"e2"'])),
    st.builds(Found, st.sampled_from([BODY, b"another's", b""]), st.sampled_from(['"e1"', '"e2"'])),
    st.sampled_from([ABSENT, BIG, CLASH, Conflict(), UNCLEAR, NEVER_LEFT, DENIED, Listed(()), Deleted()]),
)


@given(
    answers=st.lists(st.tuples(ANSWERS, st.sampled_from([0.0, 0.5, WITHIN_S])), max_size=12),
    match=st.sampled_from([None, '"old"']),
)
def test_no_answers_lead_to_replaced_unless_ours_is_there(
    answers: list[tuple[Answer, float]], match: str | None
) -> None:
    """Replaced is said only where the last answer was a success or our own bytes, and with the ETag it came with."""
    given_: list[Answer] = []

    def next_answer(request: Request) -> After:
        answer, seconds = answers[len(given_)] if len(given_) < len(answers) else (UNCLEAR, WITHIN_S)
        given_.append(answer)
        return After(seconds, answer)

    played = play(replace(MemoryStore(), KEY, BODY, match, deadline()), instead=next_answer)
    last = given_[-1]
    proof = last.etag if isinstance(last, type(wrote())) or (isinstance(last, Found) and last.body == BODY) else None
    if isinstance(played.result, Replaced):
        assert played.result.etag == proof
    if isinstance(played.result, NotDone):
        assert not any(answer == UNCLEAR for answer in given_), "it may have been applied"
    assert all(request in (Put(KEY, BODY, match), Get(KEY)) for request in played.requests)


# --- a world that answers as it pleases, and knows the truth --------------------------------------------------------

Fate = Literal["told", "answer lost", "dropped", "late", "conflict", "denied", "never left"]


class Event(msgspec.Struct, frozen=True):
    """What happens around one request: others act first, then it meets its fate, and its answer takes a while."""

    others: tuple[Literal["another writes", "a late one lands"], ...]
    fate: Fate
    seconds: float


EVENTS = st.builds(
    Event,
    st.lists(st.sampled_from(["another writes", "a late one lands"]), max_size=2).map(tuple),
    st.sampled_from(["told", "answer lost", "dropped", "late", "conflict", "denied", "never left"]),
    st.sampled_from([0.0, 0.5, 3.0]),
)


class World:
    """One object, those who rewrite it, and requests that arrive when they please. It knows what really happened."""

    def __init__(self, there: bool, events: list[Event]) -> None:
        self.there: Found | None = Found(b"before", '"e0"') if there else None
        self.events = events
        self.writes = 0
        self.on_the_way: list[Put] = []
        self.applied = 0
        self.shown: Answer | None = None

    def answer(self, request: Request) -> After:
        event = self.events.pop(0) if self.events else Event((), "told", 0.0)
        for other in event.others:
            if other == "another writes":
                self._write(b"another's %d" % self.writes)
            elif self.on_the_way:
                self._apply(self.on_the_way.pop(0))
        return After(event.seconds, self._meet(request, event.fate))

    def settle(self) -> None:
        """Whatever is still on its way arrives."""
        while self.on_the_way:
            self._apply(self.on_the_way.pop(0))

    def _meet(self, request: Request, fate: Fate) -> Answer:
        match fate:
            case "conflict":
                return Conflict() if isinstance(request, Put) else UNCLEAR
            case "denied":
                return DENIED
            case "never left":
                return NEVER_LEFT
            case "dropped":
                return UNCLEAR
            case "late":
                self.on_the_way += [request] if isinstance(request, Put) else []
                return UNCLEAR
        if isinstance(request, Get) and fate == "told":
            self.shown = self.there or ABSENT
        answer = self._apply(request) if isinstance(request, Put) else self.there or ABSENT
        return UNCLEAR if fate == "answer lost" else answer

    def _apply(self, request: Put) -> Answer:
        if (self.there.etag if self.there else None) != request.match:
            return CLASH
        self.applied += 1
        return wrote(self._write(request.body))

    def _write(self, body: bytes) -> str:
        self.writes += 1
        self.there = Found(body, f'"e{self.writes}"')
        return self.there.etag


@given(there=st.booleans(), stale=st.booleans(), events=st.lists(EVENTS, max_size=10))
def test_no_outcome_is_a_lie(there: bool, stale: bool, events: list[Event]) -> None:
    """Lost answers, late requests, other writers: what is said to be won was written, and once; what is said to be
    not done never is, not even later (section 3, I3, I10)."""
    world = World(there, events)
    match = '"gone"' if stale else '"e0"' if there else None
    result = play(replace(MemoryStore(), KEY, BODY, match, deadline()), instead=world.answer).result
    before = world.there
    world.settle()
    assert world.applied <= 1
    match result:
        case Replaced(etag=etag):
            assert world.applied == 1
            if before is not None and before.body == BODY:
                assert before.etag == etag
        case Held(found=found):
            assert world.there is None or world.there.body != BODY
            assert found == world.shown
        case NotDone():
            assert world.applied == 0
        case Unsettled(error=error):
            assert error
