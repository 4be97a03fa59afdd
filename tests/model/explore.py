"""Breadth first through every state: the shortest way to anything that is wrong, or the word that nothing is."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from tests.model.bounds import Bounds
from tests.model.liveness import Liveness
from tests.model.subject import SHIPPED, Subject
from tests.model.world import World

__all__ = ["Progress", "Report", "Stepping", "explore", "search"]


class Report(msgspec.Struct, frozen=True):
    """What one exploration came to."""

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


# Is told the depth, the states and transitions so far, and the seconds.
Progress = Callable[[int, int, int, float], None]


class Stepping(Protocol):
    """Anything whose states are numbers: the election's world, or a journal's."""

    def first(self) -> int:
        """The state in which it begins."""
        ...

    def successors(self, state: int) -> Sequence[tuple[int, str | None, int, Any]]:
        """Each state that may be next, what is wrong with it, who acted, and what happened."""
        ...


def explore(
    bounds: Bounds,
    states: int,
    subject: Subject = SHIPPED,
    world: World | None = None,
    progress: Progress | None = None,
) -> Report:
    """Visit up to `states` distinct states within `bounds`, the nearest first, and stop at the first that is wrong."""
    world = world or World(subject, bounds)
    liveness = Liveness(subject, bounds)
    report = search(world, states, lambda state: liveness.stuck(world, state), progress)
    return replace(report, quiescent=liveness.asked)


def search(
    world: Stepping,
    states: int,
    stuck: Callable[[int], str | None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Visit up to `states` distinct states of `world`; `stuck` says what is wrong with a new one by itself."""
    began = time.perf_counter()
    first = world.first()
    # Each state with the one that it was first reached from.
    parents: dict[int, int] = {first: 0}
    level = [first]
    transitions = depth = 0

    def report(exhausted: bool, wrong: str | None = None, path: tuple[int, ...] = ()) -> Report:
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        seconds = time.perf_counter() - began
        return Report(len(parents), transitions, depth, exhausted, seconds, memory_mb, wrong=wrong, path=path)

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
                    if stuck is not None and (wrong := stuck(after)) is not None:
                        return report(False, wrong, (*_path(parents, state), after))
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
