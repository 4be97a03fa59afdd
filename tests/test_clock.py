"""Elapsed time: the holder never counts too little, the waiter never too much (rule 4)."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.clock import Instant, SystemClock, elapsed_holder_s, elapsed_waiter_s, stamp

# What rounding may add up to, over times of this size.
ROUNDING_S = 1e-3
SECONDS = st.floats(0, 1e6, allow_nan=False)


class Machine:
    """A machine's three clocks, and the true time that nobody inside can see."""

    def __init__(self) -> None:
        self.true_s = 0.0
        self.instant = Instant(50.0, 50.0, 1.7e9)

    def live(self, kind: str, seconds: float) -> None:
        """Let `seconds` pass in one way or another; a wall step passes none."""
        boot_s, mono_s, wall_s = self.instant.boot_s, self.instant.mono_s, self.instant.wall_s
        match kind:
            case "runs":
                self.instant = Instant(boot_s + seconds, mono_s + seconds, wall_s + seconds)
            case "is suspended":
                self.instant = Instant(boot_s + seconds, mono_s, wall_s + seconds)
            case "is paused by its host":
                # Or put back from a snapshot: only the wall clock, which is set afterwards, shows it.
                self.instant = Instant(boot_s, mono_s, wall_s + seconds)
            case "has its wall clock set forward":
                self.instant = Instant(boot_s, mono_s, wall_s + seconds)
            case "has its wall clock set back":
                self.instant = Instant(boot_s, mono_s, wall_s - seconds)
        if "wall" not in kind:
            self.true_s += seconds


def lives(*kinds: str) -> st.SearchStrategy[list[tuple[str, float]]]:
    """Some time on a machine that only these things happen to."""
    return st.lists(st.tuples(st.sampled_from(kinds), SECONDS), max_size=12)


def lived(life: list[tuple[str, float]]) -> tuple[float, float, float]:
    """The true time, the holder's and the waiter's, after `life`."""
    machine = Machine()
    since = machine.instant
    for kind, seconds in life:
        machine.live(kind, seconds)
    return machine.true_s, elapsed_holder_s(since, machine.instant), elapsed_waiter_s(since, machine.instant)


@given(lives("runs", "is suspended", "has its wall clock set forward", "has its wall clock set back"))
def test_holder_never_underestimates_whatever_is_done_to_its_wall_clock(life: list[tuple[str, float]]) -> None:
    """A suspend counts, and no setting of the wall clock takes a second away (rule 4, I1)."""
    true_s, holder_s, _ = lived(life)
    assert holder_s >= true_s - ROUNDING_S


@given(lives("runs", "is suspended", "has its wall clock set forward"), st.floats(0, 1e6))
def test_holder_never_underestimates_a_pause_that_only_the_wall_clock_shows(
    life: list[tuple[str, float]], pause_s: float
) -> None:
    """A machine that is paused by its host, or put back from a snapshot, finds its wall clock moved on (rule 4, I1)."""
    true_s, holder_s, _ = lived([*life, ("is paused by its host", pause_s)])
    # BOOTTIME and wall clock each saw every suspend, and the wall clock the pause too.
    assert holder_s >= true_s - ROUNDING_S


@given(
    lives(
        "runs",
        "is suspended",
        "is paused by its host",
        "has its wall clock set forward",
        "has its wall clock set back",
    )
)
def test_waiter_never_overestimates_whatever_happens(life: list[tuple[str, float]]) -> None:
    """No setting of the wall clock, no suspend and no pause makes a lease seem over that is not (rule 4, I8)."""
    true_s, _, waiter_s = lived(life)
    assert waiter_s <= true_s + ROUNDING_S


@given(lives("runs"))
def test_on_a_machine_that_just_runs_both_count_the_truth(life: list[tuple[str, float]]) -> None:
    """The margin is not eaten up by the clocks where nothing is wrong with them (rule 3)."""
    true_s, holder_s, waiter_s = lived(life)
    assert holder_s == pytest.approx(true_s, abs=ROUNDING_S)
    assert waiter_s == pytest.approx(true_s, abs=ROUNDING_S)


@given(lives("runs", "is suspended", "is paused by its host", "has its wall clock set back"))
def test_holder_counts_at_least_what_the_waiter_counts(life: list[tuple[str, float]]) -> None:
    """One machine that is both never follows itself before it has stopped believing (rules 3 and 4)."""
    _, holder_s, waiter_s = lived(life)
    assert holder_s >= waiter_s - ROUNDING_S


def test_each_side_takes_the_reading_that_is_safe_for_it() -> None:
    """Of what the clocks say, the holder believes the most and the waiter the least (rule 4)."""
    since = Instant(10.0, 20.0, 30.0)
    for boot_s, mono_s, wall_s, holder_s, waiter_s in (
        (5.0, 3.0, 1.0, 5.0, 3.0),
        (3.0, 5.0, 1.0, 3.0, 3.0),
        (1.0, 1.0, 9.0, 9.0, 1.0),
        (1.0, 1.0, -9.0, 1.0, 1.0),
    ):
        now = Instant(10.0 + boot_s, 20.0 + mono_s, 30.0 + wall_s)
        assert (elapsed_holder_s(since, now), elapsed_waiter_s(since, now)) == (holder_s, waiter_s)


@pytest.mark.skipif(sys.platform != "linux", reason="BOOTTIME is Linux's name for it")
def test_system_clock_reads_the_clock_that_runs_through_a_suspend() -> None:
    """BOOTTIME on Linux, for MONOTONIC stands still while the machine sleeps (design section 11)."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic(), time.time()
    now = SystemClock().now()
    after = time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic(), time.time()
    assert before[0] <= now.boot_s <= after[0]
    assert before[1] <= now.mono_s <= after[1]
    # The one clock that others may set between two readings, so no order is asked of it.
    assert abs(now.wall_s - before[2]) < 3600


def test_system_clock_goes_on() -> None:
    """Neither of the clocks that elapsed time is counted by ever goes back."""
    clock = SystemClock()
    readings = [clock.now() for _ in range(1000)]
    assert all(one.boot_s <= other.boot_s for one, other in pairwise(readings))
    assert all(one.mono_s <= other.mono_s for one, other in pairwise(readings))
    assert elapsed_waiter_s(readings[0], readings[-1]) >= 0


@pytest.mark.parametrize(
    ("wall_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1788256800.5, "2026-09-01T10:00:00.500Z"),
        (1788256800.0004, "2026-09-01T10:00:00.000Z"),
        (2**31, "2038-01-19T03:14:08.000Z"),
    ],
)
def test_stamp_is_written_for_people(wall_s: float, text: str) -> None:
    """RFC 3339 in UTC with milliseconds, whatever the machine's time zone is."""
    assert stamp(wall_s) == text
