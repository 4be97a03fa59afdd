"""A node's journal in a simulated life: what it was told is durable, against what its later incarnations find (I9).

Acknowledged means there, in order, once. Not acknowledged means there or not there, and never twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

import msgspec

from holocron.runtime.journaling import Journaling
from holocron.runtime.world import run
from holocron.state.journal import Author, Fenced, Spoilt
from holocron.store.chain import Trouble

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["Books", "Scribe"]


class Books:
    """What is known of every node's journal, from outside."""

    def __init__(self) -> None:
        # The longest prefix that any incarnation was handed out: it can never change again.
        self._found: dict[str, list[bytes]] = {}
        # By node and position: what was acknowledged there, and by which incarnation.
        self._acknowledged: dict[str, dict[int, tuple[bytes, int]]] = {}
        # By node: the newest incarnation that has opened it, and how many entries there were before its fence.
        self._opened: dict[str, tuple[int, int]] = {}

    def opened(self, process: Process, incarnation: int, entries: list[bytes]) -> Iterator[str]:
        """An incarnation was handed out `entries`, the whole journal before its own fence."""
        found = self._found.setdefault(process.node, [])
        both = min(len(found), len(entries))
        if found[:both] != entries[:both]:
            at = next(n for n in range(both) if found[n] != entries[n])
            yield f"{process.name} found {entries[at]!r} at position {at + 1}, where {found[at]!r} was found before"
        if len(set(entries)) != len(entries):
            yield f"{process.name} found an entry twice"
        for position, (entry, by) in self._acknowledged.get(process.node, {}).items():
            if by < incarnation and (position > len(entries) or entries[position - 1] != entry):
                there = entries[position - 1] if position <= len(entries) else None
                yield f"{process.name} found {there!r} at position {position}, where {entry!r} was acknowledged"
        if len(entries) > len(found):
            self._found[process.node] = entries
        self._opened[process.node] = max(self._opened.get(process.node, (0, 0)), (incarnation, len(entries)))

    def acknowledged(self, process: Process, incarnation: int, position: int, entry: bytes) -> Iterator[str]:
        """An incarnation was told that `entry` is durable at `position`."""
        found = self._found.get(process.node, [])
        newest, before_fence = self._opened.get(process.node, (0, 0))
        if incarnation < newest and position > before_fence:
            yield f"{process.name} was told of position {position}, behind the fence of incarnation {newest}"
        mine = self._acknowledged.setdefault(process.node, {})
        if position <= len(found) and found[position - 1] != entry:
            yield f"{process.name} was told of {entry!r} at {position}, where {found[position - 1]!r} was found"
        if mine.get(position, (entry, 0))[0] != entry:
            yield f"{process.name} was told of {entry!r} at {position}, where {mine[position][0]!r} was acknowledged"
        if position > 1 and position - 1 > len(found) and position - 1 not in mine:
            yield f"{process.name} was told of position {position} before {position - 1}"
        mine[position] = (entry, incarnation)


class Scribe:
    """The journal of one process: opened, appended to, checkpointed, at random times."""

    def __init__(self, life: Life, process: Process, incarnation: int) -> None:
        self._life = life
        self._process = process
        self._incarnation = incarnation
        self._random = Random(f"{life.report.seed}/{process.name}")
        self._entries: list[bytes] = []
        self._durable = 0
        self._number = 0
        self._checkpointing = False
        # With retention at its most greedy there are checkpoints all the time, for only they let slots go.
        self._checkpoint_chance = 0.6 if life.misfortune.greed else 0.1
        cluster = life.chronicle.cluster
        assert cluster is not None
        author = Author(cluster, process.node, incarnation)
        self.journal = Journaling(process, process.home, author, process.settings, self._ended)

    def begin(self) -> None:
        """Open the journal, again and again until the store lets it."""
        self._entries = []
        run(self._process, self.journal.open(self._restore, self._consume), self._opened)

    def _restore(self, snapshot: bytes, position: int) -> None:
        self._entries = msgspec.msgpack.decode(snapshot, type=list[bytes])
        if len(self._entries) != position:
            self._life.violate("I9", f"{self._process.name} restored {len(self._entries)} entries of {position}")

    def _consume(self, position: int, entry: bytes) -> None:
        self._entries.append(entry)
        if len(self._entries) != position:
            self._life.violate("I9", f"{self._process.name} was handed position {position} as {len(self._entries)}")

    def _opened(self, outcome: Fenced | Spoilt | Trouble | None) -> None:
        process, life = self._process, self._life
        match outcome:
            case Trouble():
                process.call_later(0.5 * process.settings.ttl_s, self.begin)
            case Spoilt(error=error):
                life.say(process.name, "journal is spoilt: %s", error)
                if life.chronicle.betrayed_s is None:
                    life.violate("I9", f"{process.name} found its journal spoilt: {error}")
            case Fenced(error=error):
                life.say(process.name, "journal is fenced: %s", error)
            case None:
                life.say(process.name, "journal is open, %s entries", len(self._entries))
                self._durable = len(self._entries)
                self._complain(life.books.opened(process, self._incarnation, list(self._entries)))
                self._tick()

    def _tick(self) -> None:
        """Some entries at once, now and then, and a checkpoint in a while."""
        process, life = self._process, self._life
        if process.stopped is not None:
            return
        process.call_later(self._random.expovariate(2 / process.settings.ttl_s), self._tick)
        later_s = 0.0
        for _ in range(self._random.choice([1, 1, 2, 5])):
            if self._random.random() < 0.5:
                # A batch of its own: several are in flight then.
                later_s += self._random.random() * 2 * life.network.round_trip_s
            if later_s:
                process.call_later(later_s, self._append)
            else:
                self._append()
        if self._random.random() < self._checkpoint_chance and not self._checkpointing and self._durable:
            self._checkpointing = True
            snapshot = msgspec.msgpack.encode(self._entries[: self._durable])
            run(process, self.journal.checkpoint(snapshot, self._durable), self._checkpointed)

    def _append(self) -> None:
        self._number += 1
        entry = f"{self._process.name}/{self._number}".encode()
        # A journal that has ended says so before it gives a position.
        given: list[int] = []
        given.append(self.journal.append(entry, lambda end: self._settled(given, entry, end)))

    def _checkpointed(self, outcome: object) -> None:
        self._checkpointing = False
        self._life.say(self._process.name, "checkpoint: %s", type(outcome).__name__)

    def _settled(self, given: list[int], entry: bytes, end: Fenced | Spoilt | None) -> None:
        if end is not None or self._process.ended_s is not None:
            return
        self._durable += 1
        if given != [self._durable]:
            self._life.violate(
                "I9", f"{self._process.name} was told of {entry!r} at {given}, after {self._durable - 1}"
            )
        self._entries.append(entry)
        self._life.report.appended += 1
        self._complain(self._life.books.acknowledged(self._process, self._incarnation, self._durable, entry))

    def _ended(self, end: Fenced | Spoilt) -> None:
        self._life.say(self._process.name, "journal ends: %s", end.error)
        if isinstance(end, Spoilt) and self._life.chronicle.betrayed_s is None:
            self._life.violate("I9", f"{self._process.name}: {end.error}")

    def _complain(self, complaints: Iterator[str]) -> None:
        for what in complaints:
            if self._life.chronicle.betrayed_s is None:
                self._life.violate("I9", what)
