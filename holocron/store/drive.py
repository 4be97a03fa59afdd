"""Running a procedure to its end in a plain loop, one step after another: for commands, probes and tests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from holocron.clock import Clock, SystemClock
from holocron.store.base import OUT_OF_TIME, Ask, Pause, Procedure, Reply, Together

__all__ = ["drive"]

_T = TypeVar("_T")


def drive(procedure: Procedure[_T], clock: Clock | None = None, sleep: Callable[[float], None] = time.sleep) -> _T:
    """What `procedure` returns; its steps are carried out here, blocking, those of a `Together` one by one."""
    clock = clock or SystemClock()
    try:
        step = next(procedure)
        while True:
            asked = clock.now()
            if isinstance(step, Ask):
                allowed_s = step.deadline.allows_s(asked)
                answer = step.store.perform(step.request, allowed_s) if allowed_s > 0 else OUT_OF_TIME
                reply = Reply(answer, asked, clock.now())
            elif isinstance(step, Pause):
                sleep(random.uniform(step.low_s, step.high_s))  # noqa: S311 - spreads out crowds, keeps no secret
                reply = Reply(None, asked, clock.now())
            elif isinstance(step, Together):
                results = tuple(drive(each, clock, sleep) for each in step.procedures)
                reply = Reply(None, asked, clock.now(), results)
            step = procedure.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # a generator's value is typed Any in StopIteration
