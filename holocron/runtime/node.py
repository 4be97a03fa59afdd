"""`Node`: one virtual node, as an application uses it."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType
from typing import Any, TypeVar

from holocron import events
from holocron.clock import Clock, stamp
from holocron.errors import (
    HolocronError,
    LeadershipLost,
    LeadTimeout,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    SettingsError,
    StoreUnfit,
    Superseded,
)
from holocron.layout import PROBE, check_node_id, fresh_node_id, identity_key
from holocron.observe.logs import logger
from holocron.protocol import election
from holocron.protocol.messages import (
    AskedToPublish,
    BeliefLapsed,
    HeadChanged,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    Reason,
    SettlePublish,
    StandingChanged,
)
from holocron.records import Epoch, Genesis, Holder, Identity, Leader, Marker, Member, Published, encode
from holocron.runtime.boarding import Aboard, Claim, enlist, found_cluster, read, revive
from holocron.runtime.counting import CountingStore
from holocron.runtime.engine import Engine, NewerIncarnation, Notice, StoodDown, StoreLost, StoreRegained
from holocron.runtime.history import tenure_ends, tenures
from holocron.runtime.lease import Lease
from holocron.runtime.loop import Loop
from holocron.runtime.views import Tenure, Topology
from holocron.runtime.world import run
from holocron.settings import VALUE_LIMIT_BYTES, Settings
from holocron.store.base import Deadline, Procedure, Put, Store
from holocron.store.chain import Trouble
from holocron.store.opening import StoreOptions, open_store

__all__ = ["Node"]

_T = TypeVar("_T")
_R = TypeVar("_R")
# How long coming aboard may take in all.
_BOARDING_S = 60.0


class Node:
    """One virtual node: identity, place in the election and what it last knew lie in the store; this process is its
    present incarnation.

    Make one with `Node.start` (a new node) or `Node.resume` (one that was), and leave it with `stop` or a `with`
    statement. Safe to use from any thread. It never exits the process, handles no signals, configures no logging.
    """

    def __init__(
        self,
        loop: Loop,
        store: CountingStore,
        home: CountingStore,
        aboard: Aboard,
        genesis: Genesis,
        settings: Settings,
        assume_dead: bool,
    ) -> None:
        self._loop = loop
        self._store = store
        self._home = home
        self._settings = settings
        self._identity = aboard.identity
        self._lock = threading.Condition()
        self._pid = os.getpid()
        self._lease: Lease | None = None
        self._elected = 0
        # The threads inside a `lead` body: the work that has to finish before a release.
        self._holders: list[int] = []
        # Why it stands for election: in the background, and for each `lead` that waits or holds.
        self._campaigning = False
        self._trying = False
        self._seekers = 0
        self._draining = False
        self._stopping = False
        self._gone = threading.Event()
        self._failure: HolocronError | None = None
        self._tickets: dict[int, Future[int]] = {}
        self._numbers = itertools.count(1)
        self._releases: list[Future[int | None]] = []
        self._callbacks: list[Callable[[events.Event], None]] = []
        self._events: queue.SimpleQueue[events.Event | Callable[[], None] | None] = queue.SimpleQueue()
        self._head: Epoch | None = None
        self._topology: Topology | None = None
        self._log = logger(node=self.id)
        self._engine = Engine(
            loop, store, home, aboard, settings, genesis.ttl_max_ms / 1000, self._notice, assume_dead=assume_dead
        )
        self._events_thread = f"holocron-events-{self.id}"
        threading.Thread(target=self._tell, name=self._events_thread, daemon=True).start()
        loop.post(self._engine.start)

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
    ) -> Node:
        """A new node of the cluster at `location`, which is founded if there is none.

        The node takes part in presence at once; it stands for election with `lead`, `run` or `campaign`.

        Args:
            location: the root of the cluster, such as "s3://bucket/leader".
            node_id: its id; a fresh one of 12 hex digits if None.
            priority: heirs with a higher one go first; 0 never leads.
            home: the root of the node's own records, if that is not the cluster's.

        Raises:
            SettingsError, NodeExists, StoreDenied, StoreUnreachable, StoreUnfit, RecordUnreadable, OutcomeUnknown.
        """
        node = check_node_id(node_id) if node_id is not None else fresh_node_id()
        session = _Boarding(location, home, settings, options, clock)

        def board(genesis: Genesis) -> Procedure[Aboard]:
            claim = session.claim(name, address, dict(labels or {}), priority)
            return enlist(session.store, session.home, genesis, node, claim, session.loop.nonce, session.deadline())

        made = session.board(cls, board, assume_dead=False)
        made._log.info("Starting node", **made._where(), name_=name, location=session.store.uri)
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
    ) -> Node:
        """Node `node_id` again, as its next incarnation, on this compute: same identity, and what it last knew.

        It does not inherit a lease that its former self may still believe in, but waits it out like anyone (rule 11),
        unless `assume_dead` vouches that the former self is dead. What is None stays as the node's identity has it.

        Args:
            location: the root of the cluster, or of the node's own home: its identity names the cluster.

        Raises:
            NodeUnknown: there is no such node. Superseded: another resumed it at the same time and was first.
            And whatever `start` raises.
        """
        check_node_id(node_id)
        session = _Boarding(location, home, settings, options, clock)
        session.follow_home(node_id, location, options)

        def board(genesis: Genesis) -> Procedure[Aboard]:
            claim = session.claim(name, address, dict(labels) if labels is not None else None, priority)
            return revive(session.store, session.home, node_id, claim, session.loop.nonce, session.deadline())

        made = session.board(cls, board, assume_dead=assume_dead)
        aboard = session.aboard
        made._log.info(
            "Resumed node",
            **{**made._where(), "epoch": aboard.last_epoch},
            incarnation=made.incarnation,
            members=len(aboard.state.topology) if aboard.state is not None else 0,
            location=session.store.uri,
        )
        return made

    def stop(self, timeout: float | None = None) -> None:
        """Release leadership if this node holds it, say goodbye and stop. Calling it again is harmless."""
        with self._lock:
            first, self._stopping = not self._stopping, True
        if not first:
            self._gone.wait(timeout)
            return
        if self._gone.is_set():
            return
        limit = self._settings.ttl_s if timeout is None else timeout
        with contextlib.suppress(HolocronError):
            self.withdraw(limit)
        said = threading.Event()
        self._loop.post(lambda: self._engine.close(said.set))
        said.wait(limit)
        self._finish(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the node has stopped, by `stop` or by itself (see `failure`); False if `timeout` came first."""
        return self._gone.wait(timeout)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The node's id, the same for every incarnation."""
        return self._identity.node

    @property
    def name(self) -> str:
        """What people call it."""
        return self._identity.name

    @property
    def incarnation(self) -> int:
        """Which incarnation this process is; it rises with every resume."""
        return self._identity.incarnation

    @property
    def cluster(self) -> str:
        """The uuid of its cluster."""
        return self._identity.cluster

    @property
    def location(self) -> str:
        """The root of its cluster's store."""
        return self._store.uri

    @property
    def role(self) -> str:
        """Its role right now: solo, follower, candidate, leader or stopped. For acting as leader, ask a lease."""
        if self._gone.is_set() or os.getpid() != self._pid:
            return "stopped"
        return election.role(self._engine.election)

    @property
    def epoch(self) -> int:
        """The newest epoch that it knows; 0 before the first."""
        head = self._engine.election.head
        return head.epoch if head is not None else 0

    @property
    def term(self) -> int | None:
        """Its own term while it leads, else None."""
        lease = self._lease
        return lease.term if lease is not None and lease.valid else None

    @property
    def failure(self) -> HolocronError | None:
        """Why it stopped by itself (`Superseded`, `StoreUnfit`), or None."""
        return self._failure

    @property
    def requests(self) -> dict[str, int]:
        """How many requests it has made so far, by verb."""
        counts = self._store.requests
        if self._home is not self._store:
            for verb, count in self._home.requests.items():
                counts[verb] = counts.get(verb, 0) + count
        return counts

    def leader(self) -> Leader | None:
        """Who leads, as far as this node knows; None between two leaders, or where the lock file cannot be read."""
        return election.leader_of(self._engine.election)

    def topology(self) -> Topology | None:
        """The leader's view of everyone, from the newest lock file this node has read; None before the first."""
        return self._topology

    def members(self) -> tuple[Member, ...]:
        """The rows of `topology()`."""
        topology = self._topology
        return topology.members if topology is not None else ()

    def published(self) -> Published | None:
        """The value published last, as far as this node knows, with the epoch and term it was published in."""
        return self._engine.election.published

    def history(self, limit: int = 20) -> tuple[Tenure, ...]:
        """The newest `limit` tenures, newest first, read from the store."""
        self._check_running()
        head = self._engine.election.head
        if head is None:
            return ()
        deadline = Deadline(self._loop.now(), 30.0, self._settings.attempt_s)
        found = _carry_out(self._loop, tenure_ends(self._engine.chain, self._store, head.epoch, limit, deadline))
        if isinstance(found, Trouble):
            raise _trouble(found)
        return tenures(found)[:limit]

    # --- leading ----------------------------------------------------------------------------------------------------

    def campaign(self) -> None:
        """Stand for election in the background, until `withdraw`."""
        self._check_running()
        self._campaigning = True
        self._loop.post(self._restand)

    def withdraw(self, timeout: float | None = None) -> None:
        """Stand no more; if leading, end the lease now, let the work that holds it finish, and then release it.

        Where the work does not finish within the settings' `drain_s` (or `timeout`), nothing is released and the
        lease lapses by itself: whoever follows must not run beside what is still running.
        """
        if self._gone.is_set():
            return
        self._campaigning = False
        self._loop.post(self._restand)
        self._hand_over_from(None, timeout)

    def step_down(self, to: str | None = None, timeout: float | None = None) -> None:
        """Hand leadership over, to node `to` first if one is named, and stand again; `NotLeader` if not leading."""
        self._check_running()
        if self._lease is None:
            raise NotLeader(f"node {self.id} does not lead, so it has nothing to hand over")
        self._hand_over_from(check_node_id(to) if to is not None else None, timeout)

    @contextlib.contextmanager
    def lead(self, timeout: float | None = None) -> Iterator[Lease]:
        """Wait for leadership, hold it for the body, release it at the end.

        Raises:
            LeadTimeout: it did not come within `timeout` seconds. NodeStopped, Superseded, StoreUnfit: it never will.
        """
        self._check_running()
        holder = threading.get_ident()
        end = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._seekers += 1
        self._loop.post(self._restand)
        try:
            lease = self._await_lease(timeout, end)
        except BaseException:
            self._seek_no_more()
            raise
        try:
            yield lease
        finally:
            # Nobody here may stand for the next term any more when the release of this one is written.
            with self._lock:
                self._holders.remove(holder)
            self._seek_no_more()
            if lease is self._lease and not self._stopping:
                self._hand_over(None, None)

    def _seek_no_more(self) -> None:
        with self._lock:
            self._seekers -= 1
            self._lock.notify_all()
        self._loop.post(self._restand)

    def _await_lease(self, timeout: float | None, end: float | None) -> Lease:
        with self._lock:
            while (lease := self._lease) is None or not lease.valid:
                left_s = None if end is None else end - time.monotonic()
                if self._gone.is_set() or self._stopping:
                    raise self._failure or NodeStopped(f"node {self.id} has stopped")
                if left_s is not None and left_s <= 0:
                    break
                self._lock.wait(min(left_s, 1.0) if left_s is not None else 1.0)
            else:
                self._holders.append(threading.get_ident())
                return lease
        raise LeadTimeout(f"node {self.id} did not become leader within {timeout:g} s; {self._who_leads()}")

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

        Raises:
            NotLeader, LeadershipLost: not published, now or ever. OutcomeUnknown: it may have been.
            SettingsError: more than 64 KiB.
        """
        self._check_running()
        if len(value) > VALUE_LIMIT_BYTES:
            raise SettingsError(f"a published value is at most {VALUE_LIMIT_BYTES} bytes, this one has {len(value)}")
        lease = self._lease
        if lease is None or not lease.valid:
            raise NotLeader(f"node {self.id} does not lead, so it cannot publish; {self._who_leads()}")
        future: Future[int] = Future()
        ticket = next(self._numbers)
        self._tickets[ticket] = future
        self._loop.post(lambda: self._engine.feed(AskedToPublish(Publishing(ticket, bytes(value)))))
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise OutcomeUnknown(f"node {self.id}: publishing in term {lease.term} was not settled in time") from None

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Have `callback` called with every event from now on, on a thread of its own; call the result to end that.

        A callback that blocks holds up other events and a release that waits for them, never a renewal.
        """
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

    # --- on the scheduler's thread ----------------------------------------------------------------------------------

    def _restand(self) -> None:
        standing = (self._campaigning or self._seekers > 0) and not self._stopping
        if self._engine.election.standing != standing:
            self._engine.feed(StandingChanged(standing))
            if standing and self._engine.election.tenure is None:
                self._log.info("Trying to acquire cluster leadership.", **self._where())
                self._trying = True
                self._say_failed_if_led(self._head)
            self._engine.show()

    def _notice(self, notice: Notice) -> None:
        match notice:
            case NoteTenureBegan(tenure=tenure):
                lease = Lease(tenure, self._loop.clock, self.id, self._lapsed)
                self._set_lease(lease)
                self._trying = False
                self._log.info("Acquired cluster leadership.", **self._where(), ttl_s=self._settings.ttl_s)
                self._events.put(events.Elected(lease))
            case NoteTenureRenewed(tenure=tenure):
                if self._lease is not None and not self._lease.extend(tenure) and not self._draining:
                    self._lapsed()
                self._log.debug("Renewed cluster leadership.", **self._where())
            case NoteTenureEnded(reason=reason):
                self._end_lease(reason)
            case NoteElectionLost():
                self._say_failed()
            case HeadChanged(seen=seen):
                self._head_changed(seen.epoch, seen.record)
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                self._settle(ticket, epoch, refused)
            case NoteReleased(epoch=epoch):
                if epoch is not None:
                    self._log.info("Released cluster leadership.", **self._where())
                for future in self._releases:
                    future.set_result(epoch)
                self._releases.clear()
            case StoodDown(heir=heir, by=by):
                self._log.info("Asked to hand over.", **self._where(), heir=heir, by=by)
                threading.Thread(target=self._hand_over, args=(heir, None), name="holocron-drain", daemon=True).start()
            case StoreLost(error=error):
                self._log.warning("Store unreachable.", **self._where(), error=error)
                self._events.put(events.StoreUnreachable(error))
            case StoreRegained():
                self._log.info("Store back.", **self._where())
                self._events.put(events.StoreBack())
            case NewerIncarnation(incarnation=incarnation):
                self._failure = Superseded(
                    f"node {self.id} was resumed elsewhere: incarnation {incarnation} has taken the place of "
                    f"{self.incarnation}; this process stops"
                )
                self._events.put(events.Superseded(incarnation))
            case NoteStopped(reason=reason, why=why):
                if reason is Reason.STORE_DISHONEST:
                    self._failure = StoreUnfit(f"node {self.id}: {why}; it stops, see `holocron doctor`")
                self._log.error("Node stops.", **self._where(), reason=reason.value, error=why)
                self._engine.quit()
                threading.Thread(target=self._finish, args=(self._failure,), daemon=True).start()

    def _set_lease(self, lease: Lease | None) -> None:
        with self._lock:
            self._lease = lease
            self._lock.notify_all()

    def _end_lease(self, reason: Reason) -> None:
        lease = self._lease
        if lease is None:
            return
        already = self._draining
        lease.end(reason)
        self._set_lease(None)
        if not already:
            self._say_lost(lease.reason or reason)

    def _say_lost(self, reason: Reason) -> None:
        # Said before the release is written, while the election itself still holds the tenure.
        self._log.warning("Lost cluster leadership.", **{**self._where(), "role": "follower"}, reason=reason.value)
        self._events.put(events.Deposed(reason))

    def _say_failed(self) -> None:
        self._trying = False
        self._log.info("Failed to acquire cluster leadership, becoming a follower.", **self._where())

    def _say_failed_if_led(self, head: Epoch | None) -> None:
        """A leader that was there first is a failure to become one too, and is said once for each try."""
        if self._trying and head is not None and head.kind == "lease" and head.leader.node != self.id:
            self._say_failed()

    def _lapsed(self) -> None:
        self._loop.post(lambda: self._engine.feed(BeliefLapsed()))

    def _head_changed(self, epoch: int, record: Epoch | None) -> None:
        before, self._head = self._head, record
        self._say_failed_if_led(record)
        if record is not None:
            topology = Topology(epoch=epoch, term=record.term, leader=record.leader, members=record.topology)
            told, self._topology = self._topology, topology
            if told is None or told.members != topology.members:
                self._events.put(events.TopologyChanged(topology))
        now = (record.term, record.leader) if record is not None and record.kind == "lease" else None
        then = (before.term, before.leader) if before is not None and before.kind == "lease" else None
        if now != then:
            leader = now[1] if now is not None else None
            self._events.put(events.LeaderChanged(leader, epoch, record.term if record is not None else None))

    def _settle(self, ticket: int, epoch: int | None, refused: bool) -> None:
        future = self._tickets.pop(ticket, None)
        if future is None or future.done():
            return
        if epoch is not None:
            future.set_result(epoch)
        elif refused:
            lost = "leadership ended before the value was written"
            future.set_exception(LeadershipLost(f"node {self.id}: {lost}; it never will be", Reason.EXPIRED.value))
        else:
            future.set_exception(
                OutcomeUnknown(
                    f"node {self.id}: it is not known whether the value was published; read before you repeat"
                )
            )

    # --- off the scheduler's thread ---------------------------------------------------------------------------------

    def _hand_over_from(self, heir: str | None, timeout: float | None) -> None:
        """Hand over; where the caller is itself the work to wait for, or a subscriber, do not wait for it here."""
        with self._lock:
            waited_for = threading.get_ident() in self._holders
        if waited_for or threading.current_thread().name == self._events_thread:
            handing = threading.Thread(target=self._hand_over, args=(heir, timeout), name="holocron-drain", daemon=True)
            handing.start()
        else:
            self._hand_over(heir, timeout)

    def _hand_over(self, heir: str | None, timeout: float | None) -> None:
        """End the lease, wait for the work that holds it, release. Belief ends first and the release comes last."""
        with self._lock:
            lease = self._lease
            if lease is None or self._draining:
                return
            self._draining = True
        limit = self._settings.drain if timeout is None else timeout
        try:
            lease.end(Reason.RELEASED)
            self._say_lost(Reason.RELEASED)
            drained = threading.Event()
            self._events.put(drained.set)
            end = time.monotonic() + limit
            with self._lock:
                while self._holders and time.monotonic() < end:
                    self._lock.wait(max(0.0, end - time.monotonic()))
                idle = not self._holders
            if idle and drained.wait(max(0.0, end - time.monotonic())):
                future: Future[int | None] = Future()

                def ask() -> None:
                    self._releases.append(future)
                    self._engine.release(heir)

                self._loop.post(ask)
                with contextlib.suppress(FutureTimeout):
                    future.result(self._settings.ttl_s)
            else:
                # The work goes on: stop renewing, and let the lease lapse by itself.
                self._loop.post(lambda: self._engine.feed(BeliefLapsed()))
        finally:
            with self._lock:
                self._draining = False
                if self._lease is lease:
                    self._lease = None
                self._lock.notify_all()

    def _finish(self, failure: HolocronError | None) -> None:
        if self._gone.is_set():
            return
        lease = self._lease
        if lease is not None:
            lease.end(Reason.RELEASED)
        self._log.info("Stopped node", **{**self._where(), "role": "stopped"}, requests=self.requests)
        self._gone.set()
        for future in [*self._tickets.values()]:
            if not future.done():
                future.set_exception(OutcomeUnknown(f"node {self.id} stopped before the value was settled"))
        with self._lock:
            self._lock.notify_all()
        self._events.put(None)
        self._loop.close()
        self._store.close()
        if self._home is not self._store:
            self._home.close()

    def _tell(self) -> None:
        while (event := self._events.get()) is not None:
            if callable(event):
                event()
                continue
            with self._lock:
                callbacks = list(self._callbacks)
            for callback in callbacks:
                try:
                    callback(event)
                except Exception:  # noqa: BLE001 - the application's fault is logged and hurts nothing of ours
                    self._log.exception("A subscriber raised.", event_=type(event).__name__)

    def _where(self) -> dict[str, Any]:
        state = self._engine.election
        record = state.head.record if state.head is not None else None
        return {
            "epoch": state.head.epoch if state.head is not None else 0,
            "term": record.term if record is not None else 0,
            "role": election.role(state),
        }

    def _who_leads(self) -> str:
        leader = self.leader()
        return f"node {leader.node} leads" if leader is not None else "nobody is known to lead"

    def _check_running(self) -> None:
        if self._gone.is_set() or os.getpid() != self._pid:
            raise self._failure or NodeStopped(f"node {self.id} has stopped")

    def __repr__(self) -> str:
        return f"<Node {self.id} incarnation={self.incarnation} {self.role} epoch={self.epoch}>"


class _Boarding:
    """The stores and the loop that a node comes aboard with; given back if it does not."""

    def __init__(
        self,
        location: str | Store,
        home: str | Store | None,
        settings: Settings | None,
        options: StoreOptions | None,
        clock: Clock | None,
    ) -> None:
        self.settings = settings or Settings()
        self.store = CountingStore(open_store(location, options) if isinstance(location, str) else location)
        if home is None or home == location:
            self.home = self.store
        else:
            self.home = CountingStore(open_store(home, options) if isinstance(home, str) else home)
        self.loop = Loop(clock)
        self.aboard: Aboard

    def deadline(self) -> Deadline:
        return Deadline(self.loop.now(), _BOARDING_S / 4, max(self.settings.attempt_s, 2.0))

    def claim(
        self, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> Claim:
        if priority is not None and not 0 <= priority <= 1000:
            self.close()
            raise SettingsError(f"priority is {priority} and must be between 0 and 1000")
        since = stamp(self.loop.now().wall_s)
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), since=since)
        return Claim(self.loop.nonce(), holder, self.store.uri, name, address, labels, priority)

    def follow_home(self, node: str, location: str | Store, options: StoreOptions | None) -> None:
        """Where `location` is a node's own home, go on with the cluster that its identity names."""
        try:
            there = _carry_out(self.loop, read(self.store, Identity, identity_key(node), None, self.deadline()))
        except BaseException:
            self.close()
            raise
        if there is None or not isinstance(there[0], Identity) or not isinstance(location, str):
            return
        named = there[0].cluster_uri
        if named and named != self.store.uri:
            self.home = self.store
            self.store = CountingStore(open_store(named, options))

    def board(self, made: type[Node], board: Callable[[Genesis], Procedure[Aboard]], *, assume_dead: bool) -> Node:
        try:
            now = stamp(self.loop.now().wall_s)
            founding = found_cluster(self.store, self.settings, self.loop.nonce, now, self.deadline())
            genesis, marker = _carry_out(self.loop, founding)
            if marker is None:
                marker = self._probe(genesis)
            if self.settings.trust_store_clock and not marker.clock_agrees:
                raise StoreUnfit(f"{self.store.uri}: Date and LastModified disagree, so its clock cannot be trusted")
            self.aboard = _carry_out(self.loop, board(genesis))
            return made(self.loop, self.store, self.home, self.aboard, genesis, self.settings, assume_dead)
        except BaseException:
            self.close()
            raise

    def _probe(self, genesis: Genesis) -> Marker:
        from holocron.store.probe import probe

        findings = probe(self.store)
        findings.raise_if_unfit()
        marker = Marker(
            cluster=genesis.cluster,
            nonce=self.loop.nonce(),
            probed=stamp(self.loop.now().wall_s),
            rounds=findings.rounds,
            clock_agrees=bool(findings.clock_agrees),
            clock_off_ms=findings.clock_off_ms,
        )
        # Only a note to the next node: if it cannot be written, the next one probes again.
        self.store.perform(Put(PROBE, encode(marker)), self.settings.attempt_s)
        return marker

    def close(self) -> None:
        self.loop.close()
        self.store.close()
        if self.home is not self.store:
            self.home.close()


def _carry_out(loop: Loop, procedure: Procedure[_T]) -> _T:
    """What `procedure` returns or raises, carried out by `loop` while this thread waits."""
    future: Future[_T] = Future()

    def caught() -> Procedure[None]:
        try:
            future.set_result((yield from procedure))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, whatever it is
            future.set_exception(error)

    loop.post(lambda: run(loop, caught(), lambda _: None))
    return future.result()


def _trouble(trouble: Trouble) -> HolocronError:
    from holocron.errors import StoreDenied, StoreUnreachable

    return StoreDenied(trouble.error) if trouble.denied else StoreUnreachable(trouble.error)
