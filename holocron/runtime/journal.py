"""`node.journal`: the node's own durable log, as an application uses it from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import TypeVar

from holocron.clock import Clock
from holocron.errors import (
    HolocronError,
    NodeStopped,
    OutcomeUnknown,
    RecordUnreadable,
    SettingsError,
    StoreDenied,
    StoreUnreachable,
    Superseded,
)
from holocron.runtime.journaling import Journaling
from holocron.runtime.lane import Lane
from holocron.runtime.waiting import Promised, wait_for
from holocron.settings import Settings
from holocron.state.journal import Author, Fenced, Spoilt
from holocron.state.slots import ENTRY_LIMIT_BYTES, SNAPSHOT_LIMIT_BYTES, Checkpoint
from holocron.store.base import Procedure, Reply, Step, Store
from holocron.store.chain import Trouble

__all__ = ["Journal"]

_T = TypeVar("_T")
# How much may be handed in and not acknowledged; whoever appends more has to wait.
BACKLOG_BYTES = 32 * 1024 * 1024


class Journal:
    """What the node acknowledged, durable and in order, whatever becomes of the compute under it.

    `replay` comes first: it fences off every former self of the node and hands out what they acknowledged. An `append`
    before it replays to nobody. Safe to use from any thread.
    """

    def __init__(self, lane: Lane, home: Store, author: Author, settings: Settings, fenced: Callable[[], None]) -> None:
        self._loop = lane.loop
        self._lane = lane
        self._author = author
        self._fenced = fenced
        self._journaling = Journaling(self._lane, home, author, settings, self._ended)
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._open = False
        self._backlog_bytes = 0
        self._pending: set[Future[int]] = set()
        self._failure: HolocronError | None = None

    @property
    def clock(self) -> Clock:
        """What its waits are by."""
        return self._loop.clock

    # --- coming back ------------------------------------------------------------------------------------------------

    def replay(
        self,
        apply: Callable[[int, bytes], None] | None = None,
        restore: Callable[[bytes, int], None] | None = None,
        timeout: float | None = None,
    ) -> int:
        """Fence off former selves, then hand out what was acknowledged, on this thread; the last position.

        Args:
            apply: is given the position and the payload of every entry behind the checkpoint, in order.
            restore: is given the newest checkpoint's snapshot and its position, before any entry. Should a later call
                come, it replaces all that went before.

        Raises:
            Superseded: a newer incarnation was first. RecordUnreadable: an entry is missing or damaged; nothing was
            overwritten. StoreUnreachable, StoreDenied.
        """
        with self._opening:
            if self._open:
                raise SettingsError(f"the journal of node {self._author.node} is open: replay comes before all else")
            self._check()
            outcome = self._here(
                self._journaling.open(restore or (lambda _snapshot, _at: None), apply or (lambda _at, _entry: None))
            )
            if outcome is not None:
                raise self._error(outcome)
            self._open = True
            return self._journaling.position

    def _here(self, procedure: Procedure[_T]) -> _T:
        """Carry out `procedure` step by step from this thread, so that what it calls is called here."""
        try:
            step = next(procedure)
            while True:
                step = procedure.send(self._loop.carry_out(_one(step)))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # a generator's value is typed Any in StopIteration

    # --- appending --------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The position of the last entry that was acknowledged; the first entry of all has position 1."""
        return self._journaling.position

    def append(self, data: bytes, timeout: float | None = None) -> int:
        """Append `data`; its position, once it is durable and can never be taken back.

        Raises:
            SettingsError: more than 4 MiB. Superseded: a newer incarnation has the journal; `data` may be in it or not.
            OutcomeUnknown: not settled within `timeout` seconds, or the node stopped first.
            RecordUnreadable: the journal is damaged.
        """
        future = self.append_nowait(data)
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise OutcomeUnknown(
                f"node {self._author.node}: an entry was not settled in time; it may yet become durable"
            ) from None

    def append_nowait(self, data: bytes) -> Future[int]:
        """As `append`, without waiting for the answer; with more than 32 MiB unanswered it waits for room first."""
        if len(data) > ENTRY_LIMIT_BYTES:
            raise SettingsError(f"an entry is at most {ENTRY_LIMIT_BYTES} bytes, this one has {len(data)}")
        if not self._open:
            with_nobody = None
            try:
                self.replay(with_nobody)
            except SettingsError:
                # Another thread was first, which is as good.
                if not self._open:
                    raise
        data = bytes(data)
        future: Promised[int] = Promised(self.clock)
        with self._changed:
            wait_for(self.clock, self._changed, partial(self._has_room, len(data)))
            self._check()
            self._backlog_bytes += len(data)
            self._pending.add(future)

        def hand_in() -> None:
            position = 0

            def settled(end: Fenced | Spoilt | None) -> None:
                self._settle(future, len(data), position, end)

            position = self._journaling.append(data, settled)

        self._loop.post(hand_in)
        return future

    def _has_room(self, size: int) -> bool:
        return not self._backlog_bytes or self._backlog_bytes + size <= BACKLOG_BYTES or self._failure is not None

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything appended so far is settled, one way or the other."""
        with self._changed:
            pending = set(self._pending)
            if not wait_for(self.clock, self._changed, lambda: not pending & self._pending, timeout):
                raise OutcomeUnknown(f"node {self._author.node}: entries were not settled in time")

    def _settle(self, future: Future[int], size: int, position: int, end: Fenced | Spoilt | None) -> None:
        with self._changed:
            self._backlog_bytes -= size
            self._pending.discard(future)
            self._changed.notify_all()
        if future.done():
            return
        if end is None:
            future.set_result(position)
        else:
            future.set_exception(self._error(end))

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self, snapshot: bytes, position: int | None = None) -> None:
        """Keep `snapshot`, the state after the entry at `position` (None: after the last acknowledged one), so that a
        replay begins there. It is verified before anything that it makes unnecessary goes; two are kept.

        Raises:
            SettingsError: more than 256 MiB, or a position that is not acknowledged. And what `replay` raises.
        """
        if len(snapshot) > SNAPSHOT_LIMIT_BYTES:
            raise SettingsError(f"a snapshot is at most {SNAPSHOT_LIMIT_BYTES} bytes, this one has {len(snapshot)}")
        self._check()
        if not self._open:
            raise SettingsError(f"the journal of node {self._author.node} is not open: replay comes before all else")
        at = self.position if position is None else position
        if not 0 <= at <= self.position:
            raise SettingsError(f"position {at} is not acknowledged; the last that is, is {self.position}")
        taken = self._loop.carry_out(self._journaling.checkpoint(bytes(snapshot), at))
        if not isinstance(taken, Checkpoint):
            raise self._error(taken)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Append nothing more. What is not settled by now is not known."""
        self._journaling.close()
        self._fail(NodeStopped(f"node {self._author.node} has stopped"))

    def _ended(self, end: Fenced | Spoilt) -> None:
        self._fail(self._error(end))
        if isinstance(end, Fenced):
            self._fenced()

    def _fail(self, failure: HolocronError) -> None:
        with self._changed:
            self._failure = self._failure or failure
            pending, self._pending = self._pending, set()
            self._changed.notify_all()
        for future in pending:
            if not future.done():
                future.set_exception(
                    failure
                    if not isinstance(failure, NodeStopped)
                    else OutcomeUnknown(f"{failure}; its last entries were not settled")
                )

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _error(self, end: Fenced | Spoilt | Trouble) -> HolocronError:
        node = self._author.node
        match end:
            case Fenced(error=error):
                return Superseded(f"node {node} was resumed elsewhere: {error}; this process stops")
            case Spoilt(error=error):
                return RecordUnreadable(f"the journal of node {node} is damaged: {error}")
            case Trouble(error=error, denied=True):
                return StoreDenied(error)
            case Trouble(error=error):
                return StoreUnreachable(error)


def _one(step: Step) -> Procedure[Reply]:
    """A procedure of one step, whose reply is its result."""
    return (yield step)
