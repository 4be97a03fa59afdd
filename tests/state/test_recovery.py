"""Standing where the last acknowledged command left the node, or refusing with the position and the key (I9)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal

import pytest

from holocron.state.journal import Fenced, Raised, Spoilt
from holocron.state.recovery import SIDE_BY_SIDE
from holocron.store.base import Answer, Get, List, Request, Unclear
from holocron.store.chain import Trouble
from holocron.store.memory import MemoryStore
from tests.state import made
from tests.state.test_checkpoint import LAST, journal, kept


def refused(store: MemoryStore, incarnation: int = 2) -> str:
    """Why nothing is handed out."""
    outcome = made.recovered(store, incarnation)
    assert isinstance(outcome, Spoilt), outcome
    return outcome.error


def test_an_empty_journal_is_open_at_once() -> None:
    """There is nothing, and that is no error."""
    assert made.recovered(MemoryStore(), 1) == []


def test_everything_acknowledged_comes_back_in_order_and_once() -> None:
    """With a checkpoint or without, over many reads side by side."""
    last = 3 * SIDE_BY_SIDE + 2
    store = made.filled(last)
    assert made.recovered(store, 2) == made.entries_of(last)
    made.checkpoint(store, SIDE_BY_SIDE)
    assert made.recovered(store, 3) == made.entries_of(last)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before() -> None:
    """Two are kept, with the slots that the older one needs."""
    store = journal(6, 12, 18)
    made.damage(store, made.checkpoint_key(18))
    assert made.recovered(store, 2) == made.entries_of(LAST)


def test_a_checkpoint_inside_a_batch_is_gone_on_from_there() -> None:
    """The entries of its own slot that it covers are not handed out again."""
    store = made.filled(2)
    made.append(store, 3, 2, b"3", b"4", b"5")
    made.checkpoint(store, 3)
    assert made.recovered(store, 2) == [b"2", b"3", b"4", b"5"]


def test_what_lies_behind_a_fence_is_void_and_what_follows_it_counts() -> None:
    """A crash left a hole, the next one's fence fills it, and its own entries go round what is void (I9)."""
    store = made.filled(6)
    made.lose(store, made.key(4))
    raised = made.fence(store, 2)
    assert raised == Raised(4, 1)
    made.append(store, 7, 3, b"new", incarnation=2)
    assert made.recovered(store, 3) == [*made.entries_of(3), b"new"]


def test_a_crash_between_any_two_requests_of_a_recovery_loses_nothing() -> None:
    """Fences pile up; what was acknowledged stays."""
    for requests in range(200):
        store = journal(6, 12)
        died = True
        with contextlib.suppress(made.DiedError):
            assert made.recovered(made.Mortal(store, requests), 2) == made.entries_of(LAST)
            died = False
        assert made.recovered(store, 3) == made.entries_of(LAST)
        if not died:
            assert requests > 8
            return
    raise AssertionError("a recovery takes more requests than that?")


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_gap_is_refused_with_its_key() -> None:
    """A slot above the floor is gone: nothing behind it is handed out as if it followed."""
    store = made.filled(LAST)
    raised = made.fence(store, 2)
    made.lose(store, made.key(9))
    outcome = made.recovered(store, 2, raised)
    assert isinstance(outcome, Spoilt)
    assert made.key(9) in outcome.error


@pytest.mark.parametrize("behind", [1, 2, 3])
def test_a_gap_before_a_fence_is_refused_and_not_filled(behind: int) -> None:
    """A fence stands in the first free slot, so what is missing before it was there: not the next one's place (I9)."""
    store = made.filled(LAST)
    for incarnation in range(2, behind + 2):
        made.fence(store, incarnation)
    made.lose(store, made.key(LAST))
    before = made.there(store, made.slots(store))
    error = refused(store, behind + 2)
    assert made.key(LAST) in error
    assert "the journal has a gap" in error
    assert made.there(store, made.slots(store)) == before


def test_a_missing_position_is_refused_with_position_and_key() -> None:
    """The slots are all there, and between two of them entries are missing."""
    store = made.filled(3)
    made.append(store, 4, 5, b"5")
    error = refused(store)
    assert made.key(4) in error
    assert "position 5" in error
    assert "3 is missing" in error


def test_a_checksum_error_is_refused_with_its_key() -> None:
    """One flipped bit anywhere, and nothing is handed out as if it were whole."""
    store = made.filled(LAST)
    made.damage(store, made.key(9))
    assert made.key(9) in refused(store)


def test_entries_without_a_fence_before_them_are_refused() -> None:
    """No incarnation writes before it has fenced off the others."""
    store = made.filled(3)
    made.append(store, 4, 3, b"4", incarnation=2)
    error = refused(store, 3)
    assert made.key(4) in error
    assert "no fence" in error


def test_slots_that_no_checkpoint_covers_are_refused() -> None:
    """They were let go, and what let them go is gone or damaged: told, with what was found."""
    store = journal(6, 12)
    made.lose(store, made.checkpoint_key(6))
    made.damage(store, made.checkpoint_key(12))
    error = refused(store)
    assert made.key(5) in error
    assert made.checkpoint_key(12) in error
    made.lose(store, made.checkpoint_key(12))
    assert "there is none" in refused(store, 3)


def test_a_checkpoint_below_the_floor_is_no_way_back() -> None:
    """An old one was left behind by a crash, and the two that let its slots go are damaged: refused, and not tried
    for ever."""
    store = journal(6, 12, 18)
    made.checkpoint(store, 3)
    for slot in (12, 18):
        made.damage(store, made.checkpoint_key(slot))
    error = refused(store)
    assert made.key(3) in error
    assert made.checkpoint_key(18) in error


@pytest.mark.parametrize("floor_too", [False, True])
def test_a_journal_that_was_emptied_under_its_checkpoints_is_refused(floor_too: bool) -> None:
    """The checkpoint is of a slot that nobody has come to: what was acknowledged behind it is gone."""
    store = journal(6, 12)
    made.lose(store, *(made.key(number) for number in range(6, LAST + 1)))
    if floor_too:
        made.lose(store, "nodes/n1/journal.floor.json")
    error = refused(store)
    assert made.key(12) in error
    assert "gone" in error


def test_a_newer_incarnations_checkpoint_ends_an_older_one() -> None:
    """All of its own slots are let go already, its fence among them, and still it has the journal (I9)."""
    store = made.filled(3)
    made.fence(store, 3)
    made.append(store, 5, 3, b"4", incarnation=3)
    made.checkpoint(store, 4, incarnation=3)
    outcome = made.recovered(store, 2)
    assert isinstance(outcome, Fenced)
    assert "incarnation 3" in outcome.error


# --- retention underneath -------------------------------------------------------------------------------------------


def overtaken(store: MemoryStore, at: str, late: Callable[[], object] = lambda: None) -> made.Scripted:
    """`store`, where a former self takes two checkpoints more just before `at` is read for the first time.

    Args:
        late: what happens right after that.
    """
    left = [at]

    def instead(request: Request) -> Answer | None:
        if isinstance(request, Get) and request.key in left:
            left.clear()
            kept(store, 14)
            kept(store, 18)
            late()
        return None

    return made.Scripted(store, instead)


@pytest.mark.parametrize("checkpoints", [(), (6, 12)])
def test_trimmed_underneath_it_begins_again_from_the_newer_checkpoint(checkpoints: tuple[int, ...]) -> None:
    """A former self that does not know yet may let go what is being read: nothing is missed and nothing is twice."""
    store = journal(*checkpoints)
    raised = made.fence(store, 2)
    reader = overtaken(store, made.key(13 if checkpoints else 3))
    assert made.recovered(reader, 2, raised) == made.entries_of(LAST)
    assert made.floor_of(store) == 14


@pytest.mark.parametrize("incarnation", [1, 2])
@pytest.mark.parametrize("kind", ["fence", "entries"])
def test_what_a_late_write_puts_into_a_trimmed_slot_is_not_replayed(
    kind: Literal["fence", "entries"], incarnation: int
) -> None:
    """A write that was long given up lands where retention has just been: it voids nothing and adds nothing (I9).

    The explorer found it: an incarnation's own late fence, read in such a slot, hid all that was acknowledged behind.
    """
    store = journal(6, 12)
    raised = made.fence(store, 2)
    reader = overtaken(store, made.key(13), lambda: made.orphan(store, 13, kind, incarnation))
    assert made.recovered(reader, 2, raised) == made.entries_of(LAST)
    assert made.floor_of(store) == 14


def test_a_floor_that_goes_meanwhile_is_a_wiped_journal() -> None:
    """What is gone is not explained by it any more."""
    store = journal(6, 12)
    raised = made.fence(store, 2)

    def wiped(request: Request) -> Answer | None:
        if isinstance(request, Get) and request.key == made.key(13):
            made.lose(store, made.key(13), "nodes/n1/journal.floor.json")
        return None

    outcome = made.recovered(made.Scripted(store, wiped), 2, raised)
    assert isinstance(outcome, Spoilt)
    assert "journal.floor.json" in outcome.error


@pytest.mark.parametrize("verb", [Get, List])
def test_a_store_out_of_reach_is_trouble_and_no_damage(verb: type[Request]) -> None:
    """Whoever comes back tries again."""
    store = made.filled(LAST)
    raised = made.fence(store, 2)

    def silent(request: Request) -> Answer | None:
        return Unclear("timed out", sent=False) if isinstance(request, verb) else None

    assert isinstance(made.recovered(made.Scripted(store, silent), 2, raised, within_s=0.5), Trouble)
    assert made.recovered(store, 2, raised) == made.entries_of(LAST)
