"""Writers of one key, let go at the same instant: what shows whether a store's conditional writes are atomic."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from holocron.store.base import Answer, Put, Store, Unclear

__all__ = ["Racing", "race", "race_threads"]


@runtime_checkable
class Racing(Protocol):
    """A store that can bring its writers closer together than threads can."""

    def race(self, key: str, bodies: Sequence[bytes], timeout_s: float) -> list[Answer]:
        """As the function `race`, for this store."""
        ...


def race(store: Store, key: str, bodies: Sequence[bytes], timeout_s: float) -> list[Answer]:
    """Create `key` once per body, all at the same time, in about `timeout_s`; the answers in the order of `bodies`.

    On a store that keeps its promise at most one is `Written`, and it is the one whose body is found there.
    """
    if isinstance(store, Racing):
        return store.race(key, bodies, timeout_s)
    return race_threads(store, key, bodies, timeout_s)


def race_threads(store: Store, key: str, bodies: Sequence[bytes], timeout_s: float) -> list[Answer]:
    """`race` with a thread per body that wait for one another before they ask the store."""
    if not bodies:
        return []
    until = time.monotonic() + timeout_s
    barrier = threading.Barrier(len(bodies))

    def one(body: bytes) -> Answer:
        try:
            barrier.wait(max(0.001, until - time.monotonic()))
        except threading.BrokenBarrierError:
            return Unclear("the writers of a race did not come together in time", sent=False)
        return store.perform(Put(key, body), until - time.monotonic())

    with ThreadPoolExecutor(len(bodies), thread_name_prefix="holocron-race") as pool:
        return list(pool.map(one, bodies))
