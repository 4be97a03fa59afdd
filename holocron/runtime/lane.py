"""A second way to the store, so that heartbeats and renewals never queue behind what is bulky."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from holocron.clock import Instant
from holocron.runtime.loop import Loop
from holocron.store.base import Answer, Request, Store

__all__ = ["Lane"]


class Lane:
    """`loop` as a world whose requests have threads of their own; everything else happens on the loop's one thread."""

    def __init__(self, loop: Loop, name: str, threads: int) -> None:
        self.loop = loop
        self._io = ThreadPoolExecutor(threads, thread_name_prefix=f"holocron-{name}")

    def now(self) -> Instant:
        return self.loop.now()

    def nonce(self) -> str:
        return self.loop.nonce()

    def uniform(self, low: float, high: float) -> float:
        return self.loop.uniform(low, high)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.loop.call_later(delay_s, call)

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        self.loop.put(self._io, store, request, timeout_s, done)

    def close(self) -> None:
        """Take no more requests; those under way are left to end by themselves."""
        self._io.shutdown(wait=False, cancel_futures=True)
