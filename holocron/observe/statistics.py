"""What happened to one node since it came aboard, counted."""

from __future__ import annotations

import threading
from typing import get_args

import msgspec

from holocron.protocol.messages import Reason
from holocron.records import Cause

__all__ = ["TAKEN_BY", "Statistics", "Tally"]

# How leadership can be taken; a renewal goes on with what was taken.
TAKEN_BY = tuple(cause for cause in get_args(Cause) if cause != "renewed")


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since this process became the node, each table with every key it can have, and how things stand now."""

    #: How often this node became leader, by how: first, expired, released, handover.
    takeovers: dict[str, int]
    #: How often it stopped being leader, by `Reason`.
    losses: dict[str, int]
    #: How often it saw a leader other than the one before, itself included.
    leader_changes: int
    #: Whether the store answered last time, and how often it stopped answering.
    store_reachable: bool
    store_outages: int
    #: Requests by verb, a repeated one each time, and those of them that the store did not answer or refused.
    requests: dict[str, int]
    failures: dict[str, int]
    #: Seconds since this node's beacon was last known to be written; None before the first time.
    heartbeat_age_s: float | None


class Tally:
    """Keeps the counts of one node. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._takeovers = dict.fromkeys(TAKEN_BY, 0)
        self._losses = dict.fromkeys((reason.value for reason in Reason), 0)
        self._leader_changes = 0
        self._store_reachable = True
        self._store_outages = 0

    def took(self, cause: str) -> None:
        """This node became leader."""
        with self._lock:
            self._takeovers[cause] += 1

    def lost(self, reason: Reason) -> None:
        """It leads no more."""
        with self._lock:
            self._losses[reason.value] += 1

    def leader_changed(self) -> None:
        """Another leads than before."""
        with self._lock:
            self._leader_changes += 1

    def store_failed(self) -> None:
        """The store has stopped answering."""
        with self._lock:
            self._store_reachable = False
            self._store_outages += 1

    def store_answered(self) -> None:
        """The store answers again."""
        with self._lock:
            self._store_reachable = True

    def statistics(
        self, requests: dict[str, int], failures: dict[str, int], heartbeat_age_s: float | None
    ) -> Statistics:
        """The counts as they are now, together with what others have counted."""
        with self._lock:
            return Statistics(
                takeovers=dict(self._takeovers),
                losses=dict(self._losses),
                leader_changes=self._leader_changes,
                store_reachable=self._store_reachable,
                store_outages=self._store_outages,
                requests=requests,
                failures=failures,
                heartbeat_age_s=heartbeat_age_s,
            )
