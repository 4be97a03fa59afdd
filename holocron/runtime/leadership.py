"""Leadership as one node's application lives it: standing for election, holding the lease, handing over."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from holocron import events
from holocron.errors import HolocronError, LeadTimeout, NodeStopped
from holocron.protocol.messages import (
    BeliefLapsed,
    NoteElectionLost,
    NoteReleased,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Reason,
    SettlePublish,
    StandingChanged,
)
from holocron.records import Epoch
from holocron.runtime.engine import Engine
from holocron.runtime.lease import Lease
from holocron.runtime.loop import Loop
from holocron.runtime.notices import Notice, StoodDown
from holocron.runtime.publishing import Publisher
from holocron.runtime.telling import Announcer
from holocron.runtime.waiting import Promised, start, wait_for
from holocron.settings import Settings

__all__ = ["Held", "Leadership"]


class Held(NamedTuple):
    """Work that holds a lease, and has to be finished before the lease is released."""

    lease: Lease
    thread: int
    # Whether the tenure ends with the work, as it does with a body of `lead`; else it ends if nobody else wants it.
    ends: bool


class Leadership:
    """Between the threads of the application, which wait, and the engine on the loop's thread, which never does.

    A tenure ends in this order: belief first, then the work that holds the lease, then the release (rule 9).
    """

    def __init__(self, node: str, loop: Loop, engine: Engine, told: Announcer, settings: Settings) -> None:
        #: The lease of the tenure that stands or was last; None between two tenures.
        self.lease: Lease | None = None
        #: Values that wait to be published.
        self.publisher = Publisher(node, loop, engine, told)
        self._node = node
        self._loop = loop
        self._engine = engine
        self._told = told
        self._settings = settings
        self._changed = threading.Condition()
        self._holders: list[Held] = []
        # Threads whose work is over though they are inside a body: they stop the node.
        self._excused: set[int] = set()
        # Why it stands for election: in the background, and for each who waits, to be woken when `take` may succeed.
        self._campaigning = False
        self._waiting: list[Callable[[], None]] = []
        # Whether the log was told of a try whose end it has not been told of yet.
        self._trying = False
        # The lease whose end is under way here, so that it is told once and by one thread.
        self._draining: Lease | None = None
        self._retiring = False
        self._pid = os.getpid()
        self._over: HolocronError | None = None
        self._releases: list[Future[int | None]] = []

    # --- what the application asks ----------------------------------------------------------------------------------

    def campaign(self) -> None:
        """Stand for election until `withdraw`."""
        self._campaigning = True
        self._loop.post(self._restand)

    def withdraw(self, timeout: float | None) -> None:
        """Stand no more, and hand over if leading."""
        self._campaigning = False
        self._loop.post(self._restand)
        self.hand_over(None, timeout)

    def stand_aside(self) -> None:
        """Stand no more, ever; what is led is led on until `retire`."""
        with self._changed:
            self._retiring = True
            self._wake()
        self._loop.post(self._restand)

    def retire(self, timeout: float) -> None:
        """The node is about to stop: nobody waits for leadership any more, and it is handed over if held.

        The calling thread's own work is at this very call, so it is not waited for even inside a `lead` body.
        """
        with self._changed:
            self._retiring = True
            self._excused.add(threading.get_ident())
            self._wake()
        self._loop.post(self._restand)
        self._hand_over(None, timeout)

    @contextlib.contextmanager
    def hold(self, timeout: float | None, *, ends: bool = True) -> Iterator[Lease]:
        """Wait for leadership, hold it for the body; where several bodies hold one lease, the last one out releases."""
        held = self._await_lease(timeout, ends)
        try:
            yield held.lease
        finally:
            if self.leave(held):
                self.release(held.lease)

    @contextlib.contextmanager
    def standing(self, wake: Callable[[], None]) -> Iterator[None]:
        """Stand for election; `wake` is called, on any thread, whenever `take` may have another answer than before."""
        if os.getpid() != self._pid:
            raise NodeStopped(f"node {self._node} has stopped")
        with self._changed:
            self._waiting.append(wake)
        self._loop.post(self._restand)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.remove(wake)
            self._loop.post(self._restand)

    def take(self, *, ends: bool = True) -> Held | None:
        """Hold the lease on the calling thread, until `leave`; None while there is none to hold, and never waits."""
        with self._changed:
            if self._over is not None or self._retiring:
                raise self._over or NodeStopped(f"node {self._node} has stopped")
            lease = self.lease
            if lease is None or not lease.valid:
                return None
            held = Held(lease, threading.get_ident(), ends)
            self._holders.append(held)
            return held

    def leave(self, held: Held) -> bool:
        """The work is over; whether the lease ended with it, so that the caller has to `release` it. Never waits."""
        # A fork that leaves the body has nothing to give back, and may have copied a lock that someone held.
        if os.getpid() != self._pid:
            return False
        with self._changed:
            self._holders.remove(held)
            last = held.ends and not any(other.ends and other.lease is held.lease for other in self._holders)
            # In one breath with leaving, or another body could begin with a lease that is about to end.
            over = last and held.lease is self.lease and not self._retiring and self._begin_to_end()
            self._changed.notify_all()
        # Nobody here may stand for the next term any more when the release of this one is written.
        self._loop.post(self._restand)
        return over

    def release(self, lease: Lease) -> None:
        """Release the lease that ended when the last work left it, and wait for that."""
        if self._told.calling:
            # The release waits for subscribers, and this is one.
            self._aside(self._end_and_release, lease, None, None)
        else:
            self._end_and_release(lease, None, None)

    def hand_over(self, heir: str | None, timeout: float | None) -> None:
        """Hand over; where the caller is itself the work to wait for, or a subscriber, do not wait for it here."""
        with self._changed:
            waited_for = any(held.thread == threading.get_ident() for held in self._holders)
        if waited_for or self._told.calling:
            self._hand_over_aside(heir, timeout)
        else:
            self._hand_over(heir, timeout)

    def finish(self, error: HolocronError) -> None:
        """The node has stopped: whoever still waits for anything gets `error`, or an unknown outcome."""
        with self._changed:
            self._over = error
            lease, self.lease = self.lease, None
            told = self._draining is lease
            if lease is not None:
                lease.end(Reason.RELEASED)
            self._wake()
        if lease is not None and not told:
            # It was won while the node was about to stop already, or would not be given back.
            self._say_lost(Reason.RELEASED)
        self.publisher.finish(error)

    # --- on the loop's thread ---------------------------------------------------------------------------------------

    def notice(self, notice: Notice) -> None:
        """What the engine tells, as far as it is about this node's leadership."""
        match notice:
            case NoteTenureBegan(tenure=tenure):
                lease = Lease(tenure, self._loop.clock, self._node, partial(self._lapsed, tenure.term))
                with self._changed:
                    self.lease = lease
                    self._wake()
                # Whoever waited for it may have given up meanwhile.
                self._loop.post(self._restand)
                self._trying = False
                self._told.log("Acquired cluster leadership.", ttl_s=self._settings.ttl_s)
                self._told.tell(events.Elected(lease))
            case NoteTenureRenewed(tenure=tenure):
                held = self.lease
                if held is not None and not held.extend(tenure) and self._draining is not held:
                    self._lapsed(tenure.term)
                self._told.log("Renewed cluster leadership.", logging.DEBUG)
            case NoteTenureEnded(reason=reason):
                self._end_lease(reason)
            case NoteElectionLost():
                self._say_failed()
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                self.publisher.settle(ticket, epoch, refused)
            case NoteReleased(epoch=epoch):
                if epoch is not None:
                    self._told.log("Released cluster leadership.")
                for future in self._releases:
                    future.set_result(epoch)
                self._releases.clear()
            case StoodDown(heir=heir, by=by):
                self._told.log("Asked to hand over.", heir=heir, by=by)
                self._hand_over_aside(heir, None)

    def led_by(self, head: Epoch | None) -> None:
        """A leader that was there first is a failure to become one too, and is said once for each try."""
        if self._trying and head is not None and head.kind == "lease" and head.leader.node != self._node:
            self._say_failed()

    def _restand(self) -> None:
        """Stand for as long as anybody wants to lead, or holds the lease; what nobody wants is given back."""
        with self._changed:
            lease = self.lease
            wanted = self._campaigning or bool(self._waiting) or any(held.lease is lease for held in self._holders)
            standing = wanted and not self._retiring
            unwanted = lease is not None and not wanted and self._draining is not lease and not self._retiring
        if unwanted:
            self._hand_over_aside(None, None)
        if self._engine.election.standing != standing:
            self._engine.feed(StandingChanged(standing))
            if standing and self._engine.election.tenure is None:
                self._told.log("Trying to acquire cluster leadership.")
                self._trying = True
                self.led_by(self._told.head)
            if not self._retiring:
                # Otherwise the goodbye, which follows at once, says it too.
                self._engine.show_soon()

    def _end_lease(self, reason: Reason) -> None:
        with self._changed:
            lease = self.lease
            if lease is None:
                return
            told = self._draining is lease
            lease.end(reason)
            self.lease = None
            self._changed.notify_all()
        self._loop.post(self._restand)
        if not told:
            self._say_lost(lease.reason or reason)

    def _say_lost(self, reason: Reason) -> None:
        # Said before the release is written, while the election itself still holds the tenure.
        self._told.log("Lost cluster leadership.", logging.WARNING, role="follower", reason=reason.value)
        self._told.tell(events.Deposed(reason))

    def _say_failed(self) -> None:
        self._trying = False
        self._told.log("Failed to acquire cluster leadership, becoming a follower.")

    # --- on any thread ----------------------------------------------------------------------------------------------

    def _lapsed(self, term: int) -> None:
        """The lease of `term` was asked for and is over; a later one of this node's is none of its business."""

        def tell() -> None:
            if self._leads_in(term):
                self._engine.feed(BeliefLapsed())

        self._loop.post(tell)

    def _leads_in(self, term: int) -> bool:
        tenure = self._engine.election.tenure
        return tenure is not None and tenure.term == term

    def _wake(self) -> None:
        self._changed.notify_all()
        for wake in self._waiting:
            wake()

    def _await_lease(self, timeout: float | None, ends: bool) -> Held:
        end_s = None if timeout is None else self._now_s() + timeout
        with self.standing(lambda: None), self._changed:
            while (held := self.take(ends=ends)) is None:
                left_s = None if end_s is None else end_s - self._now_s()
                if timeout is not None and left_s is not None and left_s <= 0:
                    raise self.too_late(timeout)
                wait_for(self._loop.clock, self._changed, partial(self._settled, self.lease), left_s)
            return held

    def too_late(self, timeout: float) -> LeadTimeout:
        """What is raised where leadership did not come in time."""
        return LeadTimeout(f"node {self._node} did not become leader within {timeout:g} s; {self._told.who_leads()}")

    def _settled(self, but: Lease | None) -> bool:
        """Whether there is a lease other than `but`, or never will be one again."""
        return (self.lease is not None and self.lease is not but) or self._over is not None or self._retiring

    def _now_s(self) -> float:
        return self._loop.now().mono_s

    def _hand_over_aside(self, heir: str | None, timeout: float | None) -> None:
        self._aside(self._hand_over, heir, timeout)

    def _aside(self, call: Callable[..., None], *arguments: object) -> None:
        start(self._loop.clock, partial(call, *arguments), "holocron-drain")

    def _hand_over(self, heir: str | None, timeout: float | None) -> None:
        """End the lease, wait for the work that holds it, release it; wait for whoever is about it already."""
        with self._changed:
            lease = self.lease
            if lease is None:
                return
            if not self._begin_to_end():
                limit = self._settings.drain + self._settings.ttl_s if timeout is None else timeout
                wait_for(self._loop.clock, self._changed, lambda: self._draining is not lease, limit)
                return
        self._end_and_release(lease, heir, timeout)

    def _begin_to_end(self) -> bool:
        """End belief in the present lease, whose end is the caller's from here on; False where it is another's."""
        with self._changed:
            lease = self.lease
            if lease is None or self._draining is lease:
                return False
            self._draining = lease
            lease.end(Reason.RELEASED)
            return True

    def _end_and_release(self, lease: Lease, heir: str | None, timeout: float | None) -> None:
        """After belief the work ends, and the release comes last (rule 9); nothing here waits longer than `timeout`."""
        limit = self._settings.drain if timeout is None else timeout

        def working() -> bool:
            return any(held.lease is lease and held.thread not in self._excused for held in self._holders)

        try:
            self._say_lost(lease.reason or Reason.RELEASED)
            heard = self._told.all_heard()
            end_s = self._now_s() + limit
            with self._changed:
                idle = wait_for(self._loop.clock, self._changed, lambda: not working(), limit)
            if idle and heard.wait(max(0.0, end_s - self._now_s())):
                within_s = self._settings.ttl_s if timeout is None else max(0.0, end_s - self._now_s())
                self._release(lease.term, heir, within_s)
            else:
                # The work goes on: stop renewing, and let the lease lapse by itself.
                self._lapsed(lease.term)
        finally:
            with self._changed:
                if self._draining is lease:
                    self._draining = None
                if self.lease is lease:
                    self.lease = None
                self._changed.notify_all()
            self._loop.post(self._restand)

    def _release(self, term: int, heir: str | None, within_s: float) -> None:
        """Write the release of `term`, if that is what this node still leads in, and wait for what comes of it."""
        future: Promised[int | None] = Promised(self._loop.clock)

        def ask() -> None:
            if self._leads_in(term):
                self._releases.append(future)
                self._engine.release(heir)
            else:
                future.set_result(None)

        self._loop.post(ask)
        with contextlib.suppress(TimeoutError):
            future.result(within_s)
