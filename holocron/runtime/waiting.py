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

__all__ = ["Promised", "Signal", "start", "take", "wait_for"]

_T = TypeVar("_T")


def wait_for(
    clock: Clock, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None = None
) -> bool:
    """Wait, `condition` held, until `ready()` or until `timeout_s` has passed; whether it is ready."""
    if ready():
        # As most often; and to tell one clock from another takes longer than all of this.
        return True
    if timeout_s is not None:
        # What the standard library can wait for: some centuries, and less than `math.inf`.
        timeout_s = min(timeout_s, threading.TIMEOUT_MAX)
    if isinstance(clock, PacedClock):
        return clock.wait_for(condition, ready, timeout_s)
    return condition.wait_for(ready, timeout_s)


def take(clock: Clock, queue: SimpleQueue[_T]) -> _T:
    """The next of `queue`, waited for by its only taker."""
    if queue.empty() and isinstance(clock, PacedClock):
        _wait(clock, lambda: not queue.empty(), None)
    return queue.get()


def start(clock: Clock, work: Callable[[], None], name: str, *, daemon: bool = True) -> threading.Thread:
    """Carry out `work` on a new thread; a process ends without waiting for one that is a `daemon`."""
    if isinstance(clock, PacedClock):
        return clock.start(work, name)
    thread = threading.Thread(target=work, name=name, daemon=daemon)
    thread.start()
    return thread


class Promised(Future[_T]):
    """A future whose `result` and `exception` are waited for by the clock of the process."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def result(self, timeout: float | None = None) -> _T:
        """What it comes to, waited for; `TimeoutError` if `timeout` seconds have passed first."""
        return super().result(self._left_s(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What it raises, or None, waited for as with `result`."""
        return super().exception(self._left_s(timeout))

    def _left_s(self, timeout_s: float | None) -> float | None:
        """How long is still to be waited by the system's clock: nothing, where another has been waited by."""
        if self.done() or not isinstance(self._clock, PacedClock):
            return timeout_s
        _wait(self._clock, self.done, timeout_s)
        return 0.0


class Signal(threading.Event):
    """An event whose `wait` is by the clock of the process, and which calls whoever does not want to wait."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        # Each is put in and taken out in one step of the interpreter, so that nobody waits on a lock here.
        self._calls: dict[object, Callable[[], None]] = {}

    def set(self) -> None:
        """Set it, and call whoever asked for that."""
        super().set()
        self._call()

    def then(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called once it is set, on the thread that sets it, or here and now if it is set already; call the
        result to have it forgotten.

        `call` must neither wait nor raise.
        """
        ticket = object()
        self._calls[ticket] = call
        if self.is_set():
            self._call()

        def forget() -> None:
            self._calls.pop(ticket, None)

        return forget

    def _call(self) -> None:
        while self._calls:
            try:
                _, call = self._calls.popitem()
            except KeyError:
                # Another thread was first to take the last one.
                return
            call()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or until `timeout` seconds have passed; whether it is set."""
        if not isinstance(self._clock, PacedClock):
            return super().wait(timeout)
        return _wait(self._clock, self.is_set, timeout)


def _wait(clock: PacedClock, ready: Callable[[], bool], timeout_s: float | None) -> bool:
    condition = threading.Condition()
    with condition:
        return clock.wait_for(condition, ready, timeout_s)
