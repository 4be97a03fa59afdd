"""`Node`: one virtual node, as an application uses it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TypeVar

from holocron import events
from holocron.clock import Clock
from holocron.errors import (
    HolocronError,
    LeadershipLost,
    NotLeader,
    SettingsError,
    StoreUnfit,
    Superseded,
)
from holocron.layout import check_node_id, fresh_node_id
from holocron.protocol.messages import HeadChanged, NoteStopped, Reason
from holocron.runtime.guarding.companion import Guarded
from holocron.runtime.hearing import Listening
from holocron.runtime.informed import Informed
from holocron.runtime.journal import Journal
from holocron.runtime.lane import Lane
from holocron.runtime.leadership import Leadership
from holocron.runtime.lease import Lease
from holocron.runtime.notices import NewerIncarnation, Notice, StoreLost, StoreRegained, Unreadable, ViewShortened
from holocron.runtime.only import leader_only
from holocron.runtime.service import Host, Service
from holocron.runtime.session import Session
from holocron.runtime.waiting import Signal, start
from holocron.settings import Settings, check_pause
from holocron.state.journal import Author
from holocron.store.base import Store
from holocron.store.opening import StoreOptions

__all__ = ["Node"]

_R = TypeVar("_R")


class Node(Informed):
    """One virtual node: identity, place in the election and what it last knew lie in the store; this process is its
    present incarnation.

    Make one with `Node.start` (a new node) or `Node.resume` (one that was), and leave it with `stop` or a `with`
    statement. Safe to use from any thread. It never exits the process, handles no signals, configures no logging.
    """

    def __init__(self, session: Session, *, assume_dead: bool, guardian: bool) -> None:
        super().__init__(session, self._notice, assume_dead=assume_dead)
        # Each is taken once and never given back: whoever comes first does the work.
        self._stop_asked = threading.Lock()
        self._ending = threading.Lock()
        self._ending_journal = threading.Lock()
        self._leadership = Leadership(self.id, session.loop, self._engine, self._told, session.settings)
        origin = session.origin if guardian else None
        self._guarded = Guarded(origin, self._identity, session.settings, session.loop.clock)
        self._journal: Journal | None = None
        self._host: Host | None = None
        self._loop.post(self._engine.start)

    # --- coming and going -------------------------------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        location: str | Store,
        *,
        node_id: str | None = None,
        name: str = "",
        address: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int = 1,
        home: str | Store | None = None,
        settings: Settings | None = None,
        options: StoreOptions | None = None,
        clock: Clock | None = None,
        lane: Lane | None = None,
        guardian: bool = True,
        hints: str | Listening = "",
    ) -> Node:
        """A new node of the cluster at `location`, which is founded if there is none.

        The node takes part in presence at once; it stands for election with `lead`, `run` or `campaign`.

        Args:
            location: the root of the cluster, such as "s3://bucket/leader".
            node_id: its id; a fresh one of 12 hex digits if None.
            priority: heirs with a higher one go first; 0 never leads.
            home: the root of the node's own records, if that is not the cluster's.
            lane: another's threads to share; `Runtime` gives its own.
            guardian: have a companion process release leadership at once should this process die while its host lives
                (rule 15). Switch it off where something goes on under the lease after this process is dead, such as a
                subprocess: the lease is then waited out. The guardian is a child of this process, as whoever waits for
                any child (`os.wait`) will notice. There is none for memory:// and for stores of one's own.
            hints: HOST:PORT (port 0: a free one) at which others tell this node by UDP to look now, and it them: they
                shorten a hand-over, and are never believed. None are sent or heard where this is empty.

        Raises:
            SettingsError, NodeExists, StoreDenied, StoreUnreachable, StoreUnfit, RecordUnreadable, OutcomeUnknown.
        """
        node = check_node_id(node_id) if node_id is not None else fresh_node_id()
        session = Session(location, home, settings, options, clock, lane, hints)
        session.start(node, name, address, dict(labels or {}), priority)
        made = cls(session, assume_dead=False, guardian=guardian)
        made._told.log("Starting node", name_=name, location=made.location)
        return made

    @classmethod
    def resume(
        cls,
        location: str | Store,
        node_id: str,
        *,
        name: str | None = None,
        address: str | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        home: str | Store | None = None,
        settings: Settings | None = None,
        options: StoreOptions | None = None,
        assume_dead: bool = False,
        clock: Clock | None = None,
        lane: Lane | None = None,
        guardian: bool = True,
        hints: str | Listening = "",
    ) -> Node:
        """Node `node_id` again, as its next incarnation, on this compute: same identity, and what it last knew.

        It does not inherit a lease that its former self may still believe in, but waits it out like anyone (rule 11),
        unless `assume_dead` vouches that the former self is dead. What is None stays as the node's identity has it.

        Args:
            location: the root of the cluster, or of the node's own home: its identity names the cluster.
            guardian: as for `start`.
            hints: as for `start`; it is of the compute and not of the node, so it is given each time.

        Raises:
            NodeUnknown: there is no such node. Superseded: another resumed it at the same time and was first.
            And whatever `start` raises.
        """
        check_node_id(node_id)
        session = Session(location, home, settings, options, clock, lane, hints)
        session.resume(node_id, name, address, dict(labels) if labels is not None else None, priority)
        made = cls(session, assume_dead=assume_dead, guardian=guardian)
        aboard = session.aboard
        made._told.log(
            "Resumed node",
            epoch=aboard.last_epoch,
            incarnation=made.incarnation,
            members=len(aboard.state.topology) if aboard.state is not None else 0,
            location=made.location,
        )
        return made

    def stop(self, timeout: float | None = None) -> None:
        """Release leadership if this node holds it, say goodbye and stop. Calling it again is harmless.

        In a fork of the process it does nothing: the node lives on in the parent. A subscriber that calls it is not
        kept waiting, for the release waits for subscribers: the node stops once they have returned.
        """
        if os.getpid() != self._pid:
            return
        if self._told.calling:
            start(self._loop.clock, partial(self.stop, timeout), "holocron-stop", daemon=False)
            return
        if not self._stop_asked.acquire(blocking=False):
            self._gone.wait(timeout)
            return
        if self._gone.is_set():
            return
        limit = self._settings.ttl_s if timeout is None else timeout
        self._leadership.retire(limit)
        if self._host is not None:
            self._host.close(limit)
        said = Signal(self._loop.clock)
        self._loop.post(lambda: self._engine.close(said.set))
        said.wait(limit)
        self._finish()

    def stand_aside(self) -> None:
        """Stand for election no more, for the node is about to be stopped with others that must not follow each other.

        What it leads it leads on, until `stop`; nothing here waits.
        """
        if os.getpid() == self._pid and not self._gone.is_set():
            self._leadership.stand_aside()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the node has stopped, by `stop` or by itself (see `failure`); False if `timeout` came first."""
        return self._gone.wait(timeout)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # --- leading ----------------------------------------------------------------------------------------------------

    @property
    def term(self) -> int | None:
        """Its own term while it leads, else None."""
        lease = self.lease
        return lease.term if lease is not None else None

    @property
    def lease(self) -> Lease | None:
        """Its lease while it leads, else None; ask the lease itself each time before you act."""
        lease = self._leadership.lease
        return lease if lease is not None and lease.valid else None

    def campaign(self) -> None:
        """Stand for election in the background, until `withdraw`."""
        self._check_running()
        self._leadership.campaign()

    def withdraw(self, timeout: float | None = None) -> None:
        """Stand no more; if leading, end the lease now, let the work that holds it finish, and then release it.

        Where the work does not finish within the settings' `drain_s` (or `timeout`), nothing is released and the
        lease lapses by itself: whoever follows must not run beside what is still running.
        """
        if not self._gone.is_set():
            self._leadership.withdraw(timeout)

    def step_down(self, to: str | None = None, timeout: float | None = None) -> None:
        """Hand leadership over, to node `to` first if one is named, and stand again; `NotLeader` if not leading.

        In a pause only a named heir follows, so there has to be one.
        """
        self._check_running()
        if self._leadership.lease is None:
            raise NotLeader(f"node {self.id} does not lead, so it has nothing to hand over")
        if to is None and self.paused_s > 0:
            raise HolocronError(f"leadership stays with node {self.id} while it is paused: name an heir, or unpause")
        self._leadership.hand_over(check_node_id(to) if to is not None else None, timeout)

    def pause(self, for_s: float = 3600.0, timeout: float | None = None) -> int:
        """Have leadership stay with this node for the next `for_s` seconds, at most 24 hours, even if its lease ends;
        the epoch that says so.

        This node goes on renewing, and whoever resumes it leads again after an ordinary wait; nobody else follows
        before the pause is over, unless it is named by `step_down`. Another `pause` replaces the one before.

        Raises:
            NotLeader, LeadershipLost: not paused. OutcomeUnknown: it may be, `timeout` included.
        """
        self._check_running()
        return self._leadership.publisher.pause(self._leadership.lease, check_pause(for_s), timeout)

    def unpause(self, timeout: float | None = None) -> int:
        """End a pause now; the epoch that says so. Raises what `pause` raises."""
        self._check_running()
        return self._leadership.publisher.pause(self._leadership.lease, 0.0, timeout)

    @contextlib.contextmanager
    def lead(self, timeout: float | None = None) -> Iterator[Lease]:
        """Wait for leadership, hold it for the body, release it at the end.

        Raises:
            LeadTimeout: it did not come within `timeout` seconds. NodeStopped, Superseded, StoreUnfit: it never will.
        """
        self._check_running()
        with self._leadership.hold(timeout) as lease:
            yield lease

    leader_only = leader_only

    def run(self, work: Callable[[Lease], _R], timeout: float | None = None) -> _R:
        """`work(lease)`'s result: run while leader, and again from the start whenever the lease was lost on the way.

        `work` should return soon after `lease.lost` is set; a `LeadershipLost` that it raises means the same.
        """
        while True:
            with self.lead(timeout) as lease:
                try:
                    result = work(lease)
                except LeadershipLost:
                    if lease.valid:
                        raise
                    continue
                if lease.valid:
                    return result

    def publish(self, value: bytes, timeout: float | None = None) -> int:
        """Publish `value` for every follower to see, fenced by the election itself; the epoch that it rides in.

        Of several that wait at once the newest rides, and the others are answered with its epoch: they were overwritten
        before anyone could read them.

        Raises:
            NotLeader, LeadershipLost: not published, now or ever. OutcomeUnknown: it may have been.
            SettingsError: more than 64 KiB.
        """
        self._check_running()
        return self._leadership.publisher.publish(self._leadership.lease, value, timeout)

    # --- its own durable state --------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The node's own durable log, which comes back with it wherever it is resumed."""
        if self._journal is None:
            with self._ending_journal:
                self._check_running()
                if self._journal is None:
                    author = Author(self.cluster, self.id, self.incarnation)
                    # The heartbeat finds out who it is that has taken the node's place, and the node stops.
                    fenced = partial(self._loop.post, self._engine.show)
                    self._journal = Journal(self._session.lane, self._session.home, author, self._settings, fenced)
        return self._journal

    def host(
        self,
        service: Service,
        *,
        checkpoint_every: int = 1000,
        checkpoint_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Host `service` on this node: bring it to where its last acknowledged command left it, and take commands with
        `submit`. How many commands its state stands for.

        A service with `on_elected` stands for election too.

        Args:
            checkpoint_every: after how many commands a snapshot is taken (0: however many), if the service has one.
            checkpoint_bytes: or after how many bytes of commands (0: however many); None is 64 MiB, or 0 where
                `checkpoint_every` is 0. Where both are 0, none is ever taken.
            progress: is told, after each slot of the journal that was applied again, how many that are of how many.

        Raises:
            Superseded, RecordUnreadable, StoreUnreachable, StoreDenied.
        """
        if self._host is not None:
            raise SettingsError(f"node {self.id} hosts {type(self._host.service).__name__} already")
        host = Host(service, self.journal, checkpoint_every=checkpoint_every, checkpoint_bytes=checkpoint_bytes)
        position = host.open(progress)
        self._host = host
        if self._gone.is_set():
            # It ended meanwhile, and may not have seen that there is a service.
            host.close(0.0)
            raise self._why_stopped()
        self.subscribe(host.told)
        if hasattr(service, "on_elected"):
            self.campaign()
        return position

    def submit(self, command: bytes, key: str = "", timeout: float | None = None) -> bytes:
        """The hosted service's answer to `command`, given once it is durable and applied; exactly once, whatever
        becomes of this process.

        Args:
            key: names the command, so that repeating it (after an unknown outcome, to whoever has resumed the node)
                applies it no second time.

        Raises:
            what the service raises; SettingsError: nothing is hosted, or the command is over 4 MiB. OutcomeUnknown or
            Superseded: it may be applied; repeat it with the same key.
        """
        self._check_running()
        if self._host is None:
            raise SettingsError(f"node {self.id} hosts no service: `host` one first")
        return self._host.submit(command, key, timeout)

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Have `callback` called with every event from now on, on a thread of its own; call the result to end that.

        A callback that blocks holds up other events and a release that waits for them, never a renewal.
        """
        return self._told.subscribe(callback)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _notice(self, notice: Notice) -> None:
        """What the engine tells; on the loop's thread, so nothing here may wait."""
        self._guarded.notice(notice)
        match notice:
            case HeadChanged(seen=seen):
                self._leadership.led_by(seen.record)
                self._told.follow(seen)
            case StoreLost(error=error):
                self._told.log("Store unreachable.", logging.WARNING, error=error)
                self._told.tell(events.StoreUnreachable(error))
            case StoreRegained():
                self._told.log("Store back.")
                self._told.tell(events.StoreBack())
            case Unreadable(error=error):
                self._told.log("Left alone what cannot be read.", logging.WARNING, error=error)
            case ViewShortened(members=members, rows=rows):
                self._told.log(
                    "The view of all members is too large for a lock file: labels, names, addresses or rows are cut.",
                    logging.WARNING,
                    members=members,
                    rows=rows,
                )
            case NewerIncarnation(incarnation=incarnation):
                self._failure = Superseded(
                    f"node {self.id} was resumed elsewhere: incarnation {incarnation} has taken the place of "
                    f"{self.incarnation}; this process stops"
                )
                self._told.tell(events.Superseded(incarnation))
            case NoteStopped(reason=reason, why=why):
                if reason is Reason.STORE_DISHONEST:
                    self._failure = StoreUnfit(f"node {self.id}: {why}; it stops, see `holocron doctor`")
                self._told.log("Node stops.", logging.ERROR, reason=reason.value, error=why)
                self._engine.quit()
                start(self._loop.clock, self._finish, "holocron-finish")
            case _:
                self._leadership.notice(notice)

    def _finish(self) -> None:
        if not self._ending.acquire(blocking=False):
            self._gone.wait()
            return
        self._told.log("Stopped node", role="stopped", requests=self.requests)
        self._gone.set()
        self._leadership.finish(self._why_stopped())
        if self._journal is not None:
            self._journal.close(self._why_stopped())
        if self._host is not None:
            self._host.close(self._settings.ttl_s)
        self._told.close()
        self._guarded.leave()
        self._session.close()
