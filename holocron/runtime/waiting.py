"""Waiting, and threads: by the clock that the process was given.

Whatever of the runtime waits for a time or for another thread, and whatever starts a thread, does it here. On the
system's clock these are the standard library's own; a `PacedClock`, which tests bring, does them its own way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from holocron.clock import Clock, PacedClock

__all__ = ["Signal", "result_of", "start", "take", "wait_for"]

_T = TypeVar("_T")


def wait_for(
    clock: Clock, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None = None
) -> bool:
    """Wait, `condition` held, until `ready()` or until `timeout_s` has passed; whether it is ready."""
    if isinstance(clock, PacedClock):
        return clock.wait_for(condition, ready, timeout_s)
    return condition.wait_for(ready, timeout_s)


def result_of(clock: Clock, future: Future[_T], timeout_s: float | None = None) -> _T:
    """What `future` comes to, waited for; `TimeoutError` if `timeout_s` has passed first."""
    if isinstance(clock, PacedClock):
        _wait(clock, future.done, timeout_s)
        timeout_s = 0.0
    return future.result(timeout_s)


def take(clock: Clock, queue: SimpleQueue[_T]) -> _T:
    """The next of `queue`, waited for by its only taker."""
    if isinstance(clock, PacedClock):
        _wait(clock, lambda: not queue.empty(), None)
    return queue.get()


def start(clock: Clock, work: Callable[[], None], name: str, *, daemon: bool = True) -> threading.Thread:
    """Carry out `work` on a new thread; a process ends without waiting for one that is a `daemon`."""
    if isinstance(clock, PacedClock):
        return clock.start(work, name)
    thread = threading.Thread(target=work, name=name, daemon=daemon)
    thread.start()
    return thread


class Signal(threading.Event):
    """An event whose `wait` is by the clock of the process."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or until `timeout` seconds have passed; whether it is set."""
        if not isinstance(self._clock, PacedClock):
            return super().wait(timeout)
        return _wait(self._clock, self.is_set, timeout)


def _wait(clock: PacedClock, ready: Callable[[], bool], timeout_s: float | None) -> bool:
    condition = threading.Condition()
    with condition:
        return clock.wait_for(condition, ready, timeout_s)
