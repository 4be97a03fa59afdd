"""A store between a node and its store that keeps a journal of requests and can be told to do wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from holocron.runtime.counting import VERBS
from holocron.store.base import Answer, List, Request, Store, Unclear

__all__ = ["Meddler", "Rule", "Trip", "anything", "hang", "hold", "lose", "on", "refuse"]

LIVENESS_S = 30.0

Predicate = Callable[[Request], bool]
Action = Callable[[Store, Request, float], Answer]


def anything(_: Request) -> bool:
    """Every request."""
    return True


def on(verb: str, part: str = "") -> Predicate:
    """Requests of this verb whose key (or prefix, for a LIST) contains `part`."""
    return lambda request: VERBS[type(request)] == verb and part in key_of(request)


def key_of(request: Request) -> str:
    """What the request is about."""
    return request.prefix if isinstance(request, List) else request.key


def refuse(store: Store, request: Request, timeout_s: float) -> Answer:
    """There is no way to the store; nothing was sent."""
    return Unclear("no route", sent=False)


def lose(store: Store, request: Request, timeout_s: float) -> Answer:
    """The store does it, and the answer is lost."""
    store.perform(request, timeout_s)
    return Unclear("the answer was lost")


def hang(store: Store, request: Request, timeout_s: float) -> Answer:
    """The store never has it, and nobody answers."""
    time.sleep(timeout_s)
    return Unclear("timed out")


def hold(until: threading.Event, answered: bool = True) -> Action:
    """The store has it once `until` is set, however long that takes; who asked may not hear of it any more."""

    def act(store: Store, request: Request, timeout_s: float) -> Answer:
        assert until.wait(LIVENESS_S)
        answer = store.perform(request, LIVENESS_S)
        return answer if answered else Unclear("timed out")

    return act


class Rule:
    """What is to happen to which requests, how often, and how often it has."""

    def __init__(self, predicate: Predicate, action: Action, times: int | None) -> None:
        self._predicate = predicate
        self._left = times
        self._changed = threading.Condition()
        self.action = action
        self.hits = 0

    def takes(self, request: Request) -> bool:
        """Whether the request falls under this rule now; if so, it is counted."""
        with self._changed:
            if self._left == 0 or not self._predicate(request):
                return False
            if self._left is not None:
                self._left -= 1
            self.hits += 1
            self._changed.notify_all()
            return True

    def wait(self, hits: int = 1) -> None:
        """Wait until the rule has applied so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.hits >= hits, LIVENESS_S), "the rule never applied"


class Trip(NamedTuple):
    """One request: verb, key, when it was sent and when it was answered, and what."""

    verb: str
    key: str
    began: float
    ended: float
    answer: Answer


class Meddler:
    """`store`, with rules about what happens to requests; the first that applies acts, others pass on."""

    def __init__(self, store: Store, delay_s: float = 0.0) -> None:
        self._store = store
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._trips: list[Trip] = []

    @property
    def uri(self) -> str:
        """Where the store is."""
        return self._store.uri

    def rule(self, predicate: Predicate, action: Action, times: int | None = None) -> Rule:
        """Do `action` to requests that `predicate` is true of."""
        made = Rule(predicate, action, times)
        with self._lock:
            self._rules.insert(0, made)
        return made

    def clear(self) -> None:
        """No faults from here on."""
        with self._lock:
            self._rules.clear()

    def trips(self, verb: str = "", part: str = "") -> list[Trip]:
        """What was asked so far, in the order in which it was answered."""
        with self._lock:
            return [trip for trip in self._trips if verb in ("", trip.verb) and part in trip.key]

    def forget(self) -> None:
        """Begin a new journal."""
        with self._lock:
            self._trips.clear()

    def perform(self, request: Request, timeout_s: float) -> Answer:
        """As the rules have it."""
        with self._lock:
            action = next((rule.action for rule in self._rules if rule.takes(request)), None)
        began = time.monotonic()
        if self._delay_s:
            time.sleep(self._delay_s)
        answer = self._store.perform(request, timeout_s) if action is None else action(self._store, request, timeout_s)
        trip = Trip(VERBS[type(request)], key_of(request), began, time.monotonic(), answer)
        with self._lock:
            self._trips.append(trip)
        return answer

    def close(self) -> None:
        """Close the store."""
        self._store.close()
