"""The time of one cluster under test, and whose turn it is: real threads, one at a time, in the same order each run.

A thread that waits by a `ProcessClock` keeps to this time. It goes on when it is given its turn, which it is once what
it waits for has come; time passes only when everyone waits for it. All of that happens while the thread that the
cluster belongs to (the test's own) lets time pass, and between two such calls everything stands still.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holocron.errors import NodeStopped

if TYPE_CHECKING:
    from holocron.testing.clock import ProcessClock

__all__ = ["NS", "Pace", "PacedThread"]

NS = 1_000_000_000

# How long a thread may be at work, by the machine's clock, before it is taken to wait for something else. Counted in
# short waits, so that a pause of the whole machine is one of them and not all.
_PATIENCE_TURNS, _PATIENCE_TURN_S = 20, 0.5
_LIBRARY = Path(threading.__file__).parent


class _Waiter:
    """One thread that keeps to the time: what it waits for, and the gate that it waits at."""

    def __init__(self, clock: ProcessClock) -> None:
        self.clock = clock
        self.thread: threading.Thread | None = None
        self.condition: threading.Condition | None = None
        self.ready = _at_once
        # The reading of its process's MONOTONIC, in nanoseconds, at which it has waited long enough.
        self.until_ns: int | None = None
        self.gate = threading.Lock()
        self.gate.acquire()

    def due_ns(self) -> int | None:
        """When it has waited long enough, by the cluster's time."""
        return None if self.until_ns is None else self.clock.when_ns(self.until_ns)

    def is_ready(self, now_ns: int) -> bool:
        """Whether it may go on."""
        if not self.clock.running:
            return False
        due_ns = self.due_ns()
        if due_ns is not None and due_ns <= now_ns:
            return True
        if self.condition is None:
            return self.ready()
        with self.condition:
            return self.ready()


class _Farewell:
    """Lives among the locals of a thread that is not ours, and says when that ends."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say = say

    def __del__(self) -> None:
        self._say()


class _Locals(threading.local):
    waiter: _Waiter | None = None
    farewell: _Farewell | None = None


class PacedThread(threading.Thread):
    """A thread that keeps to the cluster's time from its first step on, and is joined by it too."""

    def __init__(self, pace: Pace, clock: ProcessClock, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._pace = pace
        self._clock = clock
        self._work = work
        self._over = False
        self._waiter = _Waiter(clock)
        self._waiter.thread = self

    def start(self) -> None:
        """Begin, when its turn comes."""
        self._pace.enlist(self._waiter)
        super().start()

    def run(self) -> None:
        """Carry out the work, unless its process or the test is over first."""
        try:
            self._pace.adopt(self._waiter)
            self._work()
        except NodeStopped:
            if not self._pace.over:
                raise
        finally:
            self._over = True
            self._pace.leave(self._waiter)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, by the clock of its process."""
        if not self._pace.over:
            condition = threading.Condition()
            with condition:
                if not self._clock.wait_for(condition, lambda: self._over, timeout):
                    return
        super().join(timeout)


class _Worker(threading.Thread):
    """A thread that carries out one piece of work after another, for whichever process has some."""

    def __init__(self, pace: Pace, clock: ProcessClock) -> None:
        super().__init__(name="holocron-io", daemon=True)
        self._pace = pace
        self.work: Callable[[], None]
        self.waiter = _Waiter(clock)
        self.waiter.thread = self

    def run(self) -> None:
        """Work until the test is over."""
        try:
            while True:
                self._pace.adopt(self.waiter)
                self.work()
                self._pace.rest(self)
        except NodeStopped:
            # The test is over: nothing else in here stops a node.
            pass


class Pace:
    """Time that passes when it is let, and the threads that keep to it."""

    def __init__(self) -> None:
        self.now_ns = 0
        #: The test is over: whoever waits by this time is told that the node has stopped.
        self.over = False
        self.owner = threading.get_ident()
        self._passing = False
        # Guards what is below.
        self._lock = threading.Lock()
        # In the order in which they came to wait.
        self._waiting: dict[_Waiter, None] = {}
        # Whose turn it is, and what is released when it is over.
        self._turn: _Waiter | None = None
        self._back = threading.Lock()
        self._back.acquire()
        self._idle: list[_Worker] = []
        self._local = _Locals()

    # --- for threads that keep to the time --------------------------------------------------------------------------

    def wait(
        self, clock: ProcessClock, condition: threading.Condition, ready: Callable[[], bool], until_ns: int | None
    ) -> None:
        """Wait, `condition` held, until it is this thread's turn to go on."""
        waiter = self._local.waiter
        if waiter is None:
            waiter = self._local.waiter = _Waiter(clock)
            waiter.thread = threading.current_thread()
            self._local.farewell = _Farewell(lambda: self.leave(waiter))
        waiter.clock, waiter.condition, waiter.ready, waiter.until_ns = clock, condition, ready, until_ns
        condition.release()
        try:
            self.enlist(waiter)
            waiter.gate.acquire()
        finally:
            condition.acquire()
        self._check()

    def enlist(self, waiter: _Waiter) -> None:
        """From here on `waiter` waits; if it was its turn, that is over."""
        with self._lock:
            if self.over:
                waiter.gate.release()
            else:
                self._waiting[waiter] = None
            self._end_turn(waiter)

    def adopt(self, waiter: _Waiter) -> None:
        """The current thread is `waiter`, which is enlisted: wait for its first turn."""
        self._local.waiter = waiter
        waiter.gate.acquire()
        self._check()

    def leave(self, waiter: _Waiter) -> None:
        """`waiter` keeps to the time no more."""
        with self._lock:
            self._waiting.pop(waiter, None)
            self._end_turn(waiter)

    def submit(self, clock: ProcessClock, work: Callable[[], None]) -> None:
        """Have `work` carried out for the process of `clock`, when its turn comes."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        fresh = worker is None
        if worker is None:
            worker = _Worker(self, clock)
        worker.work = work
        worker.waiter.clock = clock
        worker.waiter.condition, worker.waiter.ready, worker.waiter.until_ns = None, _at_once, None
        self.enlist(worker.waiter)
        if fresh:
            worker.start()

    def rest(self, worker: _Worker) -> None:
        """`worker` has done its work and may be given other."""
        with self._lock:
            self._idle.append(worker)
            if self.over:
                worker.waiter.gate.release()
            self._end_turn(worker.waiter)

    def _end_turn(self, waiter: _Waiter) -> None:
        if self._turn is waiter:
            self._turn = None
            self._back.release()

    def _check(self) -> None:
        if self.over:
            raise NodeStopped("the test is over, and its cluster with it")

    # --- for the thread that the cluster belongs to -----------------------------------------------------------------

    def pass_until(self, done: Callable[[], bool], end_ns: int) -> bool:
        """Let time pass until `done()`, asked whenever everyone waits, or until `end_ns`; whether it is done."""
        if threading.get_ident() != self.owner:
            raise RuntimeError("only the thread that made the cluster lets its time pass")
        if self._passing:
            raise RuntimeError("time passes already: what is asked whether it is done cannot itself let time pass")
        self._check()
        self._passing = True
        try:
            while True:
                while (waiter := self._next_ready()) is not None:
                    self._let(waiter)
                if done():
                    return True
                next_ns = self._next_ns()
                if next_ns is None or next_ns > end_ns:
                    self.now_ns = max(self.now_ns, end_ns)
                    return done()
                self.now_ns = next_ns
        finally:
            self._passing = False

    def end(self) -> None:
        """The test is over: nobody is kept any longer."""
        with self._lock:
            self.over = True
            waiting = [*self._waiting, *(worker.waiter for worker in self._idle)]
            self._waiting.clear()
            for waiter in waiting:
                waiter.gate.release()
        for waiter in waiting:
            if isinstance(waiter.thread, PacedThread | _Worker):
                waiter.thread.join(5.0)

    def _snapshot(self) -> list[_Waiter]:
        with self._lock:
            return list(self._waiting)

    def _next_ready(self) -> _Waiter | None:
        return next((waiter for waiter in self._snapshot() if waiter.is_ready(self.now_ns)), None)

    def _next_ns(self) -> int | None:
        """When the next thing happens by itself: someone has waited long enough, or a machine wakes."""
        due: list[int] = []
        for waiter in self._snapshot():
            if waiter.clock.alive and not waiter.clock.frozen:
                due += [when_ns for when_ns in (waiter.due_ns(), waiter.clock.wakes_ns) if when_ns is not None]
        return min(due, default=None)

    def _let(self, waiter: _Waiter) -> None:
        """Give `waiter` its turn, and wait until it waits again or has ended."""
        with self._lock:
            del self._waiting[waiter]
            self._turn = waiter
        waiter.gate.release()
        for _ in range(_PATIENCE_TURNS):
            if self._back.acquire(timeout=_PATIENCE_TURN_S):
                return
        with self._lock:
            if self._turn is None:
                # It came back at the last moment.
                self._back.acquire()
                return
            # Time goes on without it, and it is waited for no more until it comes to wait here again.
            self._turn = None
        warnings.warn(_elsewhere(waiter), RuntimeWarning, stacklevel=2)


def _at_once() -> bool:
    return True


def _elsewhere(waiter: _Waiter) -> str:
    thread = waiter.thread
    name = thread.name if thread is not None else "?"
    return (
        f"thread {name!r} of {waiter.clock.name} has not come back to the cluster's clock for "
        f"{_PATIENCE_TURNS * _PATIENCE_TURN_S:g} s (it is at {_place(thread)}): time passes without it. "
        "Wait by the clock, as lease.lost.wait(seconds) does, or do not block in a thread that the cluster wakes"
    )


def _place(thread: threading.Thread | None) -> str:
    """Where `thread` is, as far as it is not in the standard library."""
    frame = sys._current_frames().get(thread.ident) if thread is not None and thread.ident is not None else None
    while frame is not None and frame.f_back is not None and Path(frame.f_code.co_filename).parent == _LIBRARY:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "its end"
