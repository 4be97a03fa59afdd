"""A second way to the store, so that heartbeats and renewals never queue behind what is bulky."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from holocron.clock import Instant
from holocron.observe.logs import logger
from holocron.runtime.loop import Loop
from holocron.store.base import Answer, Request, Store, Unclear

__all__ = ["Lane"]


class Lane:
    """`loop` as a world whose requests have threads of their own; everything else happens on the loop's one thread."""

    def __init__(self, loop: Loop, name: str, threads: int) -> None:
        self._loop = loop
        self._io = ThreadPoolExecutor(threads, thread_name_prefix=f"holocron-{name}")

    def now(self) -> Instant:
        return self._loop.now()

    def nonce(self) -> str:
        return self._loop.nonce()

    def uniform(self, low: float, high: float) -> float:
        return self._loop.uniform(low, high)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, call)

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        def ask() -> None:
            try:
                answer = store.perform(request, timeout_s)
            except Exception as error:  # noqa: BLE001 - a fault in a store must not end the journal, only this request
                logger().exception("A store raised.", error=repr(error))
                answer = Unclear(f"{type(error).__name__}: {error}")
            self._loop.post(lambda: done(answer))

        try:
            self._io.submit(ask)
        except RuntimeError:
            self._loop.post(lambda: done(Unclear("this process is shutting down", sent=False)))

    def close(self) -> None:
        """Take no more requests; those under way are left to end by themselves."""
        self._io.shutdown(wait=False, cancel_futures=True)
