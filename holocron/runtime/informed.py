"""What a node knows: of itself, of its cluster, and what its store tells of the past."""

from __future__ import annotations

import os
from collections.abc import Callable

from holocron.clock import elapsed_holder_s
from holocron.errors import HolocronError, NodeStopped, StoreDenied, StoreUnreachable
from holocron.observe.statistics import Statistics
from holocron.protocol import election
from holocron.protocol.state import paused_s
from holocron.records import Leader, Member, Published
from holocron.runtime.engine import Engine
from holocron.runtime.history import tenure_ends, tenures
from holocron.runtime.notices import Notice
from holocron.runtime.session import Session
from holocron.runtime.telling import Announcer
from holocron.runtime.views import Tenure, Topology, remembered
from holocron.runtime.waiting import Signal
from holocron.store.base import Deadline
from holocron.store.chain import Trouble

__all__ = ["Informed"]


class Informed:
    """The part of a `Node` that only tells: nothing here changes anything, and only `history` asks the store.

    Args:
        session: how this process came aboard.
        notice: is told what the engine tells, on the loop's thread.
    """

    def __init__(self, session: Session, notice: Callable[[Notice], None], *, assume_dead: bool) -> None:
        self._session = session
        self._settings = session.settings
        self._loop = session.loop
        self._identity = session.aboard.identity
        self._pid = os.getpid()
        self._gone = Signal(session.loop.clock)
        self._failure: HolocronError | None = None
        self._engine = Engine(
            session.loop,
            session.store,
            session.home,
            session.aboard,
            session.settings,
            session.genesis.ttl_max_ms / 1000,
            notice,
            assume_dead=assume_dead,
            hints=(session.ear.address, session.ear.send) if session.ear is not None else None,
        )
        if session.ear is not None:
            session.ear.hear(session.genesis.cluster, self.id, self._engine.hinted)
        self._told = Announcer(self.id, lambda: self._engine.election, session.loop.clock)
        self._told.topology = remembered(session.aboard.state)

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
        return self._session.store.uri

    @property
    def role(self) -> str:
        """Its role right now: solo, follower, candidate, leader or stopped. For acting as leader, ask a lease."""
        if self._gone.is_set() or os.getpid() != self._pid:
            return "stopped"
        return election.role(self._engine.election)

    @property
    def epoch(self) -> int:
        """The newest epoch that any incarnation of it has seen, so that it never goes down; 0 before the first."""
        head = self._engine.election.head
        return max(head.epoch if head is not None else 0, self._session.aboard.last_epoch)

    @property
    def stopped(self) -> bool:
        """Whether it has stopped, by `stop` or by itself (see `failure`)."""
        return self._gone.is_set()

    @property
    def failure(self) -> HolocronError | None:
        """Why it stopped by itself (`Superseded`, `StoreUnfit`), or None."""
        return self._failure

    @property
    def requests(self) -> dict[str, int]:
        """How many requests it has made so far, by verb."""
        return self._session.traffic().requests

    def statistics(self) -> Statistics:
        """What has happened to it so far, counted; asks the store for nothing."""
        beaten = self._engine.beaten_at
        age_s = None if beaten is None else elapsed_holder_s(beaten, self._loop.now())
        hints = {**self._engine.hints(), "dropped": self._session.ear.dropped if self._session.ear is not None else 0}
        return self._told.tally.statistics(self._session.traffic(), age_s, hints)

    def leader(self) -> Leader | None:
        """Who leads, as far as this node knows; None between two leaders, or where the lock file cannot be read."""
        return election.leader_of(self._engine.election)

    def topology(self) -> Topology | None:
        """The leader's view of everyone, from the newest lock file this node has read; None before the first.

        A resumed node begins with the one that it knew last.
        """
        return self._told.topology

    def members(self) -> tuple[Member, ...]:
        """The rows of `topology()`."""
        topology = self._told.topology
        return topology.members if topology is not None else ()

    def published(self) -> Published | None:
        """The value published last, as far as this node knows, with the epoch and term it was published in."""
        return self._engine.election.published

    @property
    def paused_s(self) -> float:
        """How long leadership is still to stay where it is (see `pause`), as far as this node knows; 0 without one."""
        return paused_s(self._engine.election.pause, self._loop.now())

    def history(self, limit: int = 20) -> tuple[Tenure, ...]:
        """The newest `limit` tenures, newest first, read from the store."""
        self._check_running()
        head = self._engine.election.head
        if head is None:
            return ()
        deadline = Deadline(self._loop.now(), 30.0, self._settings.attempt_s)
        ends = tenure_ends(self._engine.chain, self._session.store, head.epoch, limit, deadline)
        found = self._loop.carry_out(ends)
        if isinstance(found, Trouble):
            raise StoreDenied(found.error) if found.denied else StoreUnreachable(found.error)
        return tenures(found)[:limit]

    def _check_running(self) -> None:
        if self._gone.is_set() or os.getpid() != self._pid:
            raise self._why_stopped()

    def _why_stopped(self) -> HolocronError:
        return self._failure or NodeStopped(f"node {self.id} has stopped")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} incarnation={self.incarnation} {self.role} epoch={self.epoch}>"
