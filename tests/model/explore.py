"""Breadth first through every state: the shortest way to anything that is wrong, or the word that nothing is."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import msgspec

from tests.model.bounds import Bounds
from tests.model.liveness import Liveness
from tests.model.subject import SHIPPED, Subject
from tests.model.world import World

__all__ = ["Report", "explore"]


class Report(msgspec.Struct, frozen=True):
    """What one exploration came to."""

    bounds: Bounds
    states: int
    transitions: int
    depth: int
    # Every state within the bounds was visited; else the limit on states came first.
    exhausted: bool
    seconds: float
    memory_mb: int
    # States in which nobody led and nothing was under way, each of which can still elect.
    quiescent: int = 0
    wrong: str | None = None
    # From the first state to the one that is wrong.
    path: tuple[int, ...] = ()


def explore(
    bounds: Bounds,
    states: int,
    subject: Subject = SHIPPED,
    world: World | None = None,
    progress: Callable[[int, int, int, float], None] | None = None,
) -> Report:
    """Visit up to `states` distinct states within `bounds`, the nearest first, and stop at the first that is wrong."""
    world = world or World(subject, bounds)
    liveness = Liveness(subject, bounds)
    began = time.perf_counter()
    first = world.first()
    # Each state with the one that it was first reached from.
    parents: dict[int, int] = {first: 0}
    level = [first]
    transitions = depth = 0

    def report(exhausted: bool, wrong: str | None = None, path: tuple[int, ...] = ()) -> Report:
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        seconds = time.perf_counter() - began
        return Report(
            bounds, len(parents), transitions, depth, exhausted, seconds, memory_mb, liveness.asked, wrong, path
        )

    while level:
        following: list[int] = []
        for state in level:
            for after, wrong, _, _ in world.successors(state):
                transitions += 1
                if wrong is not None:
                    return report(False, wrong, (*_path(parents, state), after))
                if after not in parents:
                    parents[after] = state
                    following.append(after)
                    stuck = liveness.stuck(world, after)
                    if stuck is not None:
                        return report(False, stuck, (*_path(parents, state), after))
            if len(parents) >= states:
                return report(False)
        level = following
        depth += 1
        if progress is not None:
            progress(depth, len(parents), transitions, time.perf_counter() - began)
    return report(True)


def _path(parents: dict[int, int], state: int) -> tuple[int, ...]:
    path = []
    while state:
        path.append(state)
        state = parents[state]
    return tuple(reversed(path))
