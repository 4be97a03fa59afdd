"""What the election asks of the chain of epochs, where retention and a sleeper come between two requests (rule 7)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holocron.clock import Instant
from holocron.layout import EPOCH_FLOOR
from holocron.protocol.messages import ClaimLost, Draft, HeadFound, NextAbsent, NextFound
from holocron.records import Epoch, Floor, Holder, Identity, encode
from holocron.runtime.asking import EpochChain, Reach
from holocron.settings import Settings
from holocron.store.base import (
    Ask,
    Deadline,
    Delete,
    Found,
    Get,
    List,
    Procedure,
    Put,
    Reply,
    Request,
    Together,
    Written,
)
from holocron.store.memory import MemoryStore
from tests.protocol.made import record
from tests.store.scripted import at

SETTINGS = Settings(ttl_s=10.0, keep_age_s=60.0)
IDENTITY = Identity(
    cluster="c", nonce="i", node="a", incarnation=1, session="a-1", cluster_uri="memory://", name="", address="",
    labels={}, priority=1, holder=Holder(host="", pid=0, since=""), created="",
)  # fmt: skip


class Bench:
    """One node's view of a chain on a store in memory, and a hand that writes between its requests."""

    def __init__(self, head: int, hint: int | None = None) -> None:
        self.store = MemoryStore()
        self.now_s = 0.0
        self.sent: list[Request] = []
        self._put(EPOCH_FLOOR, encode(Floor(cluster="c", nonce="floor-1", floor=1)))
        for number in range(1, head + 1):
            self.create(record(number))
        world: Any = self
        self.chains = EpochChain(world, self.store, IDENTITY, SETTINGS, Reach(lambda notice: None), hint)

    def now(self) -> Instant:
        return at(self.now_s)

    def nonce(self) -> str:
        return "mine"

    def create(self, one: Epoch) -> None:
        """Epoch `one`, by somebody else."""
        self._put(self._key(one.epoch), encode(one))

    def trim(self, below: int) -> None:
        """Retention, carried out in a moment."""
        floor = self.store.perform(Get(EPOCH_FLOOR), 1.0)
        assert isinstance(floor, Found)
        self._put(EPOCH_FLOOR, encode(Floor(cluster="c", nonce=f"floor-{below}", floor=below)), floor.etag)
        for number in range(1, below):
            self.store.perform(Delete(self._key(number)), 1.0)

    def sleep_and_create(self, number: int) -> None:
        """A sleeper wakes and writes, where the epoch was taken out long ago, what it had meant to write then."""
        self.create(replace(record(number, term=number, leader="sleeper"), nonce="orphan"))

    def ask(self, procedure: Procedure[Any], **meanwhile: Any) -> Any:
        """What `procedure` comes to; `before_2=call` has `call` happen before its second request."""
        try:
            step = next(procedure)
            while True:
                if isinstance(step, Together):
                    results = tuple(self.ask(each, **meanwhile) for each in step.procedures)
                    step = procedure.send(Reply(None, self.now(), self.now(), results))
                    continue
                assert isinstance(step, Ask)
                meanwhile.get(f"before_{len(self.sent) + 1}", lambda: None)()
                self.sent.append(step.request)
                step = procedure.send(Reply(self.store.perform(step.request, 1.0), self.now(), self.now()))
        except StopIteration as stop:
            return stop.value

    def _key(self, number: int) -> str:
        return f"epochs/{number:016d}.json"

    def _put(self, key: str, body: bytes, match: str | None = None) -> None:
        assert isinstance(self.store.perform(Put(key, body, match), 1.0), Written)


def test_a_look_that_reads_a_sleepers_epoch_looks_again() -> None:
    """Between LIST and GET the head was trimmed and created again: what is read then is no part of the chain."""
    bench = Bench(head=2)

    def meanwhile() -> None:
        bench.create(record(3))
        bench.trim(3)
        bench.sleep_and_create(2)

    found = bench.ask(bench.chains.look(1, at(0)), before_2=meanwhile)
    assert isinstance(found, HeadFound)
    assert (found.seen.epoch, found.seen.mark) == (3, "nonce-3")


def test_a_look_at_a_chain_in_order_costs_one_list_and_one_get() -> None:
    """The ETag of the LIST says that the object read is the one listed; the floor is not asked for it (I14)."""
    bench = Bench(head=2)
    assert isinstance(bench.ask(bench.chains.look(1, at(0))), HeadFound)
    assert [type(request) for request in bench.sent] == [List, Get]


def test_a_resumed_node_reads_the_epoch_it_knew_last_beside_the_list() -> None:
    """Where nothing has happened since, what was read beside the LIST is what it listed: one round trip (I14)."""
    bench = Bench(head=3, hint=3)
    found = bench.ask(bench.chains.look(None, at(0)))
    assert isinstance(found, HeadFound)
    assert (found.seen.epoch, found.seen.mark) == (3, "nonce-3")
    assert bench.sent == [List("epochs/", bench._key(2)), Get(bench._key(3))]


def test_a_resumed_node_reads_the_head_where_others_have_led_meanwhile() -> None:
    """The epoch that it knew last is not the head any more, so the head is read after the LIST that showed it."""
    bench = Bench(head=5, hint=3)
    found = bench.ask(bench.chains.look(None, at(0)))
    assert isinstance(found, HeadFound)
    assert found.seen.epoch == 5
    assert bench.sent[1:] == [Get(bench._key(3)), Get(bench._key(5))]


def test_a_resumed_node_does_not_take_a_sleepers_epoch_for_the_one_listed() -> None:
    """Between the LIST and the read beside it the epoch was trimmed and created again: its ETag is another (rule 7)."""
    bench = Bench(head=3, hint=3)

    def meanwhile() -> None:
        bench.create(record(4))
        bench.trim(4)
        bench.sleep_and_create(3)

    found = bench.ask(bench.chains.look(None, at(0)), before_2=meanwhile)
    assert isinstance(found, HeadFound)
    assert (found.seen.epoch, found.seen.mark) == (4, "nonce-4")


@pytest.mark.parametrize("slept_s", [30.0, 3600.0])
def test_a_poll_after_a_long_sleep_does_not_take_a_sleepers_epoch_for_the_next(slept_s: float) -> None:
    """A follower that slept past retention polls N+1 and finds what another sleeper wrote: it is not believed."""
    bench = Bench(head=1)
    assert isinstance(bench.ask(bench.chains.poll(2, at(0))), NextAbsent)
    bench.create(record(2))
    bench.create(record(3))
    bench.trim(3)
    bench.sleep_and_create(2)
    bench.now_s = slept_s
    found = bench.ask(bench.chains.poll(2, at(slept_s)))
    assert isinstance(found, HeadFound)
    assert (found.seen.epoch, found.seen.mark) == (3, "nonce-3")


def test_a_poll_of_one_who_keeps_up_is_one_get() -> None:
    """Retention takes out nothing young, so an epoch that was not there a moment ago needs no second request (I14)."""
    bench = Bench(head=1)
    assert isinstance(bench.ask(bench.chains.poll(2, at(0))), NextAbsent)
    bench.create(record(2))
    bench.now_s = 29.0
    assert isinstance(bench.ask(bench.chains.poll(2, at(29))), NextFound)
    assert [type(request) for request in bench.sent] == [Get, Get]


def test_a_claim_that_loses_to_a_sleeper_learns_nothing_from_it() -> None:
    """What stands in the way of a late claim may be another sleeper's; then only a fresh look tells who leads."""
    bench = Bench(head=3)
    bench.trim(3)
    bench.sleep_and_create(2)
    bench.now_s = 31.0
    draft = Draft(2, 2, "lease", "expired", "nonce-1", 0, None, None, ())
    lost = bench.ask(bench.chains.create(draft, Deadline(at(0), 60.0, 2.0)))
    assert lost == ClaimLost(None)
