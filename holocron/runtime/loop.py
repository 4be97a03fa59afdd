"""The production world: one scheduler thread, and a bounded pool of threads for requests.

The scheduler thread runs nothing that waits: no request, no callback of the application. So a busy application, a
blocked event loop or a store that hangs cannot starve a renewal.
"""

from __future__ import annotations

import heapq
import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from holocron.clock import Clock, Instant, SystemClock
from holocron.observe.logs import logger
from holocron.runtime.world import run
from holocron.store.base import Answer, Procedure, Request, Store, Unclear

__all__ = ["Loop"]

_T = TypeVar("_T")


class Loop:
    """A scheduler thread that carries out calls in order, and threads that put requests to stores."""

    def __init__(self, clock: Clock | None = None, io_threads: int = 16) -> None:
        self.clock = clock or SystemClock()
        self._ready = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._io = ThreadPoolExecutor(io_threads, thread_name_prefix="holocron-io")
        self._thread = threading.Thread(target=self._work, name="holocron-scheduler", daemon=True)
        self._thread.start()

    def now(self) -> Instant:
        return self.clock.now()

    def nonce(self) -> str:
        return secrets.token_hex(16)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - spreads out crowds, keeps no secret

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        def ask() -> None:
            try:
                answer = store.perform(request, timeout_s)
            except Exception as error:  # noqa: BLE001 - a fault in a store must not end the election, only this request
                logger().exception("A store raised.", error=repr(error))
                answer = Unclear(f"{type(error).__name__}: {error}")
            self.post(lambda: done(answer))

        try:
            self._io.submit(ask)
        except RuntimeError:
            self.post(lambda: done(Unclear("this process is shutting down", sent=False)))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        with self._ready:
            heapq.heappush(self._heap, (time.monotonic() + max(0.0, delay_s), next(self._order), call))
            self._ready.notify()

    def post(self, call: Callable[[], None]) -> None:
        """Call `call` on the scheduler thread, as soon as may be."""
        self.call_later(0.0, call)

    def carry_out(self, procedure: Procedure[_T]) -> _T:
        """What `procedure` returns or raises, while the calling thread waits; not to be called on the scheduler's."""
        future: Future[_T] = Future()

        def caught() -> Procedure[None]:
            try:
                future.set_result((yield from procedure))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, whatever it is
                future.set_exception(error)

        self.post(lambda: run(self, caught(), lambda _: None))
        return future.result()

    def close(self) -> None:
        """End the scheduler thread; requests under way are left to end by themselves."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._io.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._closed:
                    if not self._heap:
                        self._ready.wait()
                        continue
                    wait_s = self._heap[0][0] - time.monotonic()
                    if wait_s <= 0:
                        break
                    # A suspend stops this wait's clock; the rules read their own, so a late wake is only late.
                    self._ready.wait(min(wait_s, 1.0))
                if self._closed:
                    return
                call = heapq.heappop(self._heap)[2]
            try:
                call()
            except Exception:  # noqa: BLE001 - one node's fault must not stop the others on this thread
                logger().exception("A step of the engine failed.")
