"""True time, which nobody inside the simulation can read, and the clocks that they read instead."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from holocron.clock import Instant

__all__ = ["ProcessClock", "Timeline"]


class Timeline:
    """What happens when, in true seconds; of two things at one instant, the one that was arranged first."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._arranged = 0

    def at(self, when_s: float, call: Callable[[], None]) -> None:
        """Have `call` happen at `when_s`, or now if that is past."""
        self._arranged += 1
        heapq.heappush(self._heap, (max(when_s, self.now_s), self._arranged, call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have `call` happen `delay_s` from now."""
        self.at(self.now_s + delay_s, call)

    def step(self, until_s: float) -> bool:
        """Let the next thing happen, if one is arranged before `until_s`; else time is `until_s`, and False."""
        if not self._heap or self._heap[0][0] > until_s:
            self.now_s = max(self.now_s, until_s)
            return False
        self.now_s, _, call = heapq.heappop(self._heap)
        call()
        return True


class ProcessClock:
    """The three clocks of one machine, each as wrong as the simulation makes it.

    Args:
        rate: how many of its seconds pass in a true one; within the drift that the settings tolerate.
        wall_s: what its wall clock says at the start, which has nothing to do with anybody else's.
    """

    def __init__(self, timeline: Timeline, rate: float, wall_s: float) -> None:
        self._timeline = timeline
        self.rate = rate
        self._began_s = timeline.now_s
        self._boot_lost_s = 0.0
        self._mono_lost_s = 0.0
        self._asleep_s: float | None = None
        self._boot_sleeps = False
        self._wall_s = wall_s

    def now(self) -> Instant:
        true_s = self._timeline.now_s
        ran_s = (true_s - self._began_s) * self.rate
        slept_s = (true_s - self._asleep_s) * self.rate if self._asleep_s is not None else 0.0
        boot_lost_s = self._boot_lost_s + (slept_s if self._boot_sleeps else 0.0)
        return Instant(ran_s - boot_lost_s, ran_s - self._mono_lost_s - slept_s, self._wall_s + ran_s)

    def sleep(self, *, boot_too: bool) -> None:
        """The machine halts. Suspended: MONOTONIC stands still, BOOTTIME and wall run on. Halted as a virtual machine
        and restored from its snapshot (`boot_too`): of all its clocks only the wall clock is set right.
        """
        self._asleep_s, self._boot_sleeps = self._timeline.now_s, boot_too

    def wake(self) -> None:
        """The machine runs again."""
        if self._asleep_s is not None:
            slept_s = (self._timeline.now_s - self._asleep_s) * self.rate
            self._mono_lost_s += slept_s
            if self._boot_sleeps:
                self._boot_lost_s += slept_s
            self._asleep_s = None

    def step_wall(self, by_s: float) -> None:
        """Someone set the wall clock."""
        self._wall_s += by_s
