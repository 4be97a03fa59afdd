"""The world an engine lives in: time, requests, chance. Production brings threads, a simulation brings its own.

Everything the world calls back, it calls on one thread of control, one call at a time: an engine has no locks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from holocron.clock import Instant
from holocron.store.base import OUT_OF_TIME, Answer, Ask, Pause, Procedure, Reply, Request, Store, Together

__all__ = ["World", "run"]

_T = TypeVar("_T")


class World(Protocol):
    """What an engine asks of its surroundings."""

    def now(self) -> Instant:
        """A reading of this process's clocks."""
        ...

    def nonce(self) -> str:
        """A string that no one else has or will have."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`, by chance."""
        ...

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        """Put `request` to `store`; call `done` with the answer, later."""
        ...

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call `call` once, `delay_s` from now or somewhat later."""
        ...


def run(world: World, procedure: Procedure[_T], done: Callable[[_T], None]) -> None:
    """Carry out `procedure` in `world`, step by step, and call `done` with what it returns."""

    def proceed(reply: Reply | None) -> None:
        try:
            step = next(procedure) if reply is None else procedure.send(reply)
        except StopIteration as stop:
            done(stop.value)
            return
        asked = world.now()
        if isinstance(step, Ask):
            allowed_s = step.deadline.allows_s(asked)
            if allowed_s > 0:
                world.perform(
                    step.store, step.request, allowed_s, lambda answer: proceed(Reply(answer, asked, world.now()))
                )
            else:
                # Later and not at once: whoever began this is not to be called back before it has returned.
                world.call_later(0.0, lambda: proceed(Reply(OUT_OF_TIME, asked, world.now())))
        elif isinstance(step, Pause):
            pause_s = world.uniform(step.low_s, step.high_s)
            world.call_later(pause_s, lambda: proceed(Reply(None, asked, world.now())))
        elif isinstance(step, Together):
            _together(world, step, asked, proceed)

    proceed(None)


def _together(world: World, step: Together, asked: Instant, proceed: Callable[[Reply | None], None]) -> None:
    results: dict[int, object] = {}
    if not step.procedures:
        proceed(Reply(None, asked, world.now()))
        return

    def collect(index: int) -> Callable[[object], None]:
        def one(result: object) -> None:
            results[index] = result
            if len(results) == len(step.procedures):
                proceed(Reply(None, asked, world.now(), tuple(results[i] for i in range(len(results)))))

        return one

    for index, procedure in enumerate(step.procedures):
        run(world, procedure, collect(index))
