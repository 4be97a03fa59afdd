"""What a node tells: the log, and those who subscribe to its events."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from holocron import events
from holocron.clock import Clock
from holocron.observe.logs import logger
from holocron.observe.statistics import Tally
from holocron.protocol.election import Election, leader_of, role
from holocron.protocol.messages import Seen
from holocron.records import Epoch
from holocron.runtime.views import Topology
from holocron.runtime.waiting import Signal, start, take

__all__ = ["Announcer"]


class Announcer:
    """Says what happens to one node: to the log at once, to subscribers in order, on a thread of their own.

    Args:
        election: what the node knows of the election at the moment that something is said.
        clock: what its thread waits by.
    """

    def __init__(self, node: str, election: Callable[[], Election], clock: Clock) -> None:
        #: The leader's view as the newest lock file had it.
        self.topology: Topology | None = None
        #: What was told, counted.
        self.tally = Tally()
        #: The newest lock file that was read, None where that could not be done.
        self.head: Epoch | None = None
        #: Set once everything was told, and nothing more will be.
        self.over = Signal(clock)
        self._election = election
        self._clock = clock
        self._log = logger(node=node)
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[events.Event], None]] = []
        self._queue: queue.SimpleQueue[events.Event | Signal | None] = queue.SimpleQueue()
        self._name = f"holocron-events-{node}"
        # Started for the first subscriber: a process may host thousands of nodes that nobody listens to.
        self._thread: threading.Thread | None = None

    def log(self, sentence: str, level: int = logging.INFO, **more: Any) -> None:
        """A log event; it carries where the node stands in the election, unless `more` says otherwise."""
        election = self._election()
        record = election.head.record if election.head is not None else None
        where = {
            "epoch": election.head.epoch if election.head is not None else 0,
            "term": record.term if record is not None else 0,
            "role": role(election),
        }
        self._log.log(level, sentence, **{**where, **more})

    def who_leads(self) -> str:
        """For the end of a message to someone who does not lead."""
        leader = leader_of(self._election())
        return f"node {leader.node} leads" if leader is not None else "nobody is known to lead"

    def tell(self, event: events.Event) -> None:
        """Have every subscriber hear of `event`, after all that was told before; never waits."""
        self._count(event)
        if self._thread is not None:
            self._queue.put(event)

    def follow(self, seen: Seen) -> None:
        """Tell what is new in the head: another leader, another view of everyone."""
        before, self.head = self.head, seen.record
        record = seen.record
        if record is not None:
            topology = Topology(epoch=seen.epoch, term=record.term, leader=record.leader, members=record.topology)
            told, self.topology = self.topology, topology
            if told is None or told.members != topology.members:
                self.tell(events.TopologyChanged(topology))
        now = (record.term, record.leader) if record is not None and record.kind == "lease" else None
        then = (before.term, before.leader) if before is not None and before.kind == "lease" else None
        if now != then:
            leader = now[1] if now is not None else None
            self.tell(events.LeaderChanged(leader, seen.epoch, record.term if record is not None else None))

    def _count(self, event: events.Event) -> None:
        match event:
            case events.Elected():
                # Whoever was elected has created the newest lock file, and that says how it came to it.
                self.tally.took(self.head.cause if self.head is not None else "first")
            case events.Deposed(reason=reason):
                self.tally.lost(reason)
            case events.LeaderChanged(leader=leader) if leader is not None:
                self.tally.leader_changed()
            case events.StoreUnreachable():
                self.tally.store_failed()
            case events.StoreBack():
                self.tally.store_answered()

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Have `callback` called with every event from now on; call the result to end that."""
        with self._lock:
            self._callbacks.append(callback)
            if self._thread is None:
                self._thread = start(self._clock, self._deliver, self._name)

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

    def all_heard(self) -> Signal:
        """Set once every subscriber has returned from everything that was told before this call."""
        heard = Signal(self._clock)
        if self._thread is None:
            heard.set()
        else:
            self._queue.put(heard)
        return heard

    @property
    def calling(self) -> bool:
        """Whether the current thread is the one that calls subscribers."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Tell nothing more, once what was told has been heard."""
        if self._thread is not None:
            self._queue.put(None)

    def _deliver(self) -> None:
        while (event := take(self._clock, self._queue)) is not None:
            if isinstance(event, Signal):
                event.set()
                continue
            with self._lock:
                callbacks = list(self._callbacks)
            for callback in callbacks:
                try:
                    callback(event)
                except Exception:  # noqa: BLE001 - the application's fault is logged and hurts nothing of ours
                    self._log.exception("A subscriber raised.", event_=type(event).__name__)
        self.over.set()
