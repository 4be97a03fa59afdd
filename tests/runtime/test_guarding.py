"""The release that a guardian writes, step by step on a store, and what a process tells it (rule 15)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from holocron.clock import SystemClock
from holocron.errors import SettingsError
from holocron.layout import EPOCH_FLOOR, EPOCHS, numbered
from holocron.protocol.guarding import Charge
from holocron.protocol.messages import NoteTenureBegan, NoteTenureEnded, NoteTenureRenewed, Reason, Tenure
from holocron.records import Epoch, Floor, decode, encode
from holocron.runtime.guarding.releasing import release
from holocron.runtime.guarding.words import Charges, Entrusted, Led, Left, StoodDown, Word, word_of
from holocron.runtime.guarding.words import decode as word_in
from holocron.runtime.guarding.words import encode as line_of
from holocron.runtime.notices import StoreRegained
from holocron.store.base import Answer, Delete, Get, Put, Request, Store
from holocron.store.chain import Chain
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from holocron.store.opening import StoreOptions, open_store, origin
from tests.runtime import made
from tests.runtime.stores import Meddler, anything, lose, on, refuse

CHARGE = Charge(node="alpha", incarnation=1, session="s", term=1, epoch=3)
ENTRUSTED = Entrusted(
    number=7,
    uri="file:///somewhere",
    options=StoreOptions(region="r", profile="p"),
    cluster=made.UUID,
    node="alpha",
    incarnation=1,
    session="s",
    ttl_s=2.0,
    attempt_s=0.5,
)


@pytest.fixture
def store() -> Store:
    """A cluster that alpha has led for three epochs, publishing on the way."""
    store = MemoryStore()
    made.genesis(store)
    made.chain(store, made.epoch(1), made.epoch(2), made.epoch(3, value=b"v", topology=(made.row("beta"),), control=2))
    return store


def released(store: Store, charge: Charge = CHARGE) -> Epoch | None:
    """What the procedure comes to on `store`."""
    nonces = (f"fresh{number}" for number in itertools.count(1))
    chain = Chain(store, EPOCHS, EPOCH_FLOOR, made.UUID)
    return drive(release(chain, charge, SystemClock().now, lambda: next(nonces), made.deadline()))


def there(store: Store) -> Iterator[Epoch]:
    """The chain as it stands."""
    for number in itertools.count(1):
        body = made.get(store, numbered(EPOCHS, number))
        if body is None:
            return
        yield decode(Epoch, body, numbered(EPOCHS, number), made.UUID)


def heads(store: Store) -> Epoch:
    """The last of the chain."""
    return list(there(store))[-1]


def test_the_head_of_the_tenure_is_followed_by_its_release(store: Store) -> None:
    """One GET, one PUT and the floor: the release names the head and carries on what it carried (I2, I5)."""
    meddler = Meddler(store)
    record = released(meddler)
    assert record is not None
    assert record == heads(store)
    assert (record.epoch, record.term, record.kind, record.previous) == (4, 1, "release", "n3")
    assert record.published is not None
    assert (record.published.value, record.topology, record.control) == (b"v", (made.row("beta"),), 2)
    assert [(trip.verb, trip.key) for trip in meddler.trips()] == [
        ("GET", numbered(EPOCHS, 3)),
        ("PUT", numbered(EPOCHS, 4)),
        ("GET", EPOCH_FLOOR),
    ]


def test_the_release_is_told_of_once_it_can_be_read(store: Store) -> None:
    """Told before the floor is read, for a hint only causes a read; and not at all where nothing was written (16)."""
    told: list[Epoch] = []
    asked: list[str] = []
    nonces = (f"fresh{number}" for number in itertools.count(1))

    def watch(inner: Store, request: Request, timeout_s: float) -> Answer:
        asked.append(f"{type(request).__name__} {len(told)}")
        return inner.perform(request, timeout_s)

    def procedure(where: Store) -> Epoch | None:
        chain = Chain(where, EPOCHS, EPOCH_FLOOR, made.UUID)
        return drive(
            release(chain, CHARGE, SystemClock().now, lambda: next(nonces), made.deadline(), told.append), SystemClock()
        )

    meddler = Meddler(store)
    meddler.rule(anything, watch)
    record = procedure(meddler)
    assert told == [record] == [heads(store)]
    assert asked == ["Get 0", "Put 0", "Get 1"]
    assert procedure(store) is None
    assert len(told) == 1


def test_a_renewal_that_was_under_way_is_released_too(store: Store) -> None:
    """The dead process's own last request has won N+1, so the release is N+2 and carries what that one published."""
    made.chain(store, made.epoch(4, value=b"last"))
    record = released(store)
    assert record is not None
    assert (record.epoch, record.previous) == (5, "n4")
    assert record.published is not None
    assert record.published.value == b"last"


def test_a_renewal_that_lands_between_reading_and_writing_is_released_too(store: Store) -> None:
    """As late as that: the create is lost to our own former self, and the one after it is tried (I1, I5)."""
    late = Meddler(store)

    def land(inner: Store, request: Request, timeout_s: float) -> object:
        made.chain(inner, made.epoch(4))
        return inner.perform(request, timeout_s)

    late.rule(on("PUT", numbered(EPOCHS, 4)), land, times=1)  # type: ignore[arg-type]  # it answers what a store answers
    record = released(late)
    assert record is not None
    assert record.epoch == 5
    assert [one.kind for one in there(store)] == ["lease"] * 4 + ["release"]


@pytest.mark.parametrize(
    "next_one",
    [
        made.epoch(4, term=4, node="beta", cause="expired"),
        replace(made.epoch(4), leader=replace(made.epoch(4).leader, incarnation=2, session="later")),
        replace(made.epoch(4, term=4), leader=made.epoch(4).leader),
        made.epoch(4, release=True),
    ],
    ids=["another node", "its next incarnation", "another term", "released already"],
)
def test_whoever_follows_already_is_left_alone(store: Store, next_one: Epoch) -> None:
    """Rule 15: lost to another, nothing is written, whoever that is (I1, I8)."""
    made.chain(store, next_one)
    assert released(store) is None
    assert heads(store) == next_one


@pytest.mark.parametrize(
    "charge",
    [
        replace(CHARGE, session="other"),
        replace(CHARGE, incarnation=2),
        replace(CHARGE, node="beta"),
        replace(CHARGE, term=2),
    ],
)
def test_a_head_of_another_tenure_is_left_alone(store: Store, charge: Charge) -> None:
    """Rule 15: what was told and what stands there have to agree in everything."""
    assert released(store, charge) is None
    assert heads(store).epoch == 3


def test_what_cannot_be_read_is_left_alone() -> None:
    """Unreadable is held by someone we cannot read, and never ours (I12)."""
    store = MemoryStore()
    made.genesis(store)
    made.put(store, numbered(EPOCHS, 3), b"{")
    assert released(store) is None
    assert made.get(store, numbered(EPOCHS, 4)) is None


def test_a_guardian_that_slept_past_retention_releases_nothing(store: Store) -> None:
    """The epoch that it knows is gone: so is the tenure (rule 7)."""
    store.perform(Delete(numbered(EPOCHS, 3)), 1.0)
    assert released(store) is None
    assert made.get(store, numbered(EPOCHS, 4)) is None


def test_a_slot_that_was_trimmed_meanwhile_is_no_release(store: Store) -> None:
    """The floor is read after the win: below it, what was written is an orphan and no part of the chain (I4)."""
    slow = Meddler(store)

    def trim(inner: Store, request: Request, timeout_s: float) -> object:
        found = inner.perform(Get(EPOCH_FLOOR), 1.0)
        floor = encode(Floor(cluster=made.UUID, nonce="raised", floor=9))
        inner.perform(Put(EPOCH_FLOOR, floor, found.etag), 1.0)  # type: ignore[union-attr]  # the floor is there
        return inner.perform(request, timeout_s)

    slow.rule(on("PUT", EPOCHS), trim, times=1)  # type: ignore[arg-type]  # it answers what a store answers
    assert released(slow) is None


def test_an_answer_that_was_lost_is_settled_by_reading_back(store: Store) -> None:
    """It is there with our nonce: released, and not released again (I3)."""
    flaky = Meddler(store)
    flaky.rule(on("PUT", EPOCHS), lose, times=1)
    record = released(flaky)
    assert record is not None
    assert [one.kind for one in there(store)] == ["lease"] * 3 + ["release"]


def test_a_store_out_of_reach_ends_with_the_deadline(store: Store) -> None:
    """No longer than a lease: after that there is nothing left to be gained."""
    gone = Meddler(store)
    gone.rule(anything, refuse)
    chain = Chain(gone, EPOCHS, EPOCH_FLOOR, made.UUID)
    clock = SystemClock()
    within = replace(made.deadline(), since=clock.now(), within_s=0.2)
    assert drive(release(chain, CHARGE, clock.now, lambda: "n", within)) is None
    assert heads(store).epoch == 3


# --- what is said ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [ENTRUSTED, Led(7, 1, 3), StoodDown(7), Left(7)])
def test_a_word_comes_as_it_was_said(word: Word) -> None:
    """One line for each word, whatever is in it."""
    line = line_of(word)
    assert line.count(b"\n") == 1
    assert word_in(line.rstrip()) == word


def test_a_tenure_is_told_as_far_as_it_is_confirmed() -> None:
    """Its beginning, each renewal and its end are said, and nothing else is."""
    tenure = Tenure(1, 3, SystemClock().now(), 1.8)
    assert word_of(7, NoteTenureBegan(tenure)) == Led(7, 1, 3)
    assert word_of(7, NoteTenureRenewed(tenure)) == Led(7, 1, 3)
    assert word_of(7, NoteTenureEnded(tenure, Reason.EXPIRED)) == StoodDown(7)
    assert word_of(7, StoreRegained()) is None


def test_only_who_leads_is_released() -> None:
    """Who stood down, left, or was never entrusted holds nothing that could be released."""
    charges = Charges()
    charges.hear(Led(7, 1, 2))
    assert list(charges.leading()) == []
    charges.hear(ENTRUSTED)
    charges.hear(Led(7, 1, 3))
    assert list(charges.leading()) == [(ENTRUSTED, CHARGE)]
    charges.hear(StoodDown(7))
    assert list(charges.leading()) == []
    charges.hear(Led(7, 9, 9))
    charges.hear(Left(7))
    assert list(charges.leading()) == []


def test_a_store_that_another_process_could_open_has_an_origin(tmp_path: object) -> None:
    """What `open_store` was told is what the guardian is told; memory is nobody else's, nor an object of one's own."""
    options = StoreOptions(timeout_s=3.0)
    store = open_store(f"file://{tmp_path}", options)
    known = origin(store)
    assert known is not None
    assert (known.uri, known.options) == (f"file://{tmp_path}", options)
    assert origin(open_store("memory://here")) is None
    assert origin(MemoryStore()) is None
    with pytest.raises(SettingsError):
        open_store("nowhere")
