"""The production world: one scheduler thread, and a bounded pool of threads for requests.

The scheduler thread runs nothing that waits: no request, no callback of the application. So a busy application, a
blocked event loop or a store that hangs cannot starve a renewal.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from holocron.clock import Clock, Instant, PacedClock, SystemClock
from holocron.errors import NodeStopped
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.observe.logs import logger
from holocron.runtime.sharing import Reads, what_of
from holocron.runtime.waiting import Promised, start, wait_for
from holocron.runtime.world import World, run
from holocron.store.base import Answer, Get, List, Procedure, Put, Request, Store, Unclear

__all__ = ["Loop"]

_T = TypeVar("_T")

# The longest that the scheduler sleeps on: what is due is read off the clock, and that may have been moved meanwhile.
_NAP_S = 1.0
# How many requests that a lease hangs on go before the others, side by side; more of them wait their turn with those.
_URGENT_THREADS = 4
_FLOOR = Get(EPOCH_FLOOR)
# The shortest delay that is one: less than this, added to a clock's reading, may be no later at all.
_GRAIN_S = 1e-9


class Loop:
    """A scheduler thread that carries out calls in order, and threads that put requests to stores.

    A call is due by the MONOTONIC of `clock`: a suspend stops it, and the rules, which read their own clocks, know.
    """

    def __init__(self, clock: Clock | None = None, io_threads: int = 16) -> None:
        self.clock = clock or SystemClock()
        self._paced = self.clock if isinstance(self.clock, PacedClock) else None
        self._ready = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._awaited: set[Future[Any]] = set()
        self._io = ThreadPoolExecutor(io_threads, thread_name_prefix="holocron-io")
        self._io_threads = io_threads
        # Threads for a few requests that may go before the others, and how many each pool has not answered yet.
        self._urgent = ThreadPoolExecutor(_URGENT_THREADS, thread_name_prefix="holocron-urgent")
        self._under_way = {self._io: 0, self._urgent: 0}
        self._reads = Reads()
        self._thread = start(self.clock, self._work, "holocron-scheduler")

    def now(self) -> Instant:
        return self.clock.now()

    def nonce(self) -> str:
        return secrets.token_hex(16)

    def uniform(self, low: float, high: float) -> float:
        if self._paced is not None:
            return self._paced.between(low, high)
        return random.uniform(low, high)  # noqa: S311 - spreads out crowds, keeps no secret

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        if not isinstance(request, Get | List) or request == _FLOOR:
            # The floor is read after a win, and a lease waits for nobody.
            self._send(store, request, timeout_s, done)
            return
        with self._ready:
            begins = self._reads.begins(what_of(store, request), done)
        if begins:
            self._read(store, request, timeout_s, [done])

    def _read(self, store: Store, request: Get | List, timeout_s: float, dones: list[Callable[[Answer], None]]) -> None:
        """Read once, for all who wait for it: the nodes of a process mostly poll for the same epoch."""

        def answered(answer: Answer) -> None:
            with self._ready:
                following = self._reads.ended(what_of(store, request))
            if following:
                self._read(store, request, timeout_s, following)
            for done in dones[1:]:
                self.post(partial(done, answer))
            dones[0](answer)

        self._send(store, request, timeout_s, answered)

    def _send(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        # Where many nodes share these threads and the store is slow, what a lease hangs on does not wait behind polls.
        with self._ready:
            crowded = self._under_way[self._io] >= self._io_threads
            ahead = crowded and self._under_way[self._urgent] < _URGENT_THREADS and _urgent(request)
            pool = self._urgent if ahead else self._io
            self._under_way[pool] += 1

        def answered(answer: Answer) -> None:
            # On the scheduler's thread, so that what follows from the answer is the next to go ahead.
            with self._ready:
                self._under_way[pool] -= 1
            done(answer)

        self.put(pool, store, request, timeout_s, answered)

    def put(
        self,
        pool: ThreadPoolExecutor,
        store: Store,
        request: Request,
        timeout_s: float,
        done: Callable[[Answer], None],
    ) -> None:
        """As `perform`, on the threads of `pool`."""

        def ask() -> None:
            try:
                answer = store.perform(request, timeout_s)
            except Exception as error:  # noqa: BLE001 - a fault in a store must not end the election, only this request
                logger().exception("A store raised.", error=repr(error))
                answer = Unclear(f"{type(error).__name__}: {error}")
            self.post(lambda: done(answer))

        if self._paced is not None:
            self._paced.submit(ask)
            return
        try:
            pool.submit(ask)
        except RuntimeError:
            self.post(lambda: done(Unclear("this process is shutting down", sent=False)))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        delay_s = max(_GRAIN_S, delay_s) if delay_s > 0 else 0.0
        with self._ready:
            heapq.heappush(self._heap, (self.now().mono_s + delay_s, next(self._order), call))
            self._ready.notify()

    def post(self, call: Callable[[], None]) -> None:
        """Call `call` on the scheduler thread, as soon as may be."""
        self.call_later(0.0, call)

    def carry_out(self, procedure: Procedure[_T], world: World | None = None, timeout_s: float | None = None) -> _T:
        """What `procedure` returns or raises, while the calling thread waits; not to be called on the scheduler's.

        Args:
            world: whose threads put its requests, if not this loop's own.

        Raises:
            NodeStopped: this loop was closed first. TimeoutError: `timeout_s` has passed first; it goes on unseen.
        """
        future: Promised[_T] = Promised(self.clock)

        def caught() -> Procedure[None]:
            try:
                result = yield from procedure
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, whatever it is
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(error)
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(result)

        with self._ready:
            self._awaited.add(future)
            closed = self._closed
        try:
            if closed:
                raise _closed()
            self.post(lambda: run(world or self, caught(), lambda _: None))
            return future.result(timeout_s)
        finally:
            with self._ready:
                self._awaited.discard(future)

    def close(self) -> None:
        """End the scheduler thread; requests under way are left to end by themselves."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        for pool in (self._io, self._urgent):
            pool.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
        with self._ready:
            awaited = list(self._awaited)
        for future in awaited:
            # Nothing takes it any further now, and whoever waits for it would wait for ever.
            with contextlib.suppress(InvalidStateError):
                future.set_exception(_closed())

    def _work(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 - one node's fault must not stop the others on this thread
                logger().exception("A step of the engine failed.")

    def _next(self) -> Callable[[], None] | None:
        """The call that is due first, waited for; None once the loop is closed."""
        with self._ready:
            while not self._closed:
                first = self._first()
                left_s = None if first is None else first[0] - self.now().mono_s
                if left_s is not None and left_s <= 0:
                    return heapq.heappop(self._heap)[2]
                if left_s is not None and self._paced is None:
                    left_s = min(left_s, _NAP_S)
                wait_for(self.clock, self._ready, lambda: self._closed or self._first() is not first, left_s)  # noqa: B023
            return None

    def _first(self) -> tuple[float, int, Callable[[], None]] | None:
        return self._heap[0] if self._heap else None


def _urgent(request: Request) -> bool:
    """Whether a lease may hang on `request`: an epoch that is to be created, the LIST before it, the floor after it."""
    match request:
        case Put(key=key):
            return key.startswith(EPOCHS)
        case List(prefix=prefix):
            return prefix == EPOCHS
        case Get():
            return request == _FLOOR
    return False


def _closed() -> NodeStopped:
    return NodeStopped("the node has stopped, and what was under way ended with it")
