"""Whether anybody can still be elected: once nothing goes wrong any more, some path ends in a leader (I11, weakly).

How soon is the simulator's question; here it is whether any state within the bounds is a dead end.
"""

from __future__ import annotations

from msgspec.structs import replace

from tests.model.bounds import Bounds, Budget
from tests.model.process import Move
from tests.model.subject import Subject
from tests.model.world import Successor, World

__all__ = ["Liveness"]

# Far more than any lease, wait and retry takes.
_TICKS = 40


class Liveness:
    """Asks of quiescent states whether they can still elect, in a world of their own where epochs are not scarce."""

    def __init__(self, subject: Subject, bounds: Bounds) -> None:
        self.asked = 0
        self._world = World(subject, replace(bounds, epochs=bounds.epochs + 4, budget=Budget()))
        self._alive: set[int] = set()

    def stuck(self, world: World, state: int) -> str | None:
        """Why nobody will ever lead again from `state`, or None: somebody will, or it is too early to ask."""
        if not world.quiet(state):
            return None
        self.asked += 1
        here = self._world.moved_in(world, state)
        passed: list[int] = []
        ticks = 0
        while here not in self._alive:
            passed.append(here)
            if any(self._world.members.believes(self._world.part(here, slot)) for slot in range(4)):
                break
            following = self._next(here)
            if following is None:
                return "I11: nothing can happen any more, and nobody leads"
            here, ticked = following
            ticks += ticked
            if ticks > _TICKS:
                return f"I11: nobody leads, nor after {_TICKS} more ticks in which nothing goes wrong"
        self._alive.update(passed)
        return None

    def _next(self, state: int) -> tuple[int, bool] | None:
        """One step of a world in which every request is answered at once and every timer is on time."""
        found = [each for each in self._world.successors(state) if each[0] != state]
        found.sort(key=lambda each: self._urgency(state, each))
        if not found or self._urgency(state, found[0]) == _NEVER:
            return None
        return found[0][0], found[0][3] == "tick"

    def _urgency(self, state: int, successor: Successor) -> int:
        what = successor[3]
        if self._world.prompt(state, successor):
            return 1
        kind = what.kind if isinstance(what, Move) else what
        if kind == "tick":
            # First whoever's timer has run out looks at the clock; only then does time pass.
            return 2 if isinstance(what, Move) else 3
        return 0 if kind in ("wake", "paused") else _NEVER


_NEVER = 9
