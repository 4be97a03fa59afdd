"""An injected clock: the three clocks of one process, which move only as the test lets time pass."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from holocron.clock import Instant
from holocron.errors import NodeStopped, SettingsError
from holocron.testing.pace import NS, Pace, PacedThread

__all__ = ["WALL_S", "ProcessClock"]

# What the clocks say when the test begins: 2026-01-01T00:00:00Z by the wall, and a machine that has run for a while.
WALL_S = 1_767_225_600
_UP_NS = 1000 * NS
# Longer than any lease.
_AGES_NS = 1_000_000 * NS
# How long the test's own thread waits for something that need never come, by the cluster's time.
_FOR_EVER_S = 3600.0


class ProcessClock:
    """The clocks of one process, with everything that may befall them; a `PacedClock`.

    Args:
        name: whose process it is.
    """

    def __init__(self, pace: Pace, name: str) -> None:
        self.name = name
        #: False once the process was killed.
        self.alive = True
        #: Whether the process is stopped (SIGSTOP): nothing of it runs, and its clocks run on.
        self.frozen = False
        #: Whether a request may have to wait on its way to the store.
        self.hindered: Callable[[], bool] = lambda: False
        self._pace = pace
        self._random = random.Random(name)
        # The suspend of its machine that is under way or was last, and what MONOTONIC lost in those before.
        self._asleep_ns = (0, 0)
        self._lost_ns = 0
        # How far the clocks of a killed process are ahead: it believes nothing, and its time limits are over.
        self._beyond_ns = 0

    def now(self) -> Instant:
        """A reading of all three clocks."""
        now_ns = self._pace.now_ns
        up_ns = _UP_NS + now_ns + self._beyond_ns
        return Instant(up_ns / NS, (up_ns - self._lost_by(now_ns)) / NS, WALL_S + now_ns / NS)

    # --- as a PacedClock --------------------------------------------------------------------------------------------

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait, `condition` held, until `ready()`, or until MONOTONIC is `timeout_s` further; whether it is ready.

        On the test's own thread time passes meanwhile; any other thread waits until the test lets it pass.
        """
        if ready():
            return True
        if timeout_s is not None and timeout_s <= 0:
            return False
        if self._pace.over:
            raise NodeStopped("the test is over, and its cluster with it")
        if threading.get_ident() != self._pace.owner:
            self._pace.wait(self, condition, ready, None if timeout_s is None else self._reading_ns(timeout_s))
        elif self.alive:
            self._let_pass(condition, ready, timeout_s)
        elif timeout_s is None:
            raise NodeStopped(f"process {self.name} was killed: nothing will come of it any more")
        else:
            self._beyond_ns += _ns(timeout_s)
        return ready()

    def start(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Carry out `work` on a new thread of this process."""
        thread = PacedThread(self._pace, self, work, name)
        thread.start()
        return thread

    def submit(self, work: Callable[[], None]) -> None:
        """Carry out `work` on some thread of this process."""
        if self.hindered():
            self._pace.submit(self, work)
        else:
            # It waits for nothing, so it takes no time, whoever does it.
            work()

    def between(self, low_s: float, high_s: float) -> float:
        """A pause between `low_s` and `high_s`: by chance, and the same in every run."""
        return self._random.uniform(low_s, high_s)

    # --- what may befall it -----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether threads of the process run: it is alive, not stopped, and its machine is awake."""
        return self.alive and not self.frozen and self.wakes_ns is None

    @property
    def wakes_ns(self) -> int | None:
        """The cluster's time at which the machine wakes, None where it is awake."""
        return self._asleep_ns[1] if self._pace.now_ns < self._asleep_ns[1] else None

    def kill(self) -> None:
        """Nothing of the process runs any more."""
        self.alive = False
        self._beyond_ns = _AGES_NS

    def suspend(self, seconds: float) -> None:
        """The machine sleeps for so long from now: nothing of it runs, and MONOTONIC stands still."""
        if seconds < 0:
            raise SettingsError(f"a machine cannot sleep for {seconds:g} s")
        now_ns = self._pace.now_ns
        self._lost_ns = self._lost_by(now_ns)
        self._asleep_ns = (now_ns, now_ns + round(seconds * NS))

    def when_ns(self, mono_ns: int) -> int:
        """The cluster's time at which MONOTONIC reads `mono_ns` and the process may run."""
        asleep_ns, awake_ns = self._asleep_ns
        lost_ns = self._lost_ns
        if mono_ns - _UP_NS + lost_ns > asleep_ns:
            lost_ns += awake_ns - asleep_ns
        return max(mono_ns - _UP_NS + lost_ns, awake_ns)

    def _lost_by(self, now_ns: int) -> int:
        asleep_ns, awake_ns = self._asleep_ns
        return self._lost_ns + min(now_ns, awake_ns) - asleep_ns

    def _reading_ns(self, timeout_s: float) -> int:
        """What MONOTONIC reads in `timeout_s` from now."""
        now_ns = self._pace.now_ns
        return _UP_NS + now_ns - self._lost_by(now_ns) + _ns(timeout_s)

    def _let_pass(self, condition: threading.Condition, ready: Callable[[], bool], timeout_s: float | None) -> None:
        def done() -> bool:
            with condition:
                return ready()

        until_ns = self.when_ns(self._reading_ns(_FOR_EVER_S if timeout_s is None else timeout_s))
        condition.release()
        try:
            came = self._pace.pass_until(done, until_ns)
        finally:
            condition.acquire()
        if not came and timeout_s is None:
            state = "is frozen" if self.frozen else "runs"
            raise TimeoutError(
                f"what this test waits for, without a time limit, did not come in {_FOR_EVER_S:g} s of the cluster's "
                f"time; process {self.name} {state}"
            )


def _ns(seconds: float) -> int:
    # Never nothing, or whoever waits for a rest that is too small to count would wait for ever.
    return max(1, round(seconds * NS))
