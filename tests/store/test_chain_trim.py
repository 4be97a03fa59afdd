"""Trimming a chain: the floor first, then the deletes, never the head, whoever races and wherever it ends (I4)."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from holocron.layout import EPOCH_FLOOR
from holocron.store.base import (
    Answer,
    Clash,
    Conflict,
    Delete,
    Deleted,
    Denied,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Put,
    Request,
    Store,
)
from holocron.store.chain import Created, Dishonest, FloorRead, Head, Lost, Orphan, Outcome, Trouble, Unknown
from tests.store.scripted import (
    ABSENT,
    CLASH,
    NEVER_LEFT,
    UNCLEAR,
    WITHIN_S,
    After,
    Hand,
    Pages,
    chain,
    deadline,
    done,
    floor_body,
    floor_found,
    floor_in,
    founded,
    interleave,
    numbers,
    play,
    put,
    span,
    wrote,
)

DENIED = Denied("the key is not allowed to do this")
READ_FLOOR = Get(EPOCH_FLOOR)


def listed(*numbered: int) -> Listed:
    """A LIST of these epochs."""
    return Listed(tuple(Entry(chain().key(number), "e", 1) for number in numbered))


def raised(below: int, from_: int) -> Put:
    """The write that raises the floor, if it is still at `from_`."""
    return Put(EPOCH_FLOOR, floor_body(below), f'"floor-{from_}"')


# --- raising the floor ----------------------------------------------------------------------------------------------


def test_a_floor_is_raised_by_what_was_read() -> None:
    """Compare-and-swap on the floor that was seen (I4)."""
    played = play(chain().raise_floor(4, "n", deadline()), floor_found(2), wrote('"new"'))
    assert played.result == FloorRead(4, '"new"')
    assert played.requests == [READ_FLOOR, raised(4, 2)]


@pytest.mark.parametrize("stands", [4, 5, 9])
def test_a_floor_that_is_high_enough_is_left_alone(stands: int) -> None:
    """The floor only ever rises (I4)."""
    played = play(chain().raise_floor(4, "n", deadline()), floor_found(stands))
    assert played.result == FloorRead(stands, f'"floor-{stands}"')
    assert played.requests == [READ_FLOOR]


def test_a_floor_that_another_raised_meanwhile_is_read_again() -> None:
    """Racing raisers: whoever lost looks again, and adds to what is there or leaves it (I4)."""
    lost = (floor_found(2), CLASH, floor_found(3))
    higher = play(chain().raise_floor(4, "n", deadline()), *lost, floor_found(3), wrote('"new"'))
    assert higher.result == FloorRead(4, '"new"')
    assert higher.requests == [READ_FLOOR, raised(4, 2), READ_FLOOR, READ_FLOOR, raised(4, 3)]
    beaten = play(chain().raise_floor(4, "n", deadline()), *lost, floor_found(6))
    assert beaten.result == FloorRead(6, '"floor-6"')


@pytest.mark.parametrize(
    ("answers", "denied"),
    [
        ((floor_found(2), DENIED), True),
        ((floor_found(2), UNCLEAR, DENIED), False),
        ((floor_found(2), After(WITHIN_S, UNCLEAR)), False),
        ((floor_found(2), After(WITHIN_S, NEVER_LEFT)), False),
        ((floor_found(2), After(WITHIN_S, Conflict())), False),
        ((floor_found(2), CLASH, DENIED), False),
        ((DENIED,), True),
        ((After(WITHIN_S, UNCLEAR),), False),
    ],
)
def test_a_floor_that_may_not_have_risen_deletes_nothing(answers: tuple[Answer | After, ...], denied: bool) -> None:
    """The floor rises first; while that is not certain, no object goes (I4)."""
    played = play(chain().trim(4, "n", deadline()), *answers)
    assert isinstance(played.result, Trouble)
    assert played.result.denied is denied
    assert not any(isinstance(request, Delete) for request in played.requests)


def test_racing_raisers_without_end_are_not_waited_for_without_end() -> None:
    """Whoever always comes second gives up with the deadline."""

    def beaten(request: Request) -> After:
        return After(0.1, Clash() if isinstance(request, Put) else floor_found(2))

    assert isinstance(play(chain().raise_floor(4, "n", deadline()), instead=beaten).result, Trouble)


@pytest.mark.parametrize("order", list(product((0, 1), repeat=6)))
def test_the_floor_rises_in_every_order_of_two_raisers(order: tuple[int, ...]) -> None:
    """In each interleaving both are told of a floor at least as high as theirs, and it never falls (I4)."""
    store = founded(9, floor=2)
    seen = [floor_in(store)]
    hands = [Hand(chain(store).raise_floor(below, f"n{below}", deadline())) for below in (4, 7)]
    interleave(order, hands, lambda: seen.append(floor_in(store)))
    assert seen == sorted(seen)
    assert seen[-1] == 7
    for hand, below in zip(hands, (4, 7), strict=True):
        assert isinstance(hand.result, FloorRead)
        assert hand.result.floor >= below


# --- trimming -------------------------------------------------------------------------------------------------------


def test_the_floor_rises_first_then_objects_go_and_those_above_stay() -> None:
    """Whoever finds a hole finds a floor above it, and the head is never deleted (I4)."""
    answers = (floor_found(2), wrote(), listed(2, 3, 4, 5), Deleted(), UNCLEAR, Deleted())
    played = play(chain().trim(4, "n", deadline()), *answers)
    assert played.result == 2
    assert played.requests == [
        READ_FLOOR,
        raised(4, 2),
        List("epochs/", chain().key(0)),
        Delete(chain().key(2)),
        Delete(chain().key(3)),
        Delete(chain().key(3)),
    ]


def test_what_another_trims_further_goes_too() -> None:
    """A floor that somebody raised above ours answers for all that lies below it."""
    played = play(chain().trim(3, "n", deadline()), floor_found(4), listed(2, 3, 4), Deleted(), Deleted())
    assert played.result == 2


@pytest.mark.parametrize(
    ("answer", "denied"), [(DENIED, True), (After(WITHIN_S, UNCLEAR), False), (After(WITHIN_S, Conflict()), False)]
)
def test_a_delete_that_does_not_come_through_ends_the_trim(answer: Answer | After, denied: bool) -> None:
    """What stays below the floor goes with the next trim; in order, so that what stays has no hole."""
    played = play(chain().trim(4, "n", deadline()), floor_found(4), listed(2, 3, 4), answer)
    assert isinstance(played.result, Trouble)
    assert played.result.denied is denied
    assert Delete(chain().key(3)) not in played.requests


@pytest.mark.parametrize("head", [1, 2, 5])
def test_a_trim_up_to_the_head_leaves_the_head(head: int) -> None:
    """The chain never looks empty again (I4), nor to whoever knows nothing of it (I7)."""
    store = founded(head)
    assert done(chain(store).trim(head, "n", deadline())) == head - 1
    assert numbers(store) == [head]
    assert span(done(chain(store).head(None, deadline()))) == (head, head)
    assert done(chain(store).create(head + 1, b"next", deadline())) == Created(head + 1, head)


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_a_crash_between_any_two_requests_of_a_trim_loses_nothing(most: int) -> None:
    """Wherever a trimmer dies: the floor only rose, what is gone is below it, the head is found, the next one ends
    the work (I4, I5, rule 12)."""
    crashes = 0
    while True:
        store = founded(6)
        hand = Hand(chain(Pages(store, most)).trim(5, "n", deadline()))
        for _ in range(crashes):
            hand.move()
        if hand.ended:
            break
        hand.procedure.close()
        floor, left = floor_in(store), numbers(store)
        assert floor in (1, 5)
        assert set(range(floor, 7)) <= set(left), "only what lies below the floor may be gone"
        assert all(after == before + 1 for before, after in pairwise(left)), "what is left has no hole"
        for known in (None, 1, 5, 6):
            head = done(chain(store).head(known, deadline()))
            assert isinstance(head, Head)
            assert head.number == 6
        sleeper = done(chain(store).create(2, b"by a sleeper", deadline()))
        assert isinstance(sleeper, Lost) if 2 in left else sleeper == Orphan(2, 5)
        assert isinstance(done(chain(store).trim(5, "n2", deadline())), int)
        assert (floor_in(store), numbers(store)) == (5, [5, 6])
        crashes += 1
    assert hand.result == 4
    assert crashes >= 7, "a trim of four epochs takes at least seven requests"


# --- in every order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [2, 4, 7])
def test_a_sleeper_never_wins_a_trimmed_slot_in_any_order(slot: int) -> None:
    """In each interleaving of a trim with a create, a win is told only for the free number at the end (I3, I4)."""
    outcomes: set[type[Outcome]] = set()
    for order in product((0, 1), repeat=9):
        store = founded(6)
        sleeper = Hand(chain(store).create(slot, b"a sleeper's", deadline()))
        trimmer = Hand(chain(store).trim(5, "n", deadline()))
        interleave(order, (sleeper, trimmer))
        outcomes.add(type(sleeper.result))
        assert isinstance(sleeper.result, Created) is (slot == 7)
        assert set(range(5, 7)) <= set(numbers(store))
    # A slot below the floor: taken when it was tried, taken and then gone, or re-created below the floor.
    assert outcomes == ({Created} if slot == 7 else {Lost, Unknown, Orphan})


@pytest.mark.parametrize("known", [None, 1, 5, 6])
@pytest.mark.parametrize("most", [2, 1000])
def test_the_head_is_found_in_every_order_of_a_trim_and_a_renewal(known: int | None, most: int) -> None:
    """A reader that meets retention and a renewal at work finds a head that was one while it looked (I7, rule 7)."""
    for order in product((0, 1, 2), repeat=6):
        store = founded(6)
        paged: Store = Pages(store, most)
        reader = Hand(chain(paged).head(known, deadline()))
        trimmer = Hand(chain(paged).trim(5, "n", deadline()))
        leader = Hand(chain(paged).create(7, b"epoch 7", deadline()))
        interleave(order, (reader, trimmer, leader))
        assert isinstance(reader.result, Head)
        assert reader.result.number in (6, 7)


def test_a_floor_that_is_an_object_of_another_kind_stops_the_trim() -> None:
    """A stranger's object in the floor's place is never overwritten, and nothing is deleted under it (I12)."""
    played = play(chain().trim(4, "n", deadline()), floor_found(2), CLASH, Oversize(2**40, '"big"'), ABSENT)
    assert isinstance(played.result, Dishonest)
    assert played.requests == [READ_FLOOR, raised(4, 2), READ_FLOOR, READ_FLOOR]
    store = founded(6)
    store.perform(Delete(EPOCH_FLOOR), 1.0)
    put(store, EPOCH_FLOOR, b"a stranger's")
    assert isinstance(done(chain(store).trim(5, "n", deadline())), Dishonest)
    assert numbers(store) == [1, 2, 3, 4, 5, 6]
    found = store.perform(READ_FLOOR, 1.0)
    assert isinstance(found, Found)
    assert found.body == b"a stranger's"
