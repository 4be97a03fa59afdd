"""What may go wrong in one life, and how often: drawn anew for each seed, so that each hurts in its own way.

Half of the kinds are switched off in any one life (swarm testing): a cluster that suffers from everything at once
gets nowhere, and never reaches the states in which one fault alone would show a bug.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

__all__ = ["Misfortune", "Regime", "draw"]

Regime = Literal["production", "tight"]
# A bucket that keeps versions puts a marker where something is deleted. S3 promises that a read, a LIST and a create
# take it for an absent key, and answers 409 to a create that meets a delete ("marked"). Not all that speak its language
# keep that promise for a create: "stubborn" ones see the marker, and answer 412 with nothing there to be read.
Versions = Literal["", "marked", "stubborn"]
Betrayal = Literal["", "wiped", "rolled back", "lagging"]

# Of a request: each is a probability at its worst.
_OF_REQUESTS: dict[str, float] = {
    "request_lost": 0.10,
    "answer_lost": 0.15,
    "conflict": 0.15,
    "failed_after": 0.10,
    "failed_before": 0.10,
    "slow": 0.10,
    "very_slow": 0.02,
    "twice": 0.05,
    "crash_before": 0.003,
    "crash_after": 0.003,
    "disorder": 0.50,
    # The process stands still between deciding on a write and sending it, or with a request under way.
    "stall_before": 0.010,
    "stall_after": 0.005,
}
# Of the world: each is how often it comes about in a lease's time, at its worst.
_OF_WORLD: dict[str, float] = {
    "crash": 0.10,
    "leave": 0.05,
    "pause": 0.12,
    "suspend": 0.08,
    "snapshot": 0.08,
    "wall_step": 0.10,
    "partition": 0.10,
    "deaf": 0.06,
    "mute": 0.06,
    "outage": 0.05,
    "denied": 0.05,
    "usurp": 0.06,
    "step_down": 0.08,
    "release": 0.10,
    "foreign": 0.06,
    "unreadable_next": 0.02,
}
# Of the world too, drawn apart from the others: what is added here changes no life that it does not come into.
_DRAWN_APART: dict[str, float] = {
    # The newest checkpoint of a node is damaged where it lies.
    "rot": 0.15,
    # Two computes resume one node at the same instant, whether its process lives or not.
    "twins": 0.06,
    # A process stands still for long, its node is resumed elsewhere at once, and then it runs again.
    "zombie": 0.06,
}
# An operator has the leader keep leadership (rule 14), for a while or no longer. In few lives, and drawn by itself.
_HELD = 0.3


class Misfortune(msgspec.Struct, frozen=True):
    """How likely each kind of fault is in one life; a kind that is absent never comes about."""

    requests: dict[str, float]
    world: dict[str, float]
    # A store that is wiped or put back to an earlier state, once: it has to be noticed (I7). One that lags is put back
    # by less than a lease's time: a replica that had not heard the last few writes takes over.
    betrayal: Betrayal = ""
    # Retention at its most greedy: it takes whatever it may, as soon as it may.
    greed: bool = False
    # What the store's bucket does with deletes.
    versions: Versions = ""

    def __str__(self) -> str:
        kinds = [*self.requests, *self.world, "greed" if self.greed else "", self.betrayal, self.versions]
        return " ".join(kind for kind in kinds if kind) or "no faults"


def draw(random: Random, apart: Random, holding: Random) -> Misfortune:
    """The misfortunes of one life; the newer kinds are drawn from `apart`, and holds from `holding`."""

    def some(worst: dict[str, float]) -> dict[str, float]:
        return {kind: random.random() * most for kind, most in worst.items() if random.random() < 0.5}

    requests, world = some(_OF_REQUESTS), some(_OF_WORLD)
    lot = random.random()
    if lot < 0.03:
        # No faults at all: the budgets (I14) and stability (rule 5) are checked on these.
        return Misfortune({}, {})
    betrayal: Betrayal = "wiped" if lot > 0.98 else "rolled back" if lot > 0.965 else "lagging" if lot > 0.96 else ""
    if "snapshot" in world:
        # A snapshot shows on the wall clock alone, so nobody else may set that one back meanwhile: the stated bound.
        world.pop("wall_step", None)
    greed = random.random() < 0.25
    versions: Versions = apart.choice(["", "", "", "marked", "marked", "stubborn"])
    for kind, most in _DRAWN_APART.items():
        if apart.random() < 0.25:
            world[kind] = apart.random() * most
    if holding.random() < 0.1:
        world["hold"] = holding.random() * _HELD
    return Misfortune(requests, world, betrayal, greed, versions)
