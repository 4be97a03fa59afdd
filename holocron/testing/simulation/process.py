"""One simulated process: it comes aboard as a node, runs the engine that ships, and believes what its lease says."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from holocron.clock import Instant, stamp
from holocron.errors import HolocronError
from holocron.protocol.messages import (
    AskedToPublish,
    BeliefLapsed,
    HeadChanged,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    Reason,
    SettlePublish,
    StandingChanged,
    Tenure,
)
from holocron.records import Genesis, Holder
from holocron.runtime.boarding import Aboard, Claim, enlist, found_cluster, look_back, revive
from holocron.runtime.engine import Engine
from holocron.runtime.lease import Lease
from holocron.runtime.notices import NewerIncarnation, Notice, StoodDown, StoreLost, StoreRegained, Unreadable
from holocron.runtime.world import run
from holocron.settings import Settings
from holocron.store.base import Answer, Deadline, Procedure, Request, Store
from holocron.testing.simulation.scribe import Scribe
from holocron.testing.simulation.timeline import ProcessClock

if TYPE_CHECKING:
    from holocron.testing.simulation.run import Life

__all__ = ["Process"]

_BOARDING_S = 30.0
_TIMER_GRAIN_S = 1e-6


class Process:
    """A process on a machine of its own: a `World` for the engine, with clocks, timers and requests that may fail.

    It is `running`, `halted` (nothing of it runs; what it would hear waits) or ended.
    """

    def __init__(
        self,
        life: Life,
        node: str,
        number: int,
        clock: ProcessClock,
        settings: Settings,
        home: Store,
        random: Random,
        priority: int,
        assume_dead: bool,
    ) -> None:
        self.node = node
        self.name = f"{node}#{number}"
        self.clock = clock
        self.settings = settings
        self.home = home
        self.priority = priority
        self.assume_dead = assume_dead
        self.began = clock.now()
        self.began_s = life.timeline.now_s
        self.ended_s: float | None = None
        self.halted = False
        self.leaving = False
        # up, cut (neither way), mute (its requests are lost), deaf (its answers are).
        self.link = "up"
        self.engine: Engine | None = None
        self.lease: Lease | None = None
        self.leading = False
        self._tenure: Tenure | None = None
        self.stopped: Reason | None = None
        self.incarnation: int | None = None
        self.session = ""
        # Whom it guards, where it is a guardian.
        self.ward: Process | None = None
        # By ticket: the value, and the term in which it was handed in.
        self.publishings: dict[int, tuple[bytes, int]] = {}
        # The newest epoch that it knows, and the one that it knew when the store lost it behind its back, or 0.
        self.seen_epoch = 0
        self.lost_epoch = 0
        self._life = life
        self._random = random
        self._held: list[Callable[[], None]] = []
        self._ticket = 0

    # --- what the engine asks of its world --------------------------------------------------------------------------

    def now(self) -> Instant:
        return self.clock.now()

    def nonce(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        if self.ended_s is None:
            self._life.network.send(self, store, request, timeout_s, done)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        # No timer is finer than this, and a float could not hold a much smaller step at all.
        delay_s = max(_TIMER_GRAIN_S, delay_s) if delay_s > 0 else 0.0
        due_s = self.clock.now().mono_s + delay_s

        def ring() -> None:
            if self.halted:
                self._held.append(ring)
                return
            left_s = due_s - self.clock.now().mono_s
            if left_s > 1e-9:
                # The machine slept meanwhile, and its timers with it.
                self._life.timeline.after(left_s / self.clock.rate, ring)
                return
            self.enter(call)

        self._life.timeline.after(delay_s / self.clock.rate, ring)

    # --- running, halting, ending -----------------------------------------------------------------------------------

    def enter(self, call: Callable[[], None]) -> None:
        """Have the process carry out `call` now, or when it runs again, or never if it has ended."""
        if self.ended_s is not None:
            return
        if self.halted:
            self._held.append(call)
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever a process dies of is a finding (I12)
            trace = traceback.extract_tb(error.__traceback__)[-1]
            self._life.violate("I12", f"{self.name} crashed: {error!r} at {trace.name}:{trace.lineno}")
            self.kill("its engine raised")

    def halt(self) -> None:
        """Nothing of this process runs from now on, and what it would hear waits."""
        self.halted = True

    def thaw(self) -> None:
        """It runs again, and hears at once all that has waited."""
        self.halted = False
        held, self._held = self._held, []
        for call in held:
            self.enter(call)

    def kill(self, why: str, *, in_order: bool = False) -> None:
        """It ends at this instant and says nothing to anyone; `in_order` says that it needs no guardian for that."""
        if self.ended_s is None:
            self._life.say(self.name, "ends: %s", why)
            self.ended_s = self._life.timeline.now_s
            self._life.guards.died(self, in_order=in_order)

    @property
    def alive(self) -> bool:
        """Whether it has not ended; a halted process is alive."""
        return self.ended_s is None

    # --- what it believes -------------------------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether it was given a lease that nobody has ended: what it believes is then for its clock to say."""
        return self.ended_s is None and self.lease is not None and self.lease.reason is None

    @property
    def believes(self) -> bool:
        """What the application would be told if it asked now. Asked on a copy, for asking is itself an event."""
        if self.lease is None or self.lease.reason is not None or self.halted or self.ended_s is not None:
            return False
        return self.unexpired

    @property
    def unexpired(self) -> bool:
        """Whether the lease that it was given last still runs by its own clocks, ended early or not."""
        return self._tenure is not None and Lease(self._tenure, self.clock, self.node, lambda: None).valid

    @property
    def term(self) -> int | None:
        """The fencing token that it would write with."""
        return self.lease.token if self.lease is not None else None

    @property
    def unaware(self) -> bool:
        """Whether the store lost what this process had seen, and the process goes on."""
        return self.lost_epoch > 0 and self.alive and self.stopped is None

    # --- its life ---------------------------------------------------------------------------------------------------

    def board(self, resume: bool) -> None:
        """Come aboard as a new node, or as the next incarnation of one that was."""
        self.session = self.nonce()
        store = self._life.store
        deadline = Deadline(self.now(), _BOARDING_S, max(self.settings.attempt_s, 2.0))

        def aboard() -> Procedure[tuple[Genesis, Aboard] | str]:
            try:
                now = stamp(self.now().wall_s)
                holder = Holder(host=self.name, pid=1, since=now)
                claim = Claim(self.session, holder, store.uri, self.node, "", {}, self.priority)
                if resume:
                    back = yield from look_back(store, self.home, self.settings, self.node, deadline)
                    if back.genesis is None:
                        return "its cluster is elsewhere"
                    genesis = back.genesis
                    found = yield from revive(self.home, back, claim, self.nonce, deadline)
                else:
                    genesis, _ = yield from found_cluster(store, self.settings, self.nonce, now, deadline)
                    found = yield from enlist(store, self.home, genesis, self.node, claim, self.nonce, deadline)
            except HolocronError as error:
                return f"{type(error).__name__}: {error}"
            return genesis, found

        self.enter(lambda: run(self, aboard(), self._aboard))

    def _aboard(self, found: tuple[Genesis, Aboard] | str) -> None:
        if isinstance(found, str):
            self._life.say(self.name, "does not come aboard: %s", found)
            self.kill("it did not come aboard")
            return
        genesis, aboard = found
        self.incarnation = aboard.identity.incarnation
        self._life.say(self.name, "is aboard as incarnation %s, last epoch %s", self.incarnation, aboard.last_epoch)
        self._life.guards.entrust(self, self.incarnation, genesis.cluster)
        ttl_max_s = genesis.ttl_max_ms / 1000
        self.engine = Engine(
            self, self._life.store, self.home, aboard, self.settings, ttl_max_s, self._notice,
            assume_dead=self.assume_dead, hints=self._life.post.place(self) if self._life.post is not None else None,
        )  # fmt: skip
        self.engine.start()
        # Whoever has priority 0 stands in vain (rule 8).
        self.engine.feed(StandingChanged(True))
        if self._life.journaling:
            Scribe(self._life, self, self.incarnation).begin()
        self._tick()

    def _tick(self) -> None:
        """The application at work: now and then it asks whether it leads, and publishes."""
        if self.engine is None or self.stopped is not None:
            return
        self.call_later(self._random.expovariate(1 / self.settings.ttl_s), self._tick)
        if self.lease is not None and self.lease.valid and self._random.random() < self._life.publishing:
            self.publish()

    def publish(self) -> None:
        """The application publishes a value that is like no other."""
        if self.engine is None or self.lease is None:
            return
        self._ticket += 1
        value = f"{self.name}/{self._ticket}".encode()
        self.publishings[self._ticket] = (value, self.lease.token)
        self._life.publish_began(self, self._ticket)
        self.engine.feed(AskedToPublish(Publishing(self._ticket, value)))

    def release(self, heir: str | None) -> None:
        """The application hands over: it ends its belief and drains its work, or leaves all that to the engine."""
        engine, lease = self.engine, self.lease
        if engine is None or lease is None or not lease.valid:
            return
        if self._random.random() < 0.5:
            engine.release(heir)
            return
        lease.end(Reason.RELEASED)
        self.call_later(self._random.uniform(0.0, self.settings.ttl_s), lambda: engine.release(heir))

    def leave(self) -> None:
        """The process shuts down in good order: it hands over, and has a lease's time for that."""
        engine = self.engine
        if engine is None:
            self.kill("it is told to stop")
            return
        self.leaving = True
        self._life.say(self.name, "is told to stop")
        self.release(None)
        engine.feed(StandingChanged(False))
        self.call_later(self.settings.ttl_s, lambda: engine.close(self._gone))

    def _gone(self) -> None:
        self.kill("it has said goodbye", in_order=True)

    # --- what the engine tells --------------------------------------------------------------------------------------

    def _notice(self, notice: Notice) -> None:
        if self.ended_s is not None:
            return
        if isinstance(notice, SettlePublish) and notice.ticket == 0:
            # An operator's pause: nobody here waits to hear of it.
            return
        self._life.noticed(self, notice)
        self._life.guards.noticed(self, notice)
        match notice:
            case NoteTenureBegan(tenure=tenure):
                self.leading, self._tenure = True, tenure
                self.lease = Lease(tenure, self.clock, self.node, self._lapsed)
                if self not in self._life.holding:
                    self._life.holding.append(self)
            case NoteTenureRenewed(tenure=tenure):
                self._tenure = tenure
                over = self.lease is not None and self.lease.reason is not None
                if self.lease is not None and self.lease.extend(tenure) and over:
                    self._life.violate("rule 6", f"{self.name} has term {tenure.term} again, which was over")
            case NoteTenureEnded(reason=reason):
                self.leading = False
                if self.lease is not None:
                    self.lease.end(reason)
            case HeadChanged(seen=seen):
                self.seen_epoch = max(self.seen_epoch, seen.epoch)
            case StoodDown(heir=heir):
                self.call_later(self._random.random() * 0.1, lambda: self.release(heir))
            case NoteStopped(reason=reason):
                self.stopped = reason
                if self.engine is not None:
                    self.engine.quit()
            case SettlePublish() | NoteReleased() | StoreLost() | StoreRegained() | Unreadable() | NewerIncarnation():
                pass

    def _lapsed(self) -> None:
        engine = self.engine
        if engine is not None:
            self.call_later(0.0, lambda: engine.feed(BeliefLapsed()))
