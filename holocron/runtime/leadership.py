"""Leadership as one node's application lives it: standing for election, holding the lease, publishing, handing over."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from holocron import events
from holocron.errors import (
    HolocronError,
    LeadershipLost,
    LeadTimeout,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    SettingsError,
)
from holocron.protocol import election
from holocron.protocol.messages import (
    AskedToPublish,
    BeliefLapsed,
    NoteElectionLost,
    NoteReleased,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    Reason,
    SettlePublish,
    StandingChanged,
)
from holocron.records import Epoch
from holocron.runtime.engine import Engine
from holocron.runtime.lease import Lease
from holocron.runtime.loop import Loop
from holocron.runtime.notices import Notice, StoodDown
from holocron.runtime.telling import Announcer
from holocron.settings import VALUE_LIMIT_BYTES, Settings

__all__ = ["Leadership"]


class Leadership:
    """Between the threads of the application, which wait, and the engine on the loop's thread, which never does.

    A tenure ends in this order: belief first, then the work that holds the lease, then the release (rule 9).
    """

    def __init__(self, node: str, loop: Loop, engine: Engine, told: Announcer, settings: Settings) -> None:
        #: The lease of the tenure that stands or was last; None between two tenures.
        self.lease: Lease | None = None
        self._node = node
        self._loop = loop
        self._engine = engine
        self._told = told
        self._settings = settings
        self._changed = threading.Condition()
        # The threads inside a `lead` body: the work that has to finish before a release.
        self._holders: list[int] = []
        # Why it stands for election: in the background, and for each `lead` that waits or holds.
        self._campaigning = False
        self._seekers = 0
        # Whether the log was told of a try whose end it has not been told of yet.
        self._trying = False
        self._draining = False
        self._retiring = False
        self._over: HolocronError | None = None
        self._tickets: dict[int, Future[int]] = {}
        self._numbers = itertools.count(1)
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

    def retire(self) -> None:
        """The node is about to stop: nobody waits for leadership any more."""
        with self._changed:
            self._retiring = True
            self._changed.notify_all()
        self._loop.post(self._restand)

    @contextlib.contextmanager
    def hold(self, timeout: float | None) -> Iterator[Lease]:
        """Wait for leadership, hold it for the body, release it at the end."""
        holder = threading.get_ident()
        with self._changed:
            self._seekers += 1
        self._loop.post(self._restand)
        try:
            lease = self._await_lease(timeout)
        except BaseException:
            self._seek_no_more()
            raise
        try:
            yield lease
        finally:
            # Nobody here may stand for the next term any more when the release of this one is written.
            with self._changed:
                self._holders.remove(holder)
            self._seek_no_more()
            if lease is self.lease and not self._retiring:
                self._hand_over(None, None)

    def publish(self, value: bytes, timeout: float | None) -> int:
        """Have `value` ride in the next epoch; the number of that epoch."""
        if len(value) > VALUE_LIMIT_BYTES:
            raise SettingsError(f"a published value is at most {VALUE_LIMIT_BYTES} bytes, this one has {len(value)}")
        lease = self.lease
        if lease is None or not lease.valid:
            raise NotLeader(f"node {self._node} does not lead, so it cannot publish; {self._who_leads()}")
        future: Future[int] = Future()
        ticket = next(self._numbers)
        with self._changed:
            if self._over is not None:
                raise self._over
            self._tickets[ticket] = future
        self._loop.post(lambda: self._engine.feed(AskedToPublish(Publishing(ticket, bytes(value)))))
        try:
            return future.result(timeout)
        except FutureTimeout:
            unsettled = f"node {self._node}: publishing in term {lease.term} was not settled in time"
            raise OutcomeUnknown(unsettled) from None

    def hand_over(self, heir: str | None, timeout: float | None) -> None:
        """Hand over; where the caller is itself the work to wait for, or a subscriber, do not wait for it here."""
        with self._changed:
            waited_for = threading.get_ident() in self._holders
        if waited_for or self._told.calling:
            self._hand_over_aside(heir, timeout)
        else:
            self._hand_over(heir, timeout)

    def finish(self, error: HolocronError) -> None:
        """The node has stopped: whoever still waits for anything gets `error`, or an unknown outcome."""
        lease = self.lease
        if lease is not None:
            lease.end(Reason.RELEASED)
        with self._changed:
            self._over = error
            tickets = [*self._tickets.values()]
            self._changed.notify_all()
        for future in tickets:
            if not future.done():
                future.set_exception(OutcomeUnknown(f"node {self._node} stopped before the value was settled"))

    # --- on the loop's thread ---------------------------------------------------------------------------------------

    def notice(self, notice: Notice) -> None:
        """What the engine tells, as far as it is about this node's leadership."""
        match notice:
            case NoteTenureBegan(tenure=tenure):
                lease = Lease(tenure, self._loop.clock, self._node, self._lapsed)
                self._set_lease(lease)
                self._trying = False
                self._told.log("Acquired cluster leadership.", ttl_s=self._settings.ttl_s)
                self._told.tell(events.Elected(lease))
            case NoteTenureRenewed(tenure=tenure):
                if self.lease is not None and not self.lease.extend(tenure) and not self._draining:
                    self._lapsed()
                self._told.log("Renewed cluster leadership.", logging.DEBUG)
            case NoteTenureEnded(reason=reason):
                self._end_lease(reason)
            case NoteElectionLost():
                self._say_failed()
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                self._settle(ticket, epoch, refused)
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
        standing = (self._campaigning or self._seekers > 0) and not self._retiring
        if self._engine.election.standing != standing:
            self._engine.feed(StandingChanged(standing))
            if standing and self._engine.election.tenure is None:
                self._told.log("Trying to acquire cluster leadership.")
                self._trying = True
                self.led_by(self._told.head)
            self._engine.show()

    def _set_lease(self, lease: Lease | None) -> None:
        with self._changed:
            self.lease = lease
            self._changed.notify_all()

    def _end_lease(self, reason: Reason) -> None:
        lease = self.lease
        if lease is None:
            return
        already = self._draining
        lease.end(reason)
        self._set_lease(None)
        if not already:
            self._say_lost(lease.reason or reason)

    def _say_lost(self, reason: Reason) -> None:
        # Said before the release is written, while the election itself still holds the tenure.
        self._told.log("Lost cluster leadership.", logging.WARNING, role="follower", reason=reason.value)
        self._told.tell(events.Deposed(reason))

    def _say_failed(self) -> None:
        self._trying = False
        self._told.log("Failed to acquire cluster leadership, becoming a follower.")

    def _settle(self, ticket: int, epoch: int | None, refused: bool) -> None:
        with self._changed:
            future = self._tickets.pop(ticket, None)
        if future is None or future.done():
            return
        if epoch is not None:
            future.set_result(epoch)
        elif refused:
            lost = "leadership ended before the value was written"
            future.set_exception(LeadershipLost(f"node {self._node}: {lost}; it never will be", Reason.EXPIRED.value))
        else:
            unknown = "it is not known whether the value was published; read before you repeat"
            future.set_exception(OutcomeUnknown(f"node {self._node}: {unknown}"))

    # --- on any thread ----------------------------------------------------------------------------------------------

    def _lapsed(self) -> None:
        self._loop.post(lambda: self._engine.feed(BeliefLapsed()))

    def _seek_no_more(self) -> None:
        with self._changed:
            self._seekers -= 1
            self._changed.notify_all()
        self._loop.post(self._restand)

    def _await_lease(self, timeout: float | None) -> Lease:
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (lease := self.lease) is None or not lease.valid:
                left_s = None if end is None else end - time.monotonic()
                if self._over is not None or self._retiring:
                    raise self._over or NodeStopped(f"node {self._node} has stopped")
                if left_s is not None and left_s <= 0:
                    break
                self._changed.wait(min(left_s, 1.0) if left_s is not None else 1.0)
            else:
                self._holders.append(threading.get_ident())
                return lease
        raise LeadTimeout(f"node {self._node} did not become leader within {timeout:g} s; {self._who_leads()}")

    def _hand_over_aside(self, heir: str | None, timeout: float | None) -> None:
        threading.Thread(target=self._hand_over, args=(heir, timeout), name="holocron-drain", daemon=True).start()

    def _hand_over(self, heir: str | None, timeout: float | None) -> None:
        """End the lease, wait for the work that holds it, release. Belief ends first and the release comes last."""
        with self._changed:
            lease = self.lease
            if lease is None or self._draining:
                return
            self._draining = True
        limit = self._settings.drain if timeout is None else timeout
        try:
            lease.end(Reason.RELEASED)
            self._say_lost(Reason.RELEASED)
            heard = self._told.all_heard()
            end = time.monotonic() + limit
            with self._changed:
                while self._holders and time.monotonic() < end:
                    self._changed.wait(max(0.0, end - time.monotonic()))
                idle = not self._holders
            if idle and heard.wait(max(0.0, end - time.monotonic())):
                future: Future[int | None] = Future()

                def ask() -> None:
                    self._releases.append(future)
                    self._engine.release(heir)

                self._loop.post(ask)
                with contextlib.suppress(FutureTimeout):
                    future.result(self._settings.ttl_s)
            else:
                # The work goes on: stop renewing, and let the lease lapse by itself.
                self._lapsed()
        finally:
            with self._changed:
                self._draining = False
                if self.lease is lease:
                    self.lease = None
                self._changed.notify_all()

    def _who_leads(self) -> str:
        leader = election.leader_of(self._engine.election)
        return f"node {leader.node} leads" if leader is not None else "nobody is known to lead"
