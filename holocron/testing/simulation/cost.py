"""What a healthy cluster asks of its store, against the budgets of the design (I14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from holocron.costs import FOLLOWER_READS
from holocron.protocol.hinting import MOST_WASTED

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["Meter"]

# What a window may cut in two at either end.
_LOOSE_ENDS = 3


class Meter:
    """Counts from the moment when it is made, where one node leads throughout, publishes nothing and keeps good time.

    Clocks that differ by a tenth, as those of a tight life may, bring a follower's polls out of step with its leader.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._began_s = life.timeline.now_s
        self._before = life.chronicle.requests.copy()
        self._newest = life.chronicle.newest
        self._takeovers = life.report.takeovers

    def overspent(self) -> Iterator[str]:
        """A sentence for each budget that was exceeded meanwhile."""
        life = self._life
        rounds = life.chronicle.newest - self._newest
        if life.regime == "tight" or life.publishing or life.report.takeovers != self._takeovers or rounds < 5:
            return
        for process in life.processes:
            if not process.alive or process.stopped is not None:
                continue
            # A stranger may make it read for nothing, so often and no more often (rule 16).
            windows = (life.timeline.now_s - self._began_s) * process.clock.rate / process.settings.renew_every + 1
            hinted = MOST_WASTED * windows if life.post is not None else 0.0
            beats = (life.timeline.now_s - self._began_s) * process.clock.rate / process.settings.heartbeat_every
            budget: dict[tuple[str, str], float] = {
                ("PUT", "members"): beats,
                ("LIST", "members"): beats if process.leading else 0,
            }
            if process.leading:
                budget |= {("PUT", "epochs"): rounds, ("GET", "control"): rounds + hinted}
            else:
                budget |= {
                    ("PUT", "epochs"): 0,
                    ("GET", "epochs"): FOLLOWER_READS * rounds + hinted,
                    ("LIST", "epochs"): 0,
                }
            for (verb, about), most in budget.items():
                asked = self._asked(process, verb, about)
                if asked > most + _LOOSE_ENDS:
                    yield f"{process.name} sent {asked} {verb} of {about} in {rounds} rounds; {most:.1f} is the most"

    def _asked(self, process: Process, verb: str, about: str) -> int:
        what = (process.name, verb, about)
        return self._life.chronicle.requests[what] - self._before[what]
