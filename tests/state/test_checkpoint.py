"""Checkpoints: written whole, verified, and only then does anything go; no crash in between loses anything."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from holocron.state.checkpoint import KEPT, newest, prune, take
from holocron.state.journal import Spoilt
from holocron.state.slots import Checkpoint
from holocron.store.base import Answer, Delete, Denied, Found, Get, List, Put, Request, Store, Unclear
from holocron.store.chain import Trouble
from holocron.store.memory import MemoryStore
from tests.state import made
from tests.store.scripted import deadline, done

LAST = 20


def pruned(store: Store, keep_age_s: float = 0.0) -> object:
    """What comes of letting go."""
    return done(prune(made.slots(store), made.checkpoints(store), made.author(), keep_age_s, made.nonce, deadline()))


def kept(store: Store, slot: int) -> object:
    """A checkpoint after `slot`, and what it makes unnecessary let go, as a node does it."""
    snapshot = msgspec.msgpack.encode(made.entries_of(slot))
    taken = done(take(made.checkpoints(store), made.author(), 1, slot, slot - 1, snapshot, made.nonce, deadline()))
    return pruned(store) if isinstance(taken, Checkpoint) else taken


def journal(*slots: int) -> MemoryStore:
    """A journal of `LAST` slots with checkpoints."""
    store = made.filled(LAST)
    for slot in slots:
        kept(store, slot)
    return store


# --- taking ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_read_back_before_it_counts() -> None:
    """What the store made of it, and not what was sent, is what there is to go back to."""
    inner = made.filled(LAST)

    def damages(request: Request) -> Answer | None:
        if isinstance(request, Put) and "/checkpoint/" in request.key:
            return inner.perform(Put(request.key, request.body[:-40] + b"?" * 40), 1.0)
        return None

    outcome = kept(made.Scripted(inner, damages), 12)
    assert isinstance(outcome, Spoilt)
    assert made.checkpoint_key(12) in outcome.error
    assert made.floor_of(inner) == 1
    assert made.recovered(inner, 2) == made.entries_of(LAST)


def test_a_checkpoint_that_is_gone_when_it_is_read_back_is_none() -> None:
    """A store that answered and kept nothing is not believed."""
    store = made.filled(3)

    def forgets(request: Request) -> Answer | None:
        if isinstance(request, Get) and "/checkpoint/" in request.key:
            made.lose(store, request.key)
        return None

    outcome = kept(made.Scripted(store, forgets), 3)
    assert isinstance(outcome, Trouble)
    assert made.checkpoint_key(3) in outcome.error


def test_a_second_checkpoint_of_one_slot_leaves_the_first() -> None:
    """Both are of entries of one batch, and a replay from the first is as good."""
    store = made.filled(1)
    made.append(store, 2, 1, b"a", b"b", b"c")
    for position in (2, 3):
        snapshot = msgspec.msgpack.encode([b"a", b"b", b"c"][:position])
        taken = done(take(made.checkpoints(store), made.author(), 1, 2, position, snapshot, made.nonce, deadline()))
        assert isinstance(taken, Checkpoint)
        assert taken.position == 2
    assert made.recovered(store, 2) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("verb", [Put, Get])
def test_a_checkpoint_that_is_denied_says_so(verb: type[Request]) -> None:
    """A refusal is told from silence."""

    def deny(request: Request) -> Answer | None:
        return Denied("not yours") if isinstance(request, verb) else None

    assert kept(made.Scripted(made.filled(3), deny), 3) == Trouble("not yours", denied=True)


# --- letting go -----------------------------------------------------------------------------------------------------


def test_two_are_kept_with_every_slot_that_the_older_one_needs() -> None:
    """The floor is the older one's slot, and what is below it goes, slots and checkpoints."""
    store = journal(6, 12)
    assert made.floor_of(store) == 6
    assert made.there(store, made.slots(store)) == list(range(6, LAST + 1))
    kept(store, 18)
    assert made.there(store, made.checkpoints(store)) == [12, 18]
    assert made.floor_of(store) == 12
    assert made.there(store, made.slots(store)) == list(range(12, LAST + 1))
    assert made.recovered(store, 2) == made.entries_of(LAST)


def test_one_checkpoint_lets_nothing_go() -> None:
    """There is nothing to fall back to yet."""
    store = journal(6)
    assert pruned(store) == 0
    assert made.floor_of(store) == 1
    assert made.there(store, made.slots(store)) == list(range(1, LAST + 1))


@pytest.mark.parametrize("spoilt", [6, 12])
def test_a_damaged_checkpoint_is_none_of_the_two(spoilt: int) -> None:
    """Only those that can be read back let anything go."""
    store = made.filled(LAST)
    made.checkpoint(store, 6)
    made.checkpoint(store, 12)
    made.damage(store, made.checkpoint_key(spoilt))
    assert pruned(store) == 0
    assert made.floor_of(store) == 1
    kept(store, 18)
    assert made.floor_of(store) == 18 - spoilt
    assert made.recovered(store, 2) == made.entries_of(LAST)


def test_the_floor_rises_before_anything_goes() -> None:
    """Whoever finds a hole finds a floor above it (I4)."""
    inner = journal(6, 12)
    seen: list[int] = []

    def look(request: Request) -> Answer | None:
        if isinstance(request, Delete):
            seen.append(made.floor_of(inner))
        return None

    kept(made.Scripted(inner, look), 18)
    assert len(seen) == 7
    assert set(seen) == {12}


def test_slots_younger_than_the_minimum_age_stay() -> None:
    """Someone may be reading them: they go later, and the floor is above them all the same."""
    now_s = [1000.0]
    store = made.filled(8, MemoryStore(clock=lambda: now_s[0]))
    now_s[0] += 100
    for slot in range(9, LAST + 1):
        made.append(store, slot, slot - 1, b"%d" % slot)
    made.checkpoint(store, 12)
    made.checkpoint(store, 18)
    assert pruned(store, keep_age_s=300.0) == 0
    assert made.floor_of(store) == 12
    assert pruned(store, keep_age_s=60.0) == 8
    assert made.there(store, made.slots(store)) == list(range(9, LAST + 1))
    now_s[0] += 100
    made.append(store, LAST + 1, LAST, b"%d" % (LAST + 1))
    assert pruned(store, keep_age_s=60.0) == 3
    assert made.recovered(store, 2) == made.entries_of(LAST + 1)


@pytest.mark.parametrize("verb", [Get, Put, List, Delete])
def test_letting_go_that_is_denied_says_so(verb: type[Request]) -> None:
    """And loses nothing."""
    store = journal(6, 12)
    made.checkpoint(store, 18)

    def deny(request: Request) -> Answer | None:
        return Denied("not yours") if isinstance(request, verb) else None

    assert pruned(made.Scripted(store, deny)) == Trouble("not yours", denied=True)
    assert made.recovered(store, 2) == made.entries_of(LAST)


# --- crashes --------------------------------------------------------------------------------------------------------


def lives() -> list[tuple[int, MemoryStore]]:
    """The store as each crash leaves it that may befall the third checkpoint: after no request, after one and so on."""
    left: list[tuple[int, MemoryStore]] = []
    for requests in range(100):
        store = journal(6, 12)
        died = True
        with contextlib.suppress(made.DiedError):
            kept(made.Mortal(store, requests), 18)
            died = False
        left.append((requests, store))
        if not died:
            return left
    raise AssertionError("a checkpoint takes more requests than that?")


LIVES = lives()


@pytest.mark.parametrize(("requests", "store"), LIVES, ids=[f"after {requests}" for requests, _ in LIVES])
def test_a_crash_between_any_two_requests_loses_nothing(requests: int, store: MemoryStore) -> None:
    """Whoever comes next finds everything, even where the newest checkpoint is damaged besides; and can go on (I9)."""
    store = made.copied(store)
    assert len(made.there(store, made.checkpoints(store))) >= KEPT
    assert made.recovered(made.copied(store), 2) == made.entries_of(LAST)
    last = made.there(store, made.checkpoints(store))[-1]
    spoilt = made.copied(store)
    made.damage(spoilt, made.checkpoint_key(last))
    assert made.recovered(spoilt, 2) == made.entries_of(LAST)
    kept(store, 19)
    assert made.there(store, made.checkpoints(store))[-1] == 19
    assert len(made.there(store, made.checkpoints(store))) == KEPT
    assert made.there(store, made.slots(store)) == list(range(made.floor_of(store), LAST + 1))
    assert made.recovered(store, 2) == made.entries_of(LAST)


def test_every_step_of_a_checkpoint_was_crashed_in() -> None:
    """The write, its verification, the two that are kept, the floor, the slots and the old checkpoint."""
    assert len(LIVES) >= 15
    assert {made.floor_of(store) for _, store in LIVES} == {6, 12}


# --- the newest -----------------------------------------------------------------------------------------------------


def found(store: Store) -> object:
    """What comes of looking for the newest."""
    return done(newest(made.checkpoints(store), made.author(), deadline()))


def test_the_newest_that_can_be_read_is_the_one_and_the_others_are_named() -> None:
    """A damaged one is told of, and the one before it serves."""
    store = journal(6, 12)
    made.damage(store, made.checkpoint_key(12))
    there = found(store)
    assert there.checkpoint.slot == 6  # type: ignore[attr-defined]  # a Newest
    assert [made.checkpoint_key(12) in line for line in there.damaged] == [True]  # type: ignore[attr-defined]  # the same


def test_one_that_goes_while_it_is_looked_for_means_that_there_are_newer_ones() -> None:
    """A former self has taken two and let go all that were listed: they are looked for anew."""
    store = journal(6)
    done_so = False

    def overtaken(request: Request) -> Answer | None:
        nonlocal done_so
        if isinstance(request, Get) and request.key == made.checkpoint_key(6) and not done_so:
            done_so = True
            kept(store, 12)
            kept(store, 18)
        return None

    assert found(made.Scripted(store, overtaken)).checkpoint.slot == 18  # type: ignore[attr-defined]  # a Newest
    assert made.there(store, made.checkpoints(store)) == [12, 18]


def test_a_checkpoint_that_cannot_be_reached_is_not_passed_over() -> None:
    """Silence is not damage: the one before it is not taken for the newest."""
    store = journal(6, 12)

    def silent(request: Request) -> Answer | None:
        return Unclear("timed out") if isinstance(request, Get) and request.key == made.checkpoint_key(12) else None

    outcome = done(newest(made.checkpoints(made.Scripted(store, silent)), made.author(), deadline(0.5)))
    assert isinstance(outcome, Trouble)


def test_a_foreign_object_of_any_size_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even read into memory (I12)."""
    store = journal(6, 12)
    monkeypatch.setattr("holocron.state.checkpoint.SNAPSHOT_LIMIT_BYTES", 1000)
    made.overwrite(store, made.checkpoint_key(19), b"x" * (1000 + 64 * 1024 + 1))
    there = found(store)
    assert there.checkpoint.slot == 12  # type: ignore[attr-defined]  # a Newest
    assert "bytes long" in there.damaged[0]  # type: ignore[attr-defined]  # the same
    assert isinstance(store.perform(Get(made.checkpoint_key(19)), 1.0), Found)
