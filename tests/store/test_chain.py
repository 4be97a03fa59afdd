"""The chain: what comes of a create, and where the head is (invariants I3, I4, I5, I7 and I12)."""

from __future__ import annotations

import pytest

from holocron.layout import EPOCH_FLOOR, EPOCHS, MAX_NUMBER
from holocron.store.base import (
    Answer,
    Conflict,
    Delete,
    Denied,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Put,
)
from holocron.store.chain import (
    Created,
    Dishonest,
    FloorRead,
    Head,
    Lost,
    NoHead,
    Orphan,
    Outcome,
    Refused,
    Trouble,
    Unknown,
)
from holocron.store.memory import MemoryStore
from tests.store.scripted import (
    ABSENT,
    ATTEMPT_S,
    CLASH,
    NEVER_LEFT,
    UNCLEAR,
    WITHIN_S,
    After,
    Pages,
    chain,
    deadline,
    done,
    floor_body,
    floor_found,
    founded,
    play,
    put,
    span,
    wrote,
)

BODY = b"epoch 5, by me"
MINE, THEIRS = Found(BODY, '"mine"'), Found(b"epoch 5, by another", '"theirs"')
KEY = "epochs/0000000000000005.json"
WRITE, READ, FLOOR = Put(KEY, BODY), Get(KEY), Get(EPOCH_FLOOR)
DENIED = Denied("the key is not allowed to do this")

# Every way in which a create is won, told at once or late (design section 3).
WINS: dict[str, tuple[Answer, ...]] = {
    "at once": (wrote(),),
    "after a conflict": (Conflict(), wrote()),
    "after an unclear attempt that was not applied": (UNCLEAR, wrote()),
    "its own nonce is there": (CLASH, MINE),
    "its own nonce is there, after an unclear attempt": (UNCLEAR, CLASH, MINE),
    "its own nonce is there, and the read of it was unclear first": (CLASH, UNCLEAR, MINE),
    "the connection failed, then it was there": (NEVER_LEFT, UNCLEAR, CLASH, MINE),
}


# --- create ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", WINS.values(), ids=WINS)
@pytest.mark.parametrize(
    ("floor", "outcome"),
    [(1, Created(5, 1)), (5, Created(5, 5)), (6, Orphan(5, 6)), (MAX_NUMBER, Orphan(5, MAX_NUMBER))],
)
def test_every_win_is_followed_by_a_read_of_the_floor(
    answers: tuple[Answer, ...], floor: int, outcome: Outcome
) -> None:
    """However it was won, the floor is read afterwards; below it the win is an orphan and none at all (I3, I4)."""
    played = play(chain().create(5, BODY, deadline()), *answers, floor_found(floor))
    assert played.result == outcome
    assert played.requests[-1] == FLOOR
    assert played.requests.count(FLOOR) == 1
    # Whatever was sent again was the same bytes, and with the same condition: nothing may be there.
    assert {request for request in played.requests if isinstance(request, Put)} == {WRITE}


def test_a_chain_that_is_never_trimmed_has_no_floor_to_read() -> None:
    """Control requests are a chain without a floor: a win is one request."""
    played = play(chain(floor_key=None).create(5, BODY, deadline()), wrote())
    assert (played.result, played.requests) == (Created(5, 1), [WRITE])


@pytest.mark.parametrize("there", [THEIRS, Oversize(2**40, '"big"')])
@pytest.mark.parametrize("first", [(), (UNCLEAR,), (Conflict(),)], ids=["at once", "unclear", "conflict"])
def test_another_nonce_in_the_slot_is_lost(there: Found | Oversize, first: tuple[Answer, ...]) -> None:
    """412, and the object carries another nonce: lost, and whose it is comes along (design section 3)."""
    played = play(chain().create(5, BODY, deadline()), *first, CLASH, there)
    assert played.result == Lost(5, there)
    assert played.requests[-2:] == [WRITE, READ]


def test_a_slot_that_was_taken_and_is_empty_again_is_neither_won_nor_lost() -> None:
    """Who it was that retention took out meanwhile cannot be told any more: it may have been our own (I10)."""
    played = play(chain().create(5, BODY, deadline()), CLASH, ABSENT)
    assert isinstance(played.result, Unknown)


@pytest.mark.parametrize(
    "answers",
    [
        (UNCLEAR, DENIED),
        (UNCLEAR, Conflict(), DENIED),
        (UNCLEAR, CLASH, DENIED),
        (UNCLEAR, After(WITHIN_S, NEVER_LEFT)),
        (UNCLEAR, After(WITHIN_S, Conflict())),
        (CLASH, DENIED),
        (CLASH, After(WITHIN_S, UNCLEAR)),
        (After(WITHIN_S, UNCLEAR),),
        (After(WITHIN_S, CLASH),),
        (After(WITHIN_S, wrote()),),
        (wrote(), DENIED),
        (wrote(), After(WITHIN_S, UNCLEAR)),
        (wrote(), Listed(())),
    ],
)
def test_what_cannot_be_settled_in_time_is_unknown(answers: tuple[Answer | After, ...]) -> None:
    """A write that may have been applied, or a win whose floor nobody read, is neither won nor lost (I3, I10)."""
    played = play(chain().create(5, BODY, deadline()), *answers)
    assert isinstance(played.result, Unknown)
    assert played.result.error


@pytest.mark.parametrize(
    ("answer", "denied"),
    [(DENIED, True), (After(WITHIN_S, Conflict()), False), (After(WITHIN_S, NEVER_LEFT), False)],
)
def test_what_was_certainly_not_written_is_refused(answer: Answer | After, denied: bool) -> None:
    """A refusal that stays is told from a store that had no time; neither ever takes effect (I10)."""
    played = play(chain().create(5, BODY, deadline()), answer)
    assert isinstance(played.result, Refused)
    assert played.result.denied is denied
    assert play(chain().create(5, BODY, deadline()), NEVER_LEFT, Conflict(), answer).result == played.result


def test_403_is_never_absent() -> None:
    """A refusal of a read neither makes a slot look free nor a floor look gone (design section 3)."""
    assert play(chain().read(5, deadline()), DENIED).result.answer == DENIED
    assert play(chain().floor(deadline()), DENIED).result == Trouble(DENIED.error, denied=True)
    assert play(chain().head(5, deadline()), DENIED).result == Trouble(DENIED.error, denied=True)
    assert play(chain().head(None, deadline()), DENIED).result == Trouble(DENIED.error, denied=True)


# --- the floor ------------------------------------------------------------------------------------------------------

BAD_FLOORS: dict[str, Answer] = {
    "gone": ABSENT,
    "too large": Oversize(2**40, '"big"'),
    "no record": Found(b"\xff not a record", '"x"'),
    "empty": Found(b"", '"x"'),
    "of another cluster": Found(floor_body(3, cluster="another"), '"x"'),
    "of a newer format": Found(floor_body(3).replace(b'"format": 1', b'"format": 2'), '"x"'),
    "below one": Found(floor_body(3).replace(b'"floor": 3', b'"floor": 0'), '"x"'),
    "above every number": Found(floor_body(3).replace(b'"floor": 3', b'"floor": %d' % 2**53), '"x"'),
}


@pytest.mark.parametrize("answer", BAD_FLOORS.values(), ids=BAD_FLOORS)
def test_a_floor_that_is_gone_or_cannot_be_read_is_the_stores_lie(answer: Answer) -> None:
    """The floor is there and sound from genesis on; without it no win counts, no head is known, nothing goes (I4)."""
    for procedure, before in (
        (chain().floor(deadline()), ()),
        (chain().create(5, BODY, deadline()), (wrote(),)),
        (chain().head(None, deadline()), ()),
        (chain().head(5, deadline()), (Listed(()),)),
        (chain().raise_floor(4, "n", deadline()), ()),
        (chain().trim(4, "n", deadline()), ()),
    ):
        result = play(procedure, *before, answer).result
        assert isinstance(result, Dishonest)
        assert EPOCH_FLOOR in result.error
        assert "\n" not in result.error


def test_the_floor_comes_with_the_etag_to_raise_it_by() -> None:
    """A floor is raised by compare-and-swap on what was read (I4)."""
    assert play(chain().floor(deadline()), UNCLEAR, floor_found(7)).result == FloorRead(7, '"floor-7"')
    assert play(chain().floor(deadline()), After(WITHIN_S, UNCLEAR)).result == Trouble(UNCLEAR.error)
    assert isinstance(play(chain().floor(deadline()), wrote()).result, Trouble)


# --- lists ----------------------------------------------------------------------------------------------------------

FOREIGN = (
    "epochs/",
    "epochs/0000000000000000.json",
    "epochs/0000000000000004",
    "epochs/0000000000000004.JSON",
    "epochs/0000000000000004.json.bak",
    "epochs/0000000000000004.json/0000000000000005.json",
    "epochs/00000000000000004.json",
    "epochs/0000000000000004.json\n",
    "epochs/4.json",
    f"epochs/{2**53:016d}.json",
    "epochs/-000000000000004.json",
    "epochs/\u0660000000000000004.json",
    "epochs/readme.txt",
    "epochs/~",
)


def test_a_list_is_read_to_its_last_page() -> None:
    """However many pages a chain takes, all of it is seen, in order (rule 7)."""
    store = founded(7)
    for most in (1, 2, 3, 7, 1000):
        paged = chain(Pages(store, most))
        entries = done(paged.entries(2, deadline()))
        assert isinstance(entries, tuple)
        assert [paged.number(entry.key) for entry in entries[0]] == [3, 4, 5, 6, 7]
        assert span(done(paged.head(None, deadline()))) == (7, 1)


@pytest.mark.parametrize("page", [DENIED, Listed((), more=True), wrote()])
def test_a_list_that_breaks_off_is_no_list(page: Answer) -> None:
    """Half a list would show a head that is none (rule 7)."""
    first = Listed(tuple(Entry(chain().key(number), "e", 1) for number in (1, 2)), more=True)
    played = play(chain().head(1, deadline()), first, page)
    assert isinstance(played.result, Trouble)
    assert played.result.denied is isinstance(page, Denied)
    assert played.requests == [List(EPOCHS, chain().key(0)), List(EPOCHS, chain().key(2))]


def test_a_list_that_was_never_asked_for_in_order_is_put_in_order() -> None:
    """No rule takes the last key of a page for the newest (directory buckets list as they please)."""
    keys = [chain().key(number) for number in (4, 2, 3)]
    pages = (Listed(tuple(Entry(key, "e", 1) for key in keys), more=True), Listed((Entry(chain().key(5), "e", 1),)))
    played = play(chain().head(2, deadline()), *pages)
    assert span(played.result) == (5, 2)
    assert played.requests[1] == List(EPOCHS, chain().key(4))


def test_foreign_objects_have_no_number_and_are_never_touched() -> None:
    """What somebody else put under the prefix is no part of the chain, is not the head and stays (I5, I12)."""
    store = founded(3)
    for key in FOREIGN:
        assert chain(store).number(key) is None
        put(store, key, b"foreign")
    assert span(done(chain(store).head(None, deadline()))) == (3, 1)
    assert span(done(chain(store).head(3, deadline()))) == (3, 3)
    assert done(chain(store).trim(3, "n", deadline())) == 2
    for key in FOREIGN:
        assert isinstance(store.perform(Get(key), 1.0), Found)


# --- the head -------------------------------------------------------------------------------------------------------


def test_the_head_takes_one_list_where_nothing_is_odd() -> None:
    """The budget of a failover: one LIST, and no read of the floor (design section 10)."""
    listed = Listed(tuple(Entry(chain().key(number), "e", 1) for number in (5, 6)))
    played = play(chain().head(5, deadline()), listed)
    assert (span(played.result), played.requests) == ((6, 5), [List(EPOCHS, chain().key(4))])
    assert span(play(chain().head(None, deadline()), floor_found(5), listed).result) == (6, 5)


@pytest.mark.parametrize("known", [None, 1, 2, 5])
def test_a_gap_is_closed_by_the_floor_or_ends_the_chain(known: int | None) -> None:
    """An object behind a gap that the floor does not explain is foreign; it is neither head nor news (I5, rule 7)."""
    store = founded(5)
    put(store, chain().key(7), b"behind a gap")
    head = done(chain(store).head(known, deadline()))
    assert isinstance(head, Head)
    assert (head.number, head.stray) == (5, 7)


@pytest.mark.parametrize("known", [None, 1, 4, 5, 8])
@pytest.mark.parametrize("orphans", [(), (2,), (2, 3, 4), (4,)])
def test_a_head_known_from_before_retention_is_found_again(known: int | None, orphans: tuple[int, ...]) -> None:
    """Whoever slept past retention goes on from the floor, whatever sleepers left below it (rule 7, I7)."""
    store = founded(8, floor=5)
    for number in orphans:
        put(store, chain().key(number), b"an orphan")
    head = done(chain(store).head(known, deadline()))
    assert isinstance(head, Head)
    assert (head.number, head.stray) == (8, None)


def test_a_chain_that_has_not_begun_has_no_head() -> None:
    """After genesis there is a floor of 1 and nothing above it; what lies behind a gap is not its beginning (I12)."""
    store = founded(0)
    assert done(chain(store).head(None, deadline())) == NoHead()
    put(store, chain().key(4), b"foreign")
    assert done(chain(store).head(None, deadline())) == NoHead(stray=4)


@pytest.mark.parametrize(("floor", "known"), [(1, 9), (5, 5), (1, 1), (3, 5), (5, 9)])
def test_a_known_epoch_that_is_gone_above_the_floor_is_noticed(floor: int, known: int) -> None:
    """Deleted implies below the floor: a chain that lost more was wiped or rolled back (I4, I7, rule 13)."""
    store = founded(floor - 1, floor)
    assert isinstance(done(chain(store).head(known, deadline())), Dishonest)


@pytest.mark.parametrize("known", [None, 2, 5])
def test_a_chain_without_its_floor_epoch_is_noticed(known: int | None) -> None:
    """The head is never deleted and the floor is never above it, so the floor's own epoch is there (I4)."""
    store = founded(8, floor=5)
    store.perform(Delete(chain().key(5)), 1.0)
    assert isinstance(done(chain(store).head(known, deadline())), Dishonest)


@pytest.mark.parametrize("known", [None, 6, 8])
def test_only_whoever_knows_the_end_notices_that_it_is_gone(known: int | None) -> None:
    """A chain cut short looks whole to a newcomer; a node that saw its end, in this life or the last, stops (I7)."""
    store = founded(8, floor=5)
    for number in (7, 8):
        store.perform(Delete(chain().key(number)), 1.0)
    head = done(chain(store).head(known, deadline()))
    assert isinstance(head, Dishonest) if known == 8 else span(head) == (6, known or 5)


# --- the deadline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("took_s", [0.0, 0.3, 1.9])
def test_nothing_is_sent_after_the_deadline_nor_allowed_more_than_is_left(took_s: float) -> None:
    """A request that outlives the lease would tell a leader of the past; retries are bounded by it (section 3)."""
    for answer in (UNCLEAR, NEVER_LEFT, Conflict(), CLASH, wrote(), floor_found(1)):
        for procedure in (
            chain().create(5, BODY, deadline()),
            chain().head(5, deadline()),
            chain().trim(5, "n", deadline()),
        ):
            # A store that always answers so would be asked for ever if nobody looked at the clock.
            slow = After(max(took_s, 0.1), answer)
            played = play(procedure, instead=lambda request, slow=slow: slow)  # type: ignore[misc]  # a default has no type
            assert played.ended_s <= WITHIN_S + slow.seconds
            assert all(0 < allowed_s <= ATTEMPT_S for allowed_s in played.allowed_s)
    over = play(chain().create(5, BODY, deadline(0.0)))
    assert isinstance(over.result, Refused)
    assert over.requests == []


def test_the_floor_of_a_win_that_took_the_whole_time_is_not_read() -> None:
    """A win told at the last moment, with no time to read the floor, is unknown; it is never believed (I3, I4)."""
    played = play(chain().create(5, BODY, deadline()), After(WITHIN_S, wrote()))
    assert isinstance(played.result, Unknown)
    assert played.requests == [WRITE]
    late = play(chain().create(5, BODY, deadline()), After(WITHIN_S - 0.5, wrote()), floor_found(1))
    assert late.result == Created(5, 1)
    assert late.allowed_s == [ATTEMPT_S, 0.5]


def test_a_wiped_store_does_not_make_a_win() -> None:
    """A create that succeeds because everything is gone finds no floor, and says so (I7, rule 13)."""
    store = MemoryStore()
    assert isinstance(done(chain(store).create(1, b"first", deadline())), Dishonest)
    assert isinstance(store.perform(Get(chain().key(1)), 1.0), Found)
    assert isinstance(done(chain(founded(0)).create(1, b"first", deadline())), Created)
