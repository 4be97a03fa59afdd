"""A second way to the store, so that heartbeats and renewals never queue behind what is bulky."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from holocron.clock import Instant, PacedClock
from holocron.observe.logs import logger
from holocron.runtime.loop import Loop
from holocron.runtime.waiting import start
from holocron.store.base import Answer, Procedure, Request, Store

__all__ = ["Lane"]

_T = TypeVar("_T")


class Lane:
    """`loop` as a world whose requests have threads of their own; everything else happens on the loop's one thread."""

    def __init__(self, loop: Loop, name: str, threads: int) -> None:
        self.loop = loop
        self._io = ThreadPoolExecutor(threads, thread_name_prefix=f"holocron-{name}")
        self._told = ThreadPoolExecutor(1, thread_name_prefix="holocron-told")

    def now(self) -> Instant:
        return self.loop.now()

    def nonce(self) -> str:
        return self.loop.nonce()

    def uniform(self, low: float, high: float) -> float:
        return self.loop.uniform(low, high)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.loop.call_later(delay_s, call)

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        self.loop.put(self._io, store, request, timeout_s, done)

    def carry_out(self, procedure: Procedure[_T], timeout_s: float | None = None) -> _T:
        """As `Loop.carry_out`, with the requests on this lane's threads."""
        return self.loop.carry_out(procedure, self, timeout_s)

    def tell(self, call: Callable[[], object]) -> None:
        """Have `call`, which is an application's and may take its time, called beside the loop: one after the other."""
        if isinstance(self.loop.clock, PacedClock):
            start(self.loop.clock, lambda: _heard(call), "holocron-told")
            return
        try:
            self._told.submit(_heard, call)
        except RuntimeError:
            # Closed: the loop needs no sparing any more.
            _heard(call)

    def close(self) -> None:
        """Take no more requests; those under way are left to end by themselves."""
        self._io.shutdown(wait=False, cancel_futures=True)
        self._told.shutdown(wait=False)


def _heard(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001 - the application's fault is logged and hurts nothing of ours
        logger().exception("A callback raised.")
