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
import time
from datetime import UTC, datetime
from typing import Protocol

import msgspec

__all__ = ["Clock", "Instant", "SystemClock", "elapsed_holder_s", "elapsed_waiter_s", "stamp"]


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
