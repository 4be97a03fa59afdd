"""What happened to one node since it came aboard, counted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import get_args

import msgspec

from holocron.costs import price_class
from holocron.protocol.messages import Reason
from holocron.records import Cause

__all__ = ["TAKEN_BY", "Statistics", "Tally", "Traffic", "total"]

# How leadership can be taken; a renewal goes on with what was taken.
TAKEN_BY = tuple(cause for cause in get_args(Cause) if cause != "renewed")


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of a store: requests by verb, those that it did not answer or refused, and bytes of objects.

    An attempt that was repeated counts each time. What headers and listings take is in no bytes here.
    """

    requests: dict[str, int]
    failures: dict[str, int]
    out_bytes: int
    in_bytes: int


def total(parts: Iterable[Traffic]) -> Traffic:
    """All of `parts` together; of at least one."""
    first, *more = parts
    requests, failures = dict(first.requests), dict(first.failures)
    for one in more:
        for verb, count in one.requests.items():
            requests[verb] += count
        for verb, count in one.failures.items():
            failures[verb] += count
    return Traffic(
        requests=requests,
        failures=failures,
        out_bytes=first.out_bytes + sum(one.out_bytes for one in more),
        in_bytes=first.in_bytes + sum(one.in_bytes for one in more),
    )


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
    #: Those requests by what S3 charges them as: "PUT" (PUT, COPY, POST, LIST), "GET" (GET, HEAD), "free" (DELETE).
    price_classes: dict[str, int]
    #: Bytes of objects, written and read.
    out_bytes: int
    in_bytes: int
    #: Seconds since this node's beacon was last known to be written; None before the first time.
    heartbeat_age_s: float | None
    #: Hints that were `sent` to others and `heard` from them, and datagrams `dropped` that were none (of all nodes that
    #: listen at the same address).
    hints: dict[str, int]


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

    def statistics(self, traffic: Traffic, heartbeat_age_s: float | None, hints: dict[str, int]) -> Statistics:
        """The counts as they are now, together with what others have counted."""
        classes = {"PUT": 0, "GET": 0, "free": 0}
        for verb, count in traffic.requests.items():
            classes[price_class(verb)] += count
        with self._lock:
            return Statistics(
                takeovers=dict(self._takeovers),
                losses=dict(self._losses),
                leader_changes=self._leader_changes,
                store_reachable=self._store_reachable,
                store_outages=self._store_outages,
                requests=traffic.requests,
                failures=traffic.failures,
                price_classes=classes,
                out_bytes=traffic.out_bytes,
                in_bytes=traffic.in_bytes,
                heartbeat_age_s=heartbeat_age_s,
                hints=hints,
            )
