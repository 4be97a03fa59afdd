"""The README's figures are the code's: timings, costs, and what was counted, computed again from what computes them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from holocron import Node, Settings
from holocron.costs import MONTH_S
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.protocol.retention import compact
from holocron.records import Member, Past, encode
from holocron.runtime.counting import CountingStore
from holocron.runtime.keeper import tidy
from holocron.runtime.views import GcResult
from holocron.settings import MAX_TTL_S, MIN_TTL_S
from holocron.store.base import Answer, Get, Put, Request
from holocron.store.chain import Chain
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from holocron.store.s3_errors import _RIGHTS
from holocron_cli.simulate.cost import SOURCE, cost_usd, per_month, show_usd
from tests import markdown
from tests.runtime import made

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text()
PROSE = markdown.prose(TEXT)


def test_the_timings_are_the_defaults() -> None:
    """The table of timings says what `Settings` says, and so do the sentences that repeat it."""
    settings = Settings()
    head, *rows = markdown.table(markdown.section(TEXT, "What is promised"))
    assert head == ["timing", "default", "what follows"]
    shown = {row[0]: row[1] for row in rows}
    assert shown == {
        "ttl": f"{settings.ttl_s:g} s ({MIN_TTL_S:g} s to {MAX_TTL_S / 60:g} min)",
        "renewal": "ttl/3",
        "margin": f"the larger of ttl/10 and 100 ms: {settings.margin:g} s",
        "tolerated drift": f"margin/ttl: {settings.drift * 100:g} %",
        "heartbeat": "ttl",
    }
    for ttl_s in (MIN_TTL_S, 10.0, MAX_TTL_S):
        other = Settings(ttl_s=ttl_s)
        assert (other.renew_every, other.heartbeat_every) == (ttl_s / 3, ttl_s)
        assert other.margin == max(ttl_s / 10, 0.1)
        assert other.drift == pytest.approx(other.margin / ttl_s)
    assert f"stops believing after {settings.belief_s:g} s" in PROSE
    assert f"a follower's {settings.margin / settings.belief_s * 100:.0f} % faster" in PROSE
    assert f"the shortest ttl is {MIN_TTL_S:g} s" in PROSE
    assert f"a stagger ({settings.stagger_s * 1000:g} ms," in PROSE
    ours = {row[0]: row[1] for row in markdown.table(markdown.section(TEXT, "How it compares"))}
    assert ours["said of clocks"].startswith(f"rates may be {settings.drift * 100:g} % apart")
    assert ours["lease by default"] == f"{settings.ttl_s:g} s"


def test_the_costs_are_what_simulate_would_say() -> None:
    """Requests and prices come from the code that `holocron simulate` uses (I14)."""
    head, *rows = markdown.table(markdown.section(TEXT, "What it costs on S3"))
    assert head == ["nodes", "ttl", "PUT", "GET", "LIST", "cost"]
    for row in rows:
        month = per_month(int(row[0]), float(row[1].removesuffix(" s")))
        counts = [f"{month[kind]:,.0f}" for kind in ("PUT", "GET", "LIST")]
        assert row[2:] == [*counts, show_usd(cost_usd(month))]
    assert rows[0][:2] == ["3", f"{Settings().ttl_s:g} s"]
    assert MONTH_S == 30 * 86_400
    prices = SOURCE.partition("list price: ")[2]
    assert prices in PROSE


def test_what_retention_costs_is_counted() -> None:
    """Requests and bytes for the epochs that leave the chain, with three nodes (rule 12, I14)."""
    rows = tuple(
        Member(
            node=f"{rank:012x}",
            incarnation=1,
            status="alive",
            rank=rank,
            priority=1,
            standing=True,
            name=f"web-{rank}",
            address=f"http://10.0.0.{rank}:8080",
            labels={},
        )
        for rank in (1, 2, 3)
    )
    settings = Settings(keep_age_s=0)
    batch, head = settings.trim_batch, settings.trim_batch + settings.keep_epochs
    epochs = [made.epoch(number, topology=rows) for number in range(1, head + 1)]
    store = MemoryStore()
    made.genesis(store)
    made.chain(store, *epochs)
    counted = CountingStore(store)
    known = {epoch.epoch: epoch for epoch in epochs}
    chain = Chain(counted, EPOCHS, EPOCH_FLOOR, made.UUID)
    done = drive(tidy(chain, counted, head, made.UUID, "t", settings, known, made.deadline()))
    assert isinstance(done, GcResult)
    assert done.removed == batch
    assert (counted.requests["PUT"], counted.requests["LIST"]) == (2, 2)
    assert f"Retention adds two PUT and two LIST for every {batch} epochs" in PROSE

    month = MONTH_S / Settings().renew_every
    assert f": {show_usd(cost_usd({'PUT': 2, 'LIST': 2}) * month / batch)} in the first row" in PROSE
    kept = encode(compact(1, batch, tuple(Past(epoch=one.epoch, record=one) for one in epochs[:batch]), made.UUID, "t"))
    assert "epoch leaves 1.4 kB in it with three nodes" in PROSE
    assert len(kept) / batch == pytest.approx(1400, rel=0.15)
    assert f"bucket grows by {1400 * month / 1e9:.1f} GB in 30 days" in PROSE


class JournalCounts(MemoryStore):
    """A store that counts the reads and writes of journals alone, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, Get | Put) and "/journal" in request.key:
            self.counts[type(request).__name__] += 1
        return super().perform(request, timeout_s)


def test_what_a_journal_costs_is_counted() -> None:
    """An entry alone is one PUT and one GET; a thousand that wait together are a few batches (I14)."""
    store = JournalCounts()
    with Node.start(store) as node:
        node.journal.replay()
        store.counts.clear()
        for _ in range(10):
            node.journal.append(b"alone")
        assert store.counts == {"Put": 10, "Get": 10}
        store.counts.clear()
        entries = [node.journal.append_nowait(b"together") for _ in range(1000)]
        assert [entry.result(60) for entry in entries] == list(range(11, 1011))
        assert store.counts["Put"] == store.counts["Get"] < 100
    assert "one PUT and one GET for each batch of entries" in PROSE


def test_the_policy_has_the_rights_that_the_store_uses() -> None:
    """The actions named are those that requests need, and the one that `doctor` asks for besides."""
    assert set(re.findall(r"s3:[A-Z]\w+", PROSE)) == {*_RIGHTS.values(), "s3:GetBucketVersioning"}
