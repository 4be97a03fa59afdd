"""Retention carried out (rule 12): nothing leaves the chain that is not in the history."""

from __future__ import annotations

import pytest

from holocron.layout import EPOCH_FLOOR, EPOCHS, HISTORY, history_key, numbered
from holocron.records import Epoch, Floor, History, Past, decode, encode
from holocron.runtime import keeper
from holocron.runtime.counting import CountingStore
from holocron.runtime.history import Unread, find_epoch, read_back
from holocron.runtime.keeper import tidy
from holocron.runtime.views import GcResult
from holocron.settings import Settings
from holocron.store.base import Absent, Answer, Delete, Denied, Put, Request
from holocron.store.chain import Chain, Dishonest, Trouble
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from tests.runtime.made import UUID, chain, deadline, epoch, genesis, get, keys, put

SETTINGS = Settings(keep_epochs=4, keep_age_s=0, trim_batch=5)


class Refusing:
    """A store that refuses one kind of request."""

    def __init__(self, inner: MemoryStore, kind: type, prefix: str) -> None:
        self.inner, self.kind, self.prefix = inner, kind, prefix

    @property
    def uri(self) -> str:
        return self.inner.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        key = request.key if isinstance(request, Put | Delete) else ""
        if isinstance(request, self.kind) and key.startswith(self.prefix):
            return Denied("not allowed")
        return self.inner.perform(request, timeout_s)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def store() -> MemoryStore:
    """A chain of 20 epochs."""
    made = MemoryStore()
    genesis(made)
    chain(made, *(epoch(number) for number in range(1, 21)))
    return made


def swept(store: MemoryStore | Refusing | CountingStore, head: int = 20) -> GcResult | Trouble | Dishonest:
    """Tidy up."""
    kept = Chain(store, EPOCHS, EPOCH_FLOOR, UUID)
    return drive(tidy(kept, store, head, UUID, "t", SETTINGS, None, deadline()))


def back(store: MemoryStore) -> list[int]:
    """Every epoch that can still be read, newest first."""
    found = drive(read_back(Chain(store, EPOCHS, EPOCH_FLOOR, UUID), store, 20, 100, deadline()))
    assert isinstance(found, tuple)
    return [one.epoch for one in found]


def test_what_goes_is_in_the_history_one_file_for_each_batch(store: MemoryStore) -> None:
    """History is whole and the chain short (rule 12)."""
    before = {number: get(store, numbered(EPOCHS, number)) for number in range(1, 21)}
    assert swept(store) == GcResult(removed=15, first=1, last=15, floor=16)
    assert keys(store, EPOCHS) == [numbered(EPOCHS, number) for number in range(16, 21)]
    assert keys(store, HISTORY) == [history_key(1, 5), history_key(6, 10), history_key(11, 15)]
    assert back(store) == list(range(20, 0, -1))
    found = drive(find_epoch(Chain(store, EPOCHS, EPOCH_FLOOR, UUID), store, 7, deadline()))
    body = before[7]
    assert body is not None
    assert found == decode(Epoch, body, numbered(EPOCHS, 7))
    assert swept(store) == GcResult(removed=0, first=None, last=None, floor=16)


def test_nothing_due_costs_one_read(store: MemoryStore) -> None:
    """A leader may ask often: only the floor is read where nothing can be due."""
    counted = CountingStore(store)
    result = swept(counted, head=8)
    assert isinstance(result, GcResult)
    assert result.removed == 0
    assert counted.requests == {"GET": 1, "PUT": 0, "LIST": 0, "DELETE": 0}


def test_epochs_known_already_are_not_read_again(store: MemoryStore) -> None:
    """A leader hands in what it wrote itself."""
    counted = CountingStore(store)
    records = {number: epoch(number) for number in range(1, 16)}
    drive(tidy(Chain(counted, EPOCHS, EPOCH_FLOOR, UUID), counted, 20, UUID, "t", SETTINGS, records, deadline()))
    assert counted.requests["GET"] <= 2
    assert back(store) == list(range(20, 0, -1))


@pytest.mark.parametrize(("kind", "prefix"), [(Put, HISTORY), (Put, EPOCH_FLOOR), (Delete, EPOCHS)])
def test_a_stop_at_any_step_loses_nothing_and_the_next_goes_on(store: MemoryStore, kind: type, prefix: str) -> None:
    """First the history, then the floor, then the objects: whichever is refused, every epoch can be read."""
    assert swept(Refusing(store, kind, prefix)) == Trouble("not allowed", denied=True)
    assert back(store) == list(range(20, 0, -1))
    result = swept(store)
    assert isinstance(result, GcResult)
    assert back(store) == list(range(20, 0, -1))


def test_an_unreadable_epoch_is_kept_as_its_bytes() -> None:
    """What cannot be read is never lost and never taken for absent (I12)."""
    store = MemoryStore()
    genesis(store)
    chain(store, *(epoch(number) for number in range(1, 21) if number != 3))
    put(store, numbered(EPOCHS, 3), b"\xffforeign")
    assert swept(store) == GcResult(removed=15, first=1, last=15, floor=16)
    body = get(store, history_key(1, 5))
    assert body is not None
    assert decode(History, body, history_key(1, 5), UUID).epochs[2] == Past(epoch=3, record=None, raw=b"\xffforeign")
    found = drive(find_epoch(Chain(store, EPOCHS, EPOCH_FLOOR, UUID), store, 3, deadline()))
    assert isinstance(found, Unread)
    assert found.raw == b"\xffforeign"
    assert 3 not in back(store)


def test_a_foreign_file_in_the_way_stops_retention(store: MemoryStore) -> None:
    """A history file that cannot be read is never overwritten, and nothing it should hold is deleted."""
    put(store, history_key(1, 5), b"foreign")
    assert isinstance(swept(store), Trouble)
    assert get(store, history_key(1, 5)) == b"foreign"
    assert len(keys(store, EPOCHS)) == 20


def test_a_hole_that_the_floor_does_not_explain_is_told_and_nothing_goes(store: MemoryStore) -> None:
    """Where an epoch is gone that retention did not take, the chain was cut, and nothing more goes (rules 12, 13)."""
    store.perform(Delete(numbered(EPOCHS, 7)), 1.0)
    result = swept(store)
    assert isinstance(result, Dishonest)
    assert "0000000000000007" in result.error
    assert len(keys(store, EPOCHS)) == 19


def test_an_epoch_behind_a_gap_is_told_and_nothing_goes(store: MemoryStore) -> None:
    """One of this cluster's was written in a history that is lost; what a stranger put there is not (rules 12, 13)."""
    put(store, numbered(EPOCHS, 30), b"foreign")
    assert isinstance(swept(store, head=9), GcResult)
    put(store, numbered(EPOCHS, 28), encode(epoch(28)))
    result = swept(store)
    assert isinstance(result, Dishonest)
    assert "0000000000000028" in result.error
    assert len(keys(store, EPOCHS)) == 17


def test_a_batch_too_large_for_one_file_goes_into_several(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history file is never larger than what a reader accepts."""
    monkeypatch.setattr(keeper, "RECORD_LIMIT_BYTES", 3000)
    assert isinstance(swept(store), GcResult)
    assert len(keys(store, HISTORY)) > 3
    assert back(store) == list(range(20, 0, -1))


def test_an_epoch_that_never_was_is_absent(store: MemoryStore) -> None:
    """Nothing is made up."""
    swept(store)
    found = drive(find_epoch(Chain(store, EPOCHS, EPOCH_FLOOR, UUID), store, 99, deadline()))
    assert isinstance(found, Absent)


def test_the_floor_that_is_raised_carries_the_cluster(store: MemoryStore) -> None:
    """The floor stays a record of this cluster."""
    swept(store)
    body = get(store, EPOCH_FLOOR)
    assert body is not None
    assert decode(Floor, body, EPOCH_FLOOR, UUID).floor == 16
