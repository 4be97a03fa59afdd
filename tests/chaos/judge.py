"""Reads what the processes wrote down and what the bucket holds, and says what cannot be: no part of the product.

It knows nothing of the protocol but the invariants, and takes its evidence from outside the processes that are judged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from holocron.layout import CLUSTER, EPOCHS, HISTORY, number_of
from holocron.records import Epoch, Genesis, History, decode
from holocron.store.base import Found, Get, List, Listed, Store

__all__ = ["Belief", "Verdict", "beliefs", "chain_of", "judge", "read_evidence"]


class Belief(msgspec.Struct, frozen=True):
    """From `since_s` to `until_s` at the least, process `pid` held the lease of `term`."""

    node: str
    pid: int
    term: int
    since_s: float
    until_s: float
    asked: int


class Verdict(msgspec.Struct):
    """What was looked at, and what cannot be."""

    beliefs: int = 0
    answers: int = 0
    terms: int = 0
    epochs: int = 0
    published: int = 0
    incarnations: int = 0
    wrong: list[str] = msgspec.field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.terms} terms, {self.epochs} epochs, {self.incarnations} incarnations, {self.published} values "
            f"acknowledged, {self.beliefs} beliefs checked by {self.answers} answers of leases, {len(self.wrong)} wrong"
        )


def read_evidence(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Every whole line, in the order of the machine's clock."""
    lines: list[dict[str, Any]] = []
    for path in paths:
        for line in path.read_bytes().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                # The process was killed in the middle of its last line.
                continue
    return sorted(lines, key=lambda line: line["at"])


def beliefs(evidence: list[dict[str, Any]]) -> list[Belief]:
    """A lease that was valid at one asking and at a later one was held all the while between."""
    asked: dict[tuple[str, int, int], list[dict[str, Any]]] = defaultdict(list)
    for line in evidence:
        if line["what"] == "believed":
            asked[line["node"], line["pid"], line["term"]].append(line)
    return [
        # The first answer was given before `after`, and the last one after `before`.
        Belief(node, pid, term, lines[0]["after"], max(lines[0]["after"], lines[-1]["before"]), len(lines))
        for (node, pid, term), lines in asked.items()
    ]


def chain_of(store: Store) -> dict[int, Epoch]:
    """Every epoch that the bucket holds, in the chain or in the history."""
    genesis = store.perform(Get(CLUSTER), 10.0)
    assert isinstance(genesis, Found), genesis
    cluster = decode(Genesis, genesis.body, CLUSTER).cluster
    found: dict[int, Epoch] = {}
    for key, body in _under(store, HISTORY):
        for past in decode(History, body, key, cluster).epochs:
            if past.record is not None:
                found[past.epoch] = past.record
    for key, body in _under(store, EPOCHS):
        number = number_of(EPOCHS, key)
        assert number is not None
        record = decode(Epoch, body, key, cluster)
        # An orphan below the floor is no part of the chain; what the history has stands.
        found.setdefault(number, record)
    return found


def _under(store: Store, prefix: str) -> Iterator[tuple[str, bytes]]:
    after: str | None = None
    while True:
        page = store.perform(List(prefix, after), 10.0)
        assert isinstance(page, Listed), page
        for entry in page.entries:
            answer = store.perform(Get(entry.key), 10.0)
            assert isinstance(answer, Found), answer
            yield entry.key, answer.body
        if not page.more:
            return
        after = page.entries[-1].key


def judge(evidence: list[dict[str, Any]], chain: dict[int, Epoch]) -> Verdict:
    """The verdict on I1, I2, I3, I5, I7 and I9."""
    held = beliefs(evidence)
    verdict = Verdict(beliefs=len(held), answers=sum(belief.asked for belief in held), epochs=len(chain))
    verdict.terms = len({epoch.term for epoch in chain.values()})
    verdict.wrong += [f"I1: {what}" for what in _exclusion(held)]
    verdict.wrong += [f"I5: {what}" for what in _whole(chain)]
    verdict.wrong += [f"I3: {what}" for what in _one_winner(held, evidence, chain)]
    published = [line for line in evidence if line["what"] == "published"]
    verdict.published = len(published)
    verdict.wrong += [f"I2: {what}" for what in _fenced(published, evidence, chain)]
    verdict.wrong += [f"I10: {what}" for what in _never(evidence, chain)]
    verdict.wrong += [f"I7: {what}" for what in _no_way_back(evidence)]
    aboard = [line for line in evidence if line["what"] == "aboard"]
    verdict.incarnations = len(aboard)
    verdict.wrong += [f"I9: {what}" for what in _incarnations(aboard)]
    return verdict


def _exclusion(held: list[Belief]) -> Iterator[str]:
    last: Belief | None = None
    for belief in sorted(held, key=lambda one: one.since_s):
        if last is not None and belief.since_s < last.until_s and belief.pid != last.pid:
            both_s = min(last.until_s, belief.until_s) - belief.since_s
            yield (
                f"{last.node} ({last.pid}, term {last.term}) and {belief.node} ({belief.pid}, term {belief.term}) "
                f"both believed for {both_s * 1000:.1f} ms from {belief.since_s:.3f}"
            )
        if last is None or belief.until_s > last.until_s:
            last = belief


def _whole(chain: dict[int, Epoch]) -> Iterator[str]:
    for number in range(1, max(chain, default=0) + 1):
        record = chain.get(number)
        if record is None:
            yield f"epoch {number} is neither in the chain nor in the history"
        elif number - 1 in chain and record.previous != chain[number - 1].nonce:
            yield f"epoch {number} does not name epoch {number - 1} as its predecessor"
        if record is not None and number - 1 in chain and record.term < chain[number - 1].term:
            yield f"epoch {number} has term {record.term}, after term {chain[number - 1].term}"


def _one_winner(held: list[Belief], evidence: list[dict[str, Any]], chain: dict[int, Epoch]) -> Iterator[str]:
    of_process = {line["pid"]: line["incarnation"] for line in evidence if line["what"] == "aboard"}
    owners: dict[int, int] = {}
    for belief in held:
        other = owners.setdefault(belief.term, belief.pid)
        if other != belief.pid:
            yield f"processes {other} and {belief.pid} both led term {belief.term}"
        record = chain.get(belief.term)
        if record is None:
            yield f"{belief.node} led term {belief.term}, which is not in the chain"
        elif (record.leader.node, record.leader.incarnation) != (belief.node, of_process.get(belief.pid)):
            yield f"{belief.node} ({belief.pid}) led term {belief.term}, which is {record.leader.node}'s"


def _fenced(published: list[dict[str, Any]], evidence: list[dict[str, Any]], chain: dict[int, Epoch]) -> Iterator[str]:
    terms = {line["value"]: line["term"] for line in evidence if line["what"] == "publishing"}
    for line in published:
        record = chain.get(line["epoch"])
        there = record.published.value.decode() if record is not None and record.published is not None else None
        writer, number = line["value"].rsplit("/", 1)
        # A later value of the same process may have overwritten it in the same breath.
        if record is None or there is None or there.rsplit("/", 1)[0] != writer:
            yield f"{line['value']} was acknowledged in epoch {line['epoch']}, which publishes {there}"
        elif int(there.rsplit("/", 1)[1]) < int(number):
            yield f"{line['value']} was acknowledged in epoch {line['epoch']}, which publishes the older {there}"
        elif record.term < terms[line["value"]]:
            yield f"{line['value']} of term {terms[line['value']]} was acknowledged in term {record.term}"


def _never(evidence: list[dict[str, Any]], chain: dict[int, Epoch]) -> Iterator[str]:
    there = {record.published.value.decode() for record in chain.values() if record.published is not None}
    for line in evidence:
        if line["what"] == "publish refused" and line["value"] in there:
            yield f"{line['value']} was refused and is published"


def _no_way_back(evidence: list[dict[str, Any]]) -> Iterator[str]:
    seen: dict[int, tuple[int, int]] = {}
    for line in evidence:
        if line["what"] != "saw":
            continue
        epoch, term = seen.get(line["pid"], (0, 0))
        if line["epoch"] < epoch or line["term"] < term:
            yield f"{line['node']} saw epoch {epoch} (term {term}) and then {line['epoch']} (term {line['term']})"
        seen[line["pid"]] = (line["epoch"], line["term"])


def _incarnations(aboard: list[dict[str, Any]]) -> Iterator[str]:
    last: dict[str, int] = {}
    for line in aboard:
        before = last.get(line["node"], 0)
        if line["incarnation"] <= before:
            yield f"{line['node']} came aboard as incarnation {line['incarnation']} after {before}"
        last[line["node"]] = line["incarnation"]
