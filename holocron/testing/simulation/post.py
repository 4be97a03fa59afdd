"""Hints between simulated processes: datagrams that are lost, late, doubled, replayed, forged, and sent in floods."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from holocron.runtime.hinter import Send
from holocron.runtime.hinting import Hint, Kind, datagram, topic, understood

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["Post"]

# How many of those that were sent a stranger keeps, to send them again.
_KEPT = 50


class Post:
    """Carries hints, or does not. All that it draws is drawn from a generator of its own.

    What a stranger sends is whatever anyone who knows the cluster could: epochs that are not there, old datagrams,
    noise; now and then, and in some lives all the time and more often than anybody could read.
    """

    def __init__(self, life: Life, random: Random) -> None:
        self._life = life
        self._random = random
        self._places: dict[str, Process] = {}
        self._sent: list[bytes] = []
        self._lost = random.choice([0.0, 0.1, 0.5, 1.0])
        self._twice = random.choice([0.0, 0.2])
        self._slow_s = random.choice([0.001, 0.01, life.ttl_s])
        # Between two of a stranger's datagrams, on the average.
        self._forged_every_s = life.ttl_s * random.choice([1000.0, 1.0, 0.1, 0.005])

    def begin(self) -> None:
        """A stranger begins to send."""
        self._life.timeline.after(self._random.expovariate(1 / self._forged_every_s), self._forge)

    def place(self, process: Process) -> tuple[str, Send]:
        """Where `process` listens from now on, and what it sends by."""
        address = f"192.0.2.{len(self._places) % 250 + 1}:{7000 + len(self._places)}"
        self._places[address] = process

        def send(addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = "") -> int:
            sent = 0
            for there in addresses:
                sent += 1
                self._carry(there, datagram(Hint(topic(cluster, node), kind, number)))
            return sent

        return address, send

    def _carry(self, address: str, data: bytes) -> None:
        self._sent = [*self._sent[-_KEPT:], data]
        if self._random.random() < self._lost:
            self._count("hint_lost")
            return
        self._life.timeline.after(self._delay_s(), lambda: self._arrive(address, data))
        if self._random.random() < self._twice:
            self._count("hint_twice")
            self._life.timeline.after(self._delay_s(), lambda: self._arrive(address, data))

    def _delay_s(self) -> float:
        return self._random.expovariate(1 / self._slow_s)

    def _arrive(self, address: str, data: bytes) -> None:
        process = self._places[address]
        hint, cluster = understood(data), self._life.chronicle.cluster
        if hint is None or cluster is None or hint.topic not in (topic(cluster), topic(cluster, process.node)):
            return

        def hear() -> None:
            if process.engine is not None and process.stopped is None:
                process.engine.hinted(hint.kind, hint.number)

        process.enter(hear)

    def _forge(self) -> None:
        self._life.timeline.after(self._random.expovariate(1 / self._forged_every_s), self._forge)
        cluster, newest = self._life.chronicle.cluster, self._life.chronicle.newest
        if cluster is None or not self._places:
            return
        self._count("hint_forged")
        number = self._random.choice([max(1, newest), newest + 1, newest + 2, newest + 1000, 2**53 - 1])
        kind: Kind = self._random.choice(["news", "control"])
        data = datagram(Hint(topic(cluster), kind, number))
        if self._sent and self._random.random() < 0.3:
            data = self._random.choice(self._sent)
        elif self._random.random() < 0.1:
            data = self._random.randbytes(self._random.randint(0, 64))
        self._arrive(self._random.choice(list(self._places)), data)

    def _count(self, kind: str) -> None:
        self._life.report.misfortunes[kind] += 1
