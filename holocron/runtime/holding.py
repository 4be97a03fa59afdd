"""Holding a lease in an asyncio task: no thread waits for it, and losing it cancels the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType

from holocron.runtime.crew import aside, outcome, waker
from holocron.runtime.leadership import Held, Leadership
from holocron.runtime.lease import Lease

__all__ = ["holding", "taken"]


async def taken(leadership: Leadership, timeout: float | None = None, *, ends: bool = True) -> Held:
    """Wait for leadership and take it; cancelled, it stands for election no more and has taken nothing."""
    changed = asyncio.Event()
    with leadership.standing(waker(changed.set)):
        try:
            async with asyncio.timeout(timeout):
                while (held := leadership.take(ends=ends)) is None:
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            assert timeout is not None
            raise leadership.too_late(timeout) from None
    return held


@contextlib.asynccontextmanager
async def holding(leadership: Leadership, held: Held) -> AsyncIterator[Lease]:
    """Hold what was taken for the body, which is cancelled when the lease is lost; then `LeadershipLost` comes out."""
    try:
        async with _Bound(held.lease):
            yield held.lease
    finally:
        if leadership.leave(held):
            # Written even where nobody waits for it any more.
            await outcome(aside(partial(leadership.release, held.lease)))


class _Bound:
    """Binds the running task to a lease, as `asyncio.timeout` binds one to a time: the same counting of cancellations
    tells one that came from here from one that came from outside, and that one stays what it is."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._cancelled = False
        self._left = False
        self._forget: Callable[[], None] = lambda: None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a lease is held by a task"
        self._task = task
        self._before = task.cancelling()
        self._forget = self._lease.when_lost(waker(self._cancel))

    def _cancel(self) -> None:
        if not self._left:
            self._cancelled = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._left = True
        self._forget()
        if not self._cancelled or self._task.uncancel() > self._before:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._lease.check()
