"""Waiting for conditions, and hearing what a node tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from holocron import events

__all__ = ["LIVENESS_S", "Heard", "until"]

# A bound on hanging and no measure of anything: every wait ends as soon as its condition holds.
LIVENESS_S = 30.0

_E = TypeVar("_E", bound=events.Event)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds; an assertion fails if it never does."""
    end = time.monotonic() + LIVENESS_S
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.005)


class Heard:
    """A subscriber that keeps what it was told, for others to wait for."""

    def __init__(self) -> None:
        self._told: list[events.Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: events.Event) -> None:
        with self._changed:
            self._told.append(event)
            self._changed.notify_all()

    def all(self, *kinds: type[events.Event]) -> list[events.Event]:
        """What was told so far, of these kinds alone."""
        with self._changed:
            return [event for event in self._told if isinstance(event, kinds)]

    def names(self, *kinds: type[events.Event]) -> list[str]:
        """The same, by name."""
        return [type(event).__name__ for event in self.all(*kinds)]

    def wait(self, kind: type[_E], nth: int = 1, wanted: Callable[[_E], bool] = lambda _: True) -> _E:
        """The `nth` event of `kind` that is `wanted`, waited for."""
        end = time.monotonic() + LIVENESS_S
        with self._changed:
            while True:
                found = [event for event in self._told if isinstance(event, kind) and wanted(event)]
                if len(found) >= nth:
                    return found[nth - 1]
                left_s = end - time.monotonic()
                assert left_s > 0, f"no {kind.__name__} number {nth} in {self._told}"
                self._changed.wait(left_s)
