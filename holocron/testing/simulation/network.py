"""Between processes and the store: latency, and everything that may become of a request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from holocron.clock import Instant
from holocron.store.base import (
    Answer,
    Conflict,
    Delete,
    Denied,
    Get,
    List,
    Listed,
    Put,
    Request,
    Store,
    Unclear,
)
from holocron.testing.simulation.misfortune import Misfortune, Regime
from holocron.testing.simulation.report import Diary
from holocron.testing.simulation.timeline import Timeline

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process

__all__ = ["Network", "brief"]

# Of a calm network no way there or back takes more than so many times its average: a round trip is then shorter than
# the shortest attempt at a request, for the shortest ttl.
_CALM_LEGS = 3.0

Apply = Callable[["Process", Store, Request, Instant], Answer]


class Network:
    """Carries requests to stores and answers back, or does not.

    A request takes effect at one instant, between its way there and its way back, whether or not the sender still
    waits by then: that is how a write comes to land long after its sender gave up on it.
    """

    def __init__(
        self,
        timeline: Timeline,
        random: Random,
        misfortune: Misfortune,
        regime: Regime,
        apply: Apply,
        hear: Callable[[Process, Request, Answer], None],
        stall: Callable[[Process], None],
        diary: Diary,
        counts: Counter[str],
    ) -> None:
        self._timeline = timeline
        self._random = random
        self._chances = misfortune.requests
        self._apply = apply
        self._hear = hear
        self._stall = stall
        self._diary = diary
        self._counts = counts
        # A way there or back takes this long on the average. Tight: nearly nothing, so that only the rules keep order.
        self._leg_s = random.uniform(0.002, 0.040) if regime == "production" else random.uniform(0.0, 0.001)
        self._longest_leg_s = math.inf
        # Until when the store answers nothing but 503, or nothing but 403.
        self.outage_until_s = 0.0
        self.denied_until_s = 0.0

    @property
    def round_trip_s(self) -> float:
        """What a round trip takes on the average, without misfortune."""
        return 2 * self._leg_s

    def calm(self) -> None:
        """From now on nothing goes wrong with any request that is sent, and none takes unusually long."""
        self._chances = {}
        self._longest_leg_s = _CALM_LEGS * self._leg_s
        self.outage_until_s = self.denied_until_s = 0.0

    def send(
        self, process: Process, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]
    ) -> None:
        """Have `done` called with the answer, if `process` lives to hear it."""
        if self._happens("crash_before"):
            process.kill("it crashed before a request")
            return
        if isinstance(request, Put) and self._happens("stall_before"):
            self._stall(process)
            process.enter(lambda: self._send(process, store, request, timeout_s, done))
        else:
            self._send(process, store, request, timeout_s, done)

    def _send(
        self, process: Process, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]
    ) -> None:
        sent = process.now()
        waiting = _Waiting(done)
        process.call_later(timeout_s, lambda: waiting.hear(Unclear(f"no answer within {timeout_s:.3g} s")))
        there_s, back_s = self._leg(timeout_s), self._leg(timeout_s)
        fate = self._fate(process, request)
        self._diary.note(self._timeline.now_s, process.name, "> %s%s", brief(request), f" ({fate})" if fate else "")

        def arrive() -> None:
            answer = self._answer(process, store, request, sent, fate)
            if answer is not None and process.link != "deaf":
                self._timeline.after(
                    back_s, lambda: process.enter(lambda: self._heard(process, waiting, request, answer))
                )

        if fate not in ("request_lost", "mute", "cut"):
            self._timeline.after(there_s, arrive)
        if self._happens("crash_after"):
            process.kill("it crashed with a request under way")
        elif self._happens("stall_after"):
            self._stall(process)

    def _heard(self, process: Process, waiting: _Waiting, request: Request, answer: Answer) -> None:
        if not waiting.over:
            self._diary.note(self._timeline.now_s, process.name, "< %s", type(answer).__name__)
            self._hear(process, request, answer)
        waiting.hear(answer)

    def _answer(self, process: Process, store: Store, request: Request, sent: Instant, fate: str) -> Answer | None:
        """What the store says to a request that has arrived; None where the answer gets lost."""
        now_s = self._timeline.now_s
        if now_s < self.outage_until_s:
            return Unclear("503 Slow Down")
        if now_s < self.denied_until_s:
            return Denied("403 ExpiredToken: renew the credentials")
        match fate:
            case "conflict":
                return Conflict()
            case "failed_before":
                return Unclear("503 before anything was done")
        answer = self._apply(process, store, request, sent)
        match fate:
            case "answer_lost":
                return None
            case "failed_after":
                return Unclear("500 after it was done")
            case "twice":
                self._timeline.after(
                    self._random.expovariate(1 / 5.0), lambda: void(self._apply(process, store, request, sent))
                )
            case "disorder" if isinstance(answer, Listed):
                entries = list(answer.entries)
                self._random.shuffle(entries)
                return Listed(tuple(entries), answer.more, answer.date_s)
        return answer

    def _fate(self, process: Process, request: Request) -> str:
        if process.link in ("cut", "mute"):
            self._counts[process.link] += 1
            return process.link
        kinds: tuple[str, ...] = ("request_lost", "answer_lost", "failed_after", "failed_before")
        match request:
            case Put():
                kinds = (*kinds, "conflict", "twice")
            case Delete():
                kinds = (*kinds, "twice")
            case List():
                kinds = (*kinds, "disorder")
            case Get():
                pass
        for kind in kinds:
            if self._happens(kind):
                return kind
        return ""

    def _leg(self, timeout_s: float) -> float:
        if self._happens("very_slow"):
            return self._random.uniform(1.0, 600.0)
        if self._happens("slow"):
            return self._random.uniform(0.0, 3.0) * timeout_s
        return min(self._random.expovariate(1 / self._leg_s), self._longest_leg_s) if self._leg_s else 0.0

    def _happens(self, kind: str) -> bool:
        chance = self._chances.get(kind)
        if chance is None or self._random.random() >= chance:
            return False
        self._counts[kind] += 1
        return True


class _Waiting:
    """Someone who waits for one answer, and hears the first."""

    def __init__(self, done: Callable[[Answer], None]) -> None:
        self._done = done
        self.over = False

    def hear(self, answer: Answer) -> None:
        if not self.over:
            self.over = True
            self._done(answer)


def brief(request: Request) -> str:
    """`request` in a word or two."""
    match request:
        case Put(key=key, match=match):
            return f"PUT {key} {'if absent' if match is None else f'if {match}'}"
        case List(prefix=prefix, after=after):
            return f"LIST {prefix} after {after}"
        case Get(key=key):
            return f"GET {key}"
        case Delete(key=key):
            return f"DELETE {key}"


def void(answer: Answer) -> None:
    """Nobody hears the answer to a request that was delivered a second time."""
