"""Someone who reads the published value from the store itself, now and then, as a client of the cluster would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holocron.errors import RecordUnreadable
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.records import Epoch, decode
from holocron.runtime.world import run
from holocron.store.base import Deadline, Found, Procedure
from holocron.store.chain import Chain, Head
from holocron.testing.simulation.process import Process
from holocron.testing.simulation.register import Operation
from holocron.testing.simulation.timeline import ProcessClock

if TYPE_CHECKING:
    from random import Random

    from holocron.testing.simulation.run import Life

__all__ = ["Reader"]


class _Client(Process):
    """A process that takes part in nothing and survives everything."""

    def kill(self, why: str, *, in_order: bool = False) -> None:
        """It lives on: what it was doing goes on too, as if it had been asked once more."""


class Reader:
    """Reads the head of the chain and what it publishes, at random times, over the same bad network."""

    def __init__(self, life: Life) -> None:
        from random import Random

        self._life = life
        self._random: Random = Random(life.random.getrandbits(64))

    def begin(self) -> None:
        """Read for as long as the life lasts."""
        life = self._life
        clock = ProcessClock(life.timeline, 1.0, 0.0)
        # Not one of the cluster's processes: it takes part in nothing.
        process = _Client(life, "reader", 0, clock, life.settings(life.nodes[0]), life.store, self._random, 0, False)
        self._next(process)

    def _next(self, process: Process) -> None:
        process.call_later(self._random.expovariate(1 / self._life.ttl_s), lambda: self._read(process))

    def _read(self, process: Process) -> None:
        began_s = self._life.timeline.now_s
        cluster = self._life.chronicle.cluster
        self._next(process)
        if cluster is None:
            return

        def done(found: tuple[int, bytes | None] | None) -> None:
            if found is not None:
                now_s = self._life.timeline.now_s
                self._life.operated(Operation("read", "reader", began_s, now_s, *found))

        run(process, self._look(process, cluster), done)

    def _look(self, process: Process, cluster: str) -> Procedure[tuple[int, bytes | None] | None]:
        chain = Chain(self._life.store, EPOCHS, EPOCH_FLOOR, cluster)
        deadline = Deadline(process.now(), self._life.ttl_s, self._life.ttl_s / 5)
        head = yield from chain.head(None, deadline)
        if not isinstance(head, Head):
            return None
        reply = yield from chain.read(head.number, deadline)
        if not isinstance(reply.answer, Found):
            return None
        try:
            record = decode(Epoch, reply.answer.body, chain.key(head.number), cluster)
        except RecordUnreadable:
            return None
        published = record.published
        return (published.epoch, published.value) if published is not None else (0, None)
