"""Waiting and threads go by the clock that the process was given, and by the standard library on the system's."""

from __future__ import annotations

import ast
import math
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

import holocron
from holocron import Node
from holocron.clock import Instant, PacedClock, SystemClock
from holocron.runtime.waiting import Promised, Signal, start, take, wait_for
from tests.runtime.waiting import LIVENESS_S

# What in these modules waits for a time or begins a thread, and would do so behind an injected clock's back.
BANNED = {"threading.Thread", "threading.Timer", "threading.Event", "time.sleep", "time.monotonic"}
# The one place for it; what a fork is given to wait on, for nothing would ever set an event of its parent's; and the
# rest between two looks at a real socket, which knows the system's clock alone.
MAY = {
    ("waiting.py", "threading.Thread"),
    ("waiting.py", "threading.Event"),
    ("lease.py", "threading.Event"),
    ("hearing.py", "threading.Event"),
}


class Recorder:
    """A paced clock that makes true at once what is waited for, and keeps how long it would have been."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens
        self.waits: list[float | None] = []

    def now(self) -> Instant:
        return Instant(0.0, 0.0, 0.0)

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        # Raises where the condition is not held.
        condition.notify_all()
        self.waits.append(timeout_s)
        self.happens()
        return ready()

    def start(self, work: Callable[[], None], name: str) -> threading.Thread:
        self.waits.append(None)
        return threading.Thread(target=work, name=name)

    def submit(self, work: Callable[[], None]) -> None:
        work()

    def between(self, low_s: float, high_s: float) -> float:
        return low_s


def test_the_systems_clock_is_not_paced() -> None:
    """Production waits as the standard library does; only who brings all of a `PacedClock` is one."""
    assert not isinstance(SystemClock(), PacedClock)
    assert isinstance(Recorder(lambda: None), PacedClock)


def test_waiting_on_the_systems_clock() -> None:
    """A condition is waited for, and for no longer than was said; what is there already is not waited for."""
    clock, condition = SystemClock(), threading.Condition()
    with condition:
        assert wait_for(clock, condition, lambda: True, 0.0)
        assert not wait_for(clock, condition, lambda: False, 0.01)
    signal, promised = Signal(clock), Promised[int](clock)
    assert not signal.wait(0.01)
    with pytest.raises(TimeoutError):
        promised.result(0.01)
    queue: SimpleQueue[int] = SimpleQueue()

    def happen() -> None:
        signal.set()
        promised.set_result(7)
        queue.put(8)

    thread = start(clock, happen, "holocron-test")
    assert (thread.name, thread.daemon) == ("holocron-test", True)
    assert signal.wait(LIVENESS_S)
    assert promised.result(LIVENESS_S) == 7
    assert promised.exception() is None
    assert take(clock, queue) == 8
    thread.join(LIVENESS_S)


def test_a_limit_may_be_longer_than_the_standard_library_can_wait(nodes: Callable[..., Node]) -> None:
    """`math.inf` is a limit like any other: the lease comes, and comes at once."""
    with nodes().lead(timeout=math.inf) as lease:
        assert lease.valid


def test_a_paced_clock_is_asked_for_every_wait() -> None:
    """Each wait is the clock's own, with the condition held and the limit that was given."""
    condition = threading.Condition()
    clock = Recorder(lambda: None)
    with condition:
        assert not wait_for(clock, condition, lambda: False, 5.0)
    clock.happens = lambda: signal.set()
    signal = Signal(clock)
    assert signal.wait(6.0)
    clock.happens = lambda: promised.set_result("come")
    promised: Promised[str] = Promised(clock)
    assert promised.result(7.0) == "come"
    queue: SimpleQueue[str] = SimpleQueue()
    clock.happens = lambda: queue.put("next")
    assert take(clock, queue) == "next"
    start(clock, lambda: None, "holocron-test")
    assert clock.waits == [5.0, 6.0, 7.0, None, None]


def test_a_paced_wait_that_times_out_says_so() -> None:
    """By the paced clock the time is up: the standard library is not asked to wait on."""
    clock = Recorder(lambda: None)
    assert not Signal(clock).wait(60.0)
    with pytest.raises(TimeoutError):
        Promised[int](clock).result(60.0)
    with pytest.raises(TimeoutError):
        Promised[int](clock).exception(60.0)


def test_nothing_of_the_runtime_waits_behind_the_clocks_back() -> None:
    """Threads, events and time come from `waiting` and the loop, so that an injected clock knows of all of them."""
    package = Path(holocron.__file__).parent
    found = {
        (path.name, f"{node.value.id}.{node.attr}")
        for folder in ("runtime", "state")
        for path in (package / folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call | ast.ClassDef)
        for node in (node.bases if isinstance(node, ast.ClassDef) else [node.func])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert {(name, call) for name, call in found if call in BANNED} == MAY
