"""Clocks that a test can set: one that stands still, and the system's own with a jump added."""

from __future__ import annotations

from holocron.clock import Instant, SystemClock

__all__ = ["SetClock", "ShiftedClock"]


class SetClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.instant = Instant(1000.0, 1000.0, 2.0**30)
        self.reads = 0

    def now(self) -> Instant:
        """The instant it was set to."""
        self.reads += 1
        return self.instant

    def move(self, boot_s: float = 0.0, mono_s: float = 0.0, wall_s: float = 0.0) -> None:
        """Each clock forward, or back, by its own step."""
        was = self.instant
        self.instant = Instant(was.boot_s + boot_s, was.mono_s + mono_s, was.wall_s + wall_s)

    def run(self, seconds: float) -> None:
        """All three run for `seconds`, as they do on a machine that is awake."""
        self.move(seconds, seconds, seconds)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: the monotonic clock stands still."""
        self.move(seconds, 0.0, seconds)

    def pause_machine(self, seconds: float) -> None:
        """The whole virtual machine was stopped, and its wall clock is set right after it: nothing else shows."""
        self.move(0.0, 0.0, seconds)

    def step_wall(self, seconds: float) -> None:
        """A person or a daemon sets the wall clock."""
        self.move(0.0, 0.0, seconds)


class ShiftedClock(SetClock):
    """The system's clocks, and on top of them whatever it is moved by."""

    def __init__(self) -> None:
        super().__init__()
        self.instant = Instant(0.0, 0.0, 0.0)
        self._system = SystemClock()

    def now(self) -> Instant:
        """The system's instant, shifted."""
        real, by = self._system.now(), self.instant
        return Instant(real.boot_s + by.boot_s, real.mono_s + by.mono_s, real.wall_s + by.wall_s)
