"""What blocks, carried out beside an event loop: on a bounded number of threads, none of which is the loop's own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from holocron.clock import SystemClock
from holocron.runtime.waiting import Signal, start

__all__ = ["Crew", "aside", "outcome", "signalled", "waker"]

_T = TypeVar("_T")

# How long a thread without work stays.
_IDLE_S = 5.0


class Crew:
    """Threads that carry out calls, in the order in which they were handed in, at most `limit` at a time.

    They come with the work and go without it, so nothing is to be closed; and no process waits for them at its end.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._idle = 0
        self._threads = 0

    async def call(self, work: Callable[[], _T]) -> _T:
        """What `work` returns or raises. Cancelled before it began, it is never done; afterwards it goes on unseen."""
        future: Future[_T] = Future()
        with self._changed:
            self._calls.append(partial(contextvars.copy_context().run, _settle, future, work))
            self._changed.notify()
            if len(self._calls) > self._idle and self._threads < self._limit:
                self._threads += 1
                start(SystemClock(), self._work, "holocron-aio")
        try:
            return await outcome(future)
        except asyncio.CancelledError:
            future.cancel()
            raise

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._calls, _IDLE_S)
            self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._threads -= 1
            return None


def aside(work: Callable[[], _T]) -> Future[_T]:
    """Carry out `work` on a thread of its own, which is there at once: for what begins or ends something."""
    future: Future[_T] = Future()
    start(SystemClock(), partial(contextvars.copy_context().run, _settle, future, work), "holocron-aio-aside")
    return future


def _settle(future: Future[_T], work: Callable[[], _T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits, whatever it is
        future.set_exception(error)
    else:
        future.set_result(result)


async def outcome(future: Future[_T]) -> _T:
    """What `future` comes to. Cancelling this ends the wait, and leaves the future as it is."""
    over = asyncio.Event()
    wake = waker(over.set)
    future.add_done_callback(lambda _: wake())
    await over.wait()
    return future.result()


async def signalled(signal: Signal, timeout: float | None) -> bool:
    """Wait until `signal` is set; False if `timeout` came first."""
    over = asyncio.Event()
    forget = signal.then(waker(over.set))
    try:
        async with asyncio.timeout(timeout):
            await over.wait()
    except TimeoutError:
        return signal.is_set()
    finally:
        forget()
    return True


def waker(call: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    """What any thread may call to have `call` called on the running event loop, as long as that runs."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        # A loop that is closed has nobody left who could wait.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call, *arguments)

    return wake
