"""Elapsed time that tells the truth on the side where a lie would hurt.

No clock value is ever compared between two machines. What a process measures is how long ago something was,
and each side of a lease errs in its own safe direction (protocol rule 4):

* the *holder* must never underestimate, so it takes the largest of the deltas it can see: BOOTTIME runs on
  through a suspend of the machine, the wall clock is set right after a pause of the whole virtual machine;
* the *waiter* must never overestimate, so it takes the smallest of BOOTTIME and MONOTONIC and leaves the wall
  clock, which people and daemons set, out of it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import msgspec

__all__ = ["Clock", "Instant", "PacedClock", "SystemClock", "elapsed_holder_s", "elapsed_waiter_s", "stamp"]


class Instant(msgspec.Struct, frozen=True, gc=False):
    """One reading of all three clocks, in seconds. Only differences between readings of one process mean anything."""

    boot_s: float
    mono_s: float
    wall_s: float


def elapsed_holder_s(since: Instant, now: Instant) -> float:
    """Seconds from `since` to `now` as the holder of a lease must count them: never too few (rule 4)."""
    return max(now.boot_s - since.boot_s, now.wall_s - since.wall_s)


def elapsed_waiter_s(since: Instant, now: Instant) -> float:
    """Seconds from `since` to `now` as one who waits for a lease to end must count them: never too many (rule 4)."""
    return min(now.boot_s - since.boot_s, now.mono_s - since.mono_s)


class Clock(Protocol):
    """Where a process gets its time from; tests and simulations bring their own."""

    def now(self) -> Instant:
        """A reading of all three clocks, taken now."""
        ...


@runtime_checkable
class PacedClock(Clock, Protocol):
    """A clock whose time passes only when everyone who keeps to it waits; the system's is none (`holocron.testing`).

    So it has to know who waits and who works: whoever has such a clock waits and starts threads through it
    (`holocron.runtime.waiting` does, for all of the runtime).
    """

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait, `condition` held, until `ready()`, or until MONOTONIC is `timeout_s` further; whether it is ready.

        Others ask `ready` too, with `condition` held: it changes nothing.
        """
        ...

    def start(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Carry out `work` on a new thread of this name, which is joined by this clock."""
        ...

    def submit(self, work: Callable[[], None]) -> None:
        """Carry out `work` on some thread."""
        ...

    def between(self, low_s: float, high_s: float) -> float:
        """The length of a pause that may be anything from `low_s` to `high_s`."""
        ...


# The clock that counts a suspend of the machine. Linux calls it BOOTTIME; on macOS CLOCK_MONOTONIC runs on
# through sleep (and `time.monotonic`, which reads the uptime clock, does not).
if sys.platform == "linux":
    _BOOT = time.CLOCK_BOOTTIME
else:
    _BOOT = time.CLOCK_MONOTONIC


class SystemClock:
    """The clocks of the machine this process runs on."""

    def now(self) -> Instant:
        return Instant(time.clock_gettime(_BOOT), time.monotonic(), time.time())


def stamp(wall_s: float) -> str:
    """A wall-clock time as people read it (RFC 3339, UTC, milliseconds). No rule ever reads it back."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
