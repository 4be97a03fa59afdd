"""The fence, the writing of a slot and the reading of what was acknowledged, as values and on a store (I9, I10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.layout import journal_floor_key
from holocron.state.journal import Fenced, Raised, Spoilt, Void, Wrote, raise_fence, read_slots, write
from holocron.state.writer import WINDOW, Batch
from holocron.store.base import Absent, Answer, Denied, Get, List, Listed, Put, Request, Unclear
from holocron.store.chain import Trouble, Unknown
from holocron.store.memory import MemoryStore
from tests.state import made
from tests.store.scripted import Hand, deadline, done, interleave

FLOOR = journal_floor_key(made.NODE)


def raised(store: object, incarnation: int) -> object:
    """What comes of raising a fence."""
    return done(raise_fence(made.slots(store), made.author(incarnation), made.nonce, deadline()))  # type: ignore[arg-type]  # any store


# --- the fence ------------------------------------------------------------------------------------------------------


def test_the_first_fence_begins_the_journal() -> None:
    """The floor is written before the first slot, so that a journal without one was wiped."""
    order: list[str] = []

    def note(request: Request) -> Answer | None:
        if isinstance(request, Put):
            order.append(request.key)
        return None

    store = made.Scripted(MemoryStore(), note)
    assert raised(store, 1) == Raised(1, 1)
    assert order == [FLOOR, made.key(1)]
    assert made.floor_of(store) == 1


def test_the_fence_takes_the_first_free_slot_and_voids_what_is_behind_it() -> None:
    """A hole that a crash left is where the fence goes, and no entry behind it comes back (I9)."""
    store = made.filled(5)
    made.lose(store, made.key(4))
    assert raised(store, 2) == Raised(4, 1)
    assert made.recovered(store, 3) == made.entries_of(3)


@pytest.mark.parametrize("ahead", range(1, WINDOW + 2))
def test_a_slot_further_ahead_than_any_incarnation_can_be_shows_a_gap(ahead: int) -> None:
    """Nobody was ever a whole window ahead of a free slot: what was acknowledged there is gone, and nothing is voided
    over it (I9)."""
    store = made.filled(4 + ahead)
    made.lose(store, *(made.key(4 + number) for number in range(ahead)))
    if ahead < WINDOW:
        assert raised(store, 2) == Raised(4, 1)
        return
    outcome = raised(store, 2)
    assert isinstance(outcome, Spoilt)
    assert made.key(4) in outcome.error
    assert "gap" in outcome.error
    assert made.there(store, made.slots(store)) == [1, 2, 3, 4 + ahead]


def test_a_gap_that_is_filled_meanwhile_is_none() -> None:
    """Between two pages of a LIST a former self goes on; only what is still missing when it is asked for is a gap."""
    store = made.filled(12)
    hidden = True

    def first_list_is_old(request: Request) -> Answer | None:
        nonlocal hidden
        if not isinstance(request, List) or not hidden:
            return None
        hidden = False
        answer = store.perform(request, 1.0)
        assert isinstance(answer, Listed)
        return Listed(tuple(entry for entry in answer.entries if entry.key != made.key(5)))

    assert raised(made.Scripted(store, first_list_is_old), 2) == Raised(13, 1)


def test_retention_between_floor_and_list_costs_another_look_and_leaves_no_orphan() -> None:
    """The floor rises after it was read: the slots below it are gone, and none of them is taken for free (I4)."""
    store = made.filled(9)
    hand = Hand(raise_fence(made.slots(store), made.author(2), made.nonce, deadline()))
    hand.move()
    made.set_floor(store, 7)
    made.lose(store, *(made.key(number) for number in range(1, 7)))
    while not hand.ended:
        hand.move()
    assert hand.result == Raised(10, 7)
    assert made.there(store, made.slots(store)) == [7, 8, 9, 10]


def test_a_fence_whose_answer_was_lost_is_known_by_its_own_bytes() -> None:
    """It was applied and said not to be: it is found again, and stands once."""
    inner = MemoryStore()
    lost = [made.key(1)]

    def lose_one(request: Request) -> Answer | None:
        if isinstance(request, Put) and request.key in lost:
            lost.remove(request.key)
            inner.perform(request, 1.0)
            return Unclear("the answer was lost")
        return None

    assert raised(made.Scripted(inner, lose_one), 1) == Raised(1, 1)
    assert made.there(inner, made.slots(inner)) == [1]


def test_a_fence_of_this_very_process_that_landed_late_is_followed_by_another() -> None:
    """The first try was given up as unknown; the second finds it, and goes behind it."""
    inner = MemoryStore()

    def never_answered(request: Request) -> Answer | None:
        if isinstance(request, Put) and request.key == made.key(1):
            inner.perform(request, 1.0)
            return Unclear("the answer was lost")
        if isinstance(request, Get) and request.key == made.key(1):
            return Unclear("no answer")
        return None

    hand = Hand(raise_fence(made.slots(made.Scripted(inner, never_answered)), made.author(1), made.nonce, deadline()))
    for _ in range(6):
        hand.move()
    assert not hand.ended
    assert raised(inner, 1) == Raised(2, 1)
    assert made.recovered(inner, 1) == []


def test_two_tries_of_one_process_that_meet_do_not_fence_each_other_off() -> None:
    """The earlier try lands between the later one's LIST and its write: the later takes the next slot."""
    store = MemoryStore()
    later = Hand(raise_fence(made.slots(store), made.author(1), made.nonce, deadline()))
    while not (isinstance(request := getattr(later.step, "request", None), Put) and request.key == made.key(1)):
        later.move()
    assert made.fence(store) == Raised(1, 1)
    while not later.ended:
        later.move()
    assert later.result == Raised(2, 1)


def test_a_newer_fence_in_the_way_ends_an_older_incarnation() -> None:
    """It is told who took its place."""
    store = made.filled(3)
    older = Hand(raise_fence(made.slots(store), made.author(2), made.nonce, deadline()))
    while not isinstance(getattr(older.step, "request", None), Put):
        older.move()
    made.fence(store, 3)
    while not older.ended:
        older.move()
    assert isinstance(older.result, Fenced)
    assert "incarnation 3" in older.result.error


def test_an_older_fence_behind_a_newer_one_opens_nothing() -> None:
    """An incarnation that slept between its claim and its fence finds the newer one's before its own (I9)."""
    store = made.filled(3)
    made.fence(store, 3)
    outcome = done(raise_fence(made.slots(store), made.author(2), made.nonce, deadline()))
    assert isinstance(outcome, Fenced)
    assert "incarnation 3" in outcome.error
    made.checkpoint(store, 3)
    made.append(store, 5, 3, b"new", incarnation=3)
    assert made.recovered(store, 4) == [*made.entries_of(3), b"new"]


@given(st.lists(st.integers(0, 2), max_size=40))
def test_of_racing_fences_only_the_newest_may_stand_last(order: list[int]) -> None:
    """Whoever goes when: each has a slot of its own or is fenced off, the newest is never fenced off, and an older one
    that stands behind a newer one opens nothing (I9)."""
    store = made.filled(4)
    hands = [
        Hand(raise_fence(made.slots(store), made.author(incarnation), made.nonce, deadline()))
        for incarnation in (2, 3, 4)
    ]
    interleave(order, hands)
    stood = {number + 2: hand.result for number, hand in enumerate(hands) if isinstance(hand.result, Raised)}
    assert len({one.slot for one in stood.values()}) == len(stood)
    assert 4 in stood
    for incarnation, one in stood.items():
        outcome = made.recovered(store, incarnation, one)
        newer_before = any(other > incarnation and stood[other].slot < one.slot for other in stood)
        assert isinstance(outcome, Fenced) if newer_before else outcome == made.entries_of(4)


# --- a journal that is not what it was ------------------------------------------------------------------------------


def test_slots_without_a_floor_are_a_wiped_journal() -> None:
    """Nothing is written over what is left of it."""
    store = made.filled(3)
    made.lose(store, FLOOR)
    outcome = raised(store, 2)
    assert isinstance(outcome, Spoilt)
    assert FLOOR in outcome.error
    assert made.key(1) in outcome.error
    assert made.there(store, made.slots(store)) == [1, 2, 3]


def test_a_journal_that_another_begins_meanwhile_is_not_spoilt() -> None:
    """A floor that was not there when it was read is read again before slots are called leftovers (I9)."""
    store = MemoryStore()
    hand = Hand(raise_fence(made.slots(store), made.author(2), made.nonce, deadline()))
    hand.move()
    made.filled(3, store)
    while not hand.ended:
        hand.move()
    assert hand.result == Raised(4, 1)


def test_a_floor_that_cannot_be_read_is_never_overwritten() -> None:
    """It is told, with its key (I12)."""
    store = MemoryStore()
    made.overwrite(store, FLOOR, b"rubbish")
    outcome = raised(store, 1)
    assert isinstance(outcome, Spoilt)
    assert FLOOR in outcome.error


def test_two_that_begin_one_journal_agree_on_its_floor() -> None:
    """The second to write the floor finds the first one's, and goes on with that."""
    store = MemoryStore()
    hands = [Hand(raise_fence(made.slots(store), made.author(one), made.nonce, deadline())) for one in (1, 2)]
    interleave([0, 0, 1, 1, 0, 1], hands)
    assert {hand.result for hand in hands if isinstance(hand.result, Raised)} <= {Raised(1, 1), Raised(2, 1)}
    assert isinstance(hands[1].result, Raised)


@pytest.mark.parametrize("verb", [Get, Put, List])
def test_a_fence_that_is_denied_says_so(verb: type[Request]) -> None:
    """A refusal, which stays, is told from a store that is out of reach."""

    def deny(request: Request) -> Answer | None:
        return Denied("not yours") if isinstance(request, verb) else None

    assert raised(made.Scripted(made.filled(2), deny), 2) == Trouble("not yours", denied=True)


# --- writing --------------------------------------------------------------------------------------------------------


def written(store: object, slot: int, incarnation: int = 1, nonce: str = "mine") -> object:
    """What comes of writing one entry."""
    batch = Batch(slot, 1, (b"entry",))
    return done(write(made.slots(store), made.author(incarnation), batch, nonce, deadline()))  # type: ignore[arg-type]  # any store


def test_a_batch_is_written_once() -> None:
    """The same bytes under the same nonce are known again as our own."""
    store = made.filled(1)
    assert written(store, 2) == Wrote()
    assert written(store, 2) == Wrote()


def test_an_older_incarnations_slot_is_void_and_a_newer_ones_is_the_end() -> None:
    """What lies where we were to write tells who has the journal (I9)."""
    store = made.filled(3)
    assert written(store, 3, incarnation=2) == Void()
    made.fence(store, 5)
    outcome = written(store, 4, incarnation=2)
    assert isinstance(outcome, Fenced)
    assert "incarnation 5" in outcome.error


def test_our_own_slot_with_other_bytes_is_no_journal_any_more() -> None:
    """Two processes that both think to be one incarnation: nothing is acknowledged."""
    store = made.filled(2)
    outcome = written(store, 2)
    assert isinstance(outcome, Spoilt)
    assert made.key(2) in outcome.error


@pytest.mark.parametrize("body", [b"a stranger's", b"x" * (17 * 1024 * 1024)], ids=["foreign", "too large"])
def test_a_strangers_object_is_left_alone(body: bytes) -> None:
    """It is neither overwritten nor skipped (I12)."""
    store = made.filled(1)
    made.overwrite(store, made.key(2), body)
    outcome = written(store, 2)
    assert isinstance(outcome, Spoilt)
    assert made.key(2) in outcome.error


def test_an_orphan_below_the_floor_is_no_append() -> None:
    """A sleeper re-creates a slot that had been let go: it is not acknowledged (I4)."""
    store = made.filled(9)
    made.set_floor(store, 7)
    made.lose(store, made.key(5))
    outcome = written(store, 5)
    assert isinstance(outcome, Fenced)
    assert "below the floor 7" in outcome.error


def test_an_unknown_outcome_is_settled_by_the_same_nonce() -> None:
    """Written, and never answered: unknown, until the very same bytes are found there (I10)."""
    inner = made.filled(1)
    silent = True

    def silence(request: Request) -> Answer | None:
        if not silent:
            return None
        if isinstance(request, Put):
            inner.perform(request, 1.0)
        return Unclear("timed out")

    hand = Hand(
        write(
            made.slots(made.Scripted(inner, silence)), made.author(1), Batch(2, 1, (b"entry",)), "mine", deadline(0.0)
        )
    )
    while not hand.ended:
        hand.move()
    assert isinstance(hand.result, Unknown)
    silent = False
    assert written(inner, 2, nonce="mine") == Wrote()
    assert made.recovered(inner, 2) == [b"entry"]


def test_a_win_whose_floor_cannot_be_read_is_unknown() -> None:
    """Until the floor is read it is nothing at all (I4)."""

    def deny(request: Request) -> Answer | None:
        return Denied("not yours") if isinstance(request, Get) and request.key == FLOOR else None

    store = made.filled(1)
    assert isinstance(written(made.Scripted(store, deny), 2), Unknown)
    made.lose(store, FLOOR)
    assert isinstance(written(store, 2), Spoilt)


# --- reading --------------------------------------------------------------------------------------------------------


def read(store: object, first: int, last: int) -> object:
    """What comes of reading slots."""
    return done(read_slots(made.slots(store), made.author(1), first, last, deadline()))  # type: ignore[arg-type]  # any store


def test_slots_come_in_order() -> None:
    """However the reads end, the slots are handed out by number."""
    slots = read(made.filled(6), 2, 6)
    assert isinstance(slots, tuple)
    assert [slot.slot for slot in slots] == [2, 3, 4, 5, 6]


def test_a_gap_is_refused_with_its_key() -> None:
    """What is gone above the floor was acknowledged once."""
    store = made.filled(6)
    made.lose(store, made.key(4))
    outcome = read(store, 2, 6)
    assert isinstance(outcome, Spoilt)
    assert made.key(4) in outcome.error
    assert "floor is 1" in outcome.error


def test_what_retention_took_is_no_gap() -> None:
    """A floor above what is missing explains it."""
    store = made.filled(6)
    made.set_floor(store, 5)
    made.lose(store, made.key(4))
    assert read(store, 3, 6) == Absent()


@pytest.mark.parametrize("body", [b"", b"a stranger's", b"x" * (17 * 1024 * 1024)], ids=["empty", "foreign", "large"])
def test_damage_is_refused_with_its_key(body: bytes) -> None:
    """Whatever lies there, it is never skipped (I12)."""
    store = made.filled(6)
    made.overwrite(store, made.key(4), body)
    outcome = read(store, 2, 6)
    assert isinstance(outcome, Spoilt)
    assert made.key(4) in outcome.error


def test_a_flipped_bit_is_a_checksum_error() -> None:
    """It is told as what it is."""
    store = made.filled(6)
    made.damage(store, made.key(4))
    outcome = read(store, 2, 6)
    assert isinstance(outcome, Spoilt)
    assert made.key(4) in outcome.error


def test_a_store_that_denies_is_told_from_one_that_is_silent() -> None:
    """Neither is a gap."""
    store = made.filled(3)

    def deny(request: Request) -> Answer | None:
        return Denied("not yours") if isinstance(request, Get) else None

    assert read(made.Scripted(store, deny), 2, 3) == Trouble("not yours", denied=True)
    store.close()
    assert isinstance(done(read_slots(made.slots(store), made.author(1), 2, 3, deadline(0.0))), Trouble)
