"""The meter in front of every store: what is asked of it is counted, for every request costs money."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from holocron.observe.statistics import Traffic
from holocron.store.base import Answer, Delete, Denied, Found, Get, List, Put, Request, Store, Unclear
from holocron.store.race import race

__all__ = ["VERBS", "CountingStore"]

VERBS: dict[type, str] = {Get: "GET", Put: "PUT", List: "LIST", Delete: "DELETE"}


class CountingStore:
    """`store`, with every attempt counted by verb, a repeated one each time. Safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(VERBS.values(), 0)
        self._failures = dict.fromkeys(VERBS.values(), 0)
        self._out_bytes = 0
        self._in_bytes = 0

    @property
    def counted(self) -> Store:
        """The counted store itself."""
        return self._store

    @property
    def uri(self) -> str:
        """Where the counted store is."""
        return self._store.uri

    @property
    def requests(self) -> dict[str, int]:
        """How many there were of each verb so far: a copy."""
        with self._lock:
            return dict(self._counts)

    @property
    def traffic(self) -> Traffic:
        """All that was counted so far."""
        with self._lock:
            return Traffic(
                requests=dict(self._counts),
                failures=dict(self._failures),
                out_bytes=self._out_bytes,
                in_bytes=self._in_bytes,
            )

    def perform(self, request: Request, timeout_s: float) -> Answer:
        """As the counted store."""
        verb = VERBS[type(request)]
        with self._lock:
            self._counts[verb] += 1
            if isinstance(request, Put):
                self._out_bytes += len(request.body)
        answer = self._store.perform(request, timeout_s)
        if isinstance(answer, Unclear | Denied):
            with self._lock:
                self._failures[verb] += 1
        elif isinstance(answer, Found):
            with self._lock:
                self._in_bytes += len(answer.body)
        return answer

    def race(self, key: str, bodies: Sequence[bytes], timeout_s: float) -> list[Answer]:
        """As the counted store: it may bring its writers closer together than threads can, and a probe needs that."""
        with self._lock:
            self._counts["PUT"] += len(bodies)
            self._out_bytes += sum(map(len, bodies))
        return race(self._store, key, bodies, timeout_s)

    def close(self) -> None:
        """Close the counted store."""
        self._store.close()
