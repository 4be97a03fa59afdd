"""Guardians in a simulated life: what each is told by the process that it guards, and what it does when that one dies.

In every other life processes have one. It hears the words that are said in production and runs the procedure that
ships, over the same bad network. All that is drawn for guardians comes from a source of chance of its own, so that the
lives without them are what they would be if there were none.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.protocol.guarding import PATIENCE_S, verdict
from holocron.records import Epoch
from holocron.runtime.guarding.releasing import release
from holocron.runtime.guarding.words import Charges, Entrusted, word_of
from holocron.runtime.notices import Notice
from holocron.runtime.world import run
from holocron.store.base import Deadline
from holocron.store.chain import Chain
from holocron.store.opening import StoreOptions
from holocron.testing.simulation.process import Process
from holocron.testing.simulation.timeline import ProcessClock

if TYPE_CHECKING:
    from holocron.testing.simulation.run import Life

__all__ = ["Guards"]

# The number of a process that has a guardian, and of whoever inherits its children.
_GUARDED, _INIT = 2, 1
# How soon after something has happened a guardian asks what it is to do.
_SOON_S = 0.01


class Guards:
    """Gives processes their guardians, and draws how those fare."""

    def __init__(self, life: Life, seed: int) -> None:
        self._life = life
        self._random = Random(f"guardians/{life.regime}/{seed}")
        self._guardians: dict[str, _Guardian] = {}
        self.on = self._random.random() < 0.5
        #: How many releases guardians have written.
        self.releases = 0
        # Where processes crash, leaders crash more often than the seed's misfortune has it: it is what this is about.
        self._crashing = self.on and "crash" in life.misfortune.world

    def begin(self) -> None:
        """From now on leaders crash."""
        if self._crashing:
            self._life.timeline.after(self._random.expovariate(1 / (3 * self._life.ttl_s)), self._crash)

    def calm(self) -> None:
        """The last fault is over."""
        self._crashing = False

    def _crash(self) -> None:
        leader = next((one for one in self._life.processes if one.alive and one.leading and not one.halted), None)
        if self._crashing and leader is not None:
            leader.kill("SIGKILL")
        self.begin()

    def entrust(self, process: Process, incarnation: int, cluster: str) -> None:
        """`process` is aboard and has a guardian from now on, in a life that has them."""
        if not self.on or self._random.random() < 0.1:
            return
        guardian = _Guardian(self._life, process, incarnation, cluster, Random(self._random.getrandbits(64)))
        self._guardians[process.name] = guardian
        if self._random.random() < 0.3:
            # It closes its descriptors and lives on.
            closing_s = self._random.expovariate(1 / (4 * process.settings.ttl_s))
            self._life.timeline.after(closing_s, lambda: guardian.enter(guardian.cut_off))

    def noticed(self, process: Process, notice: Notice) -> None:
        """The engine of `process` told it something, and it may have to tell its guardian."""
        guardian = self._guardians.get(process.name)
        if guardian is not None:
            guardian.enter(lambda: guardian.hear(notice))

    def died(self, process: Process, *, in_order: bool) -> None:
        """`process` has ended: its guardian finds out, sooner or later, unless the process has ended it `in_order`."""
        guardian = self._guardians.pop(process.name, None)
        if guardian is None:
            return
        if in_order or self._random.random() < 0.2:
            guardian.kill("it is dismissed" if in_order else "its host dies too")
            return
        ttl_s = process.settings.ttl_s
        late_s = self._random.choice([_SOON_S, _SOON_S, _SOON_S, 0.3 * ttl_s, ttl_s, 3 * ttl_s, 20 * ttl_s])
        self._life.timeline.after(self._random.uniform(0, late_s), lambda: guardian.enter(guardian.ask))

    def released(self, guardian: Process, record: Epoch | None) -> None:
        """A guardian has done what it is there for."""
        self._life.say(guardian.name, "releases: %s", record.epoch if record is not None else None)
        self.releases += record is not None


class _Guardian(Process):
    """A process beside another one, on the same machine; what may become of any request may become of its own."""

    def __init__(self, life: Life, ward: Process, incarnation: int, cluster: str, random: Random) -> None:
        clock = ProcessClock(life.timeline, ward.clock.rate, random.uniform(0, 2e9))
        super().__init__(life, ward.node, 0, clock, ward.settings, ward.home, random, 0, False)
        self.name = f"{ward.name}'s guardian"
        self.session = ward.session
        self.ward = ward
        self._cluster = cluster
        self._charges = Charges()
        # One in four hears no more than its first few words: it is starved, or the line is full.
        self._hears = random.randint(1, 20) if random.random() < 0.25 else -1
        self._cut_off_at_s: float | None = None
        self._charges.hear(
            Entrusted(
                number=1,
                uri=life.store.uri,
                options=StoreOptions(),
                cluster=cluster,
                node=ward.node,
                incarnation=incarnation,
                session=ward.session,
                ttl_s=ward.settings.ttl_s,
                attempt_s=ward.settings.attempt_s,
            )
        )

    def hear(self, notice: Notice) -> None:
        """The process has told it of `notice`, unless the line is closed."""
        word = word_of(1, notice)
        if word is not None and self._cut_off_at_s is None and self._hears != 0:
            self._hears -= 1
            self._charges.hear(word)

    def cut_off(self) -> None:
        """The line is closed, for whatever reason."""
        self._cut_off_at_s = self.now().mono_s
        self._life.say(self.name, "hears no more")
        self.call_later(_SOON_S, self.ask)
        self.call_later(PATIENCE_S, self.ask)

    def ask(self) -> None:
        """Find out what to do, and do it."""
        cut_off_s = 0.0 if self._cut_off_at_s is None else self.now().mono_s - self._cut_off_at_s
        assert self.ward is not None
        decided = verdict(_GUARDED, _GUARDED if self.ward.alive else _INIT, cut_off_s)
        if decided == "leave":
            self.kill("nobody tells it anything")
        if decided != "release":
            return
        chain = Chain(self._life.store, EPOCHS, EPOCH_FLOOR, self._cluster)
        for whose, charge in self._charges.leading():
            deadline = Deadline(self.now(), whose.ttl_s, whose.attempt_s)
            run(self, release(chain, charge, self.now, self.nonce, deadline), self._released)

    def _released(self, record: Epoch | None) -> None:
        self._life.guards.released(self, record)
        self.kill("its work is done")

    def kill(self, why: str, *, in_order: bool = False) -> None:
        """It ends at this instant; nobody guards a guardian."""
        if self.ended_s is None:
            self._life.say(self.name, "ends: %s", why)
            self.ended_s = self._life.timeline.now_s
