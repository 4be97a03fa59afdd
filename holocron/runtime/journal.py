"""`node.journal`: the node's own durable log, as an application uses it from any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import TypeVar

from holocron.clock import Clock, elapsed_holder_s
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
        self._lane = lane
        self._author = author
        self._fenced = fenced
        self._pid = os.getpid()
        self._journaling = Journaling(lane, home, author, settings, self._ended)
        self._changed = threading.Condition()
        # Whoever opens the journal; what it calls meanwhile, on the same thread, must find the door closed.
        self._opening = threading.RLock()
        self._replaying = False
        self._open = False
        self._backlog_bytes = 0
        # What is not settled, and how many were ever handed in and settled: in the order in which they were handed in.
        self._pending: set[Future[int]] = set()
        self._inbox: list[tuple[bytes, Future[int]]] = []
        self._handed_in = 0
        self._settled = 0
        self._failure: HolocronError | None = None

    @property
    def clock(self) -> Clock:
        """What its waits are by."""
        return self._lane.loop.clock

    @property
    def failure(self) -> HolocronError | None:
        """Why nothing will be acknowledged here any more, or None."""
        return self._failure

    # --- coming back ------------------------------------------------------------------------------------------------

    def replay(
        self,
        apply: Callable[[int, bytes], None] | None = None,
        restore: Callable[[bytes, int], None] | None = None,
        timeout: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Fence off former selves, then hand out what was acknowledged, on this thread; the last position.

        Args:
            apply: is given the position and the payload of every entry behind the checkpoint, in order.
            restore: is given the newest checkpoint's snapshot and its position, before any entry. Should a later call
                come, it replaces all that went before.
            progress: is told, after each slot, how many were read of how many there are behind the checkpoint.

        Raises:
            Superseded: a newer incarnation was first. RecordUnreadable: an entry is missing or damaged; nothing was
            overwritten. StoreUnreachable: or not done within `timeout` seconds. StoreDenied.
        """
        with self._opening:
            if self._open or self._replaying:
                so = "is being replayed" if self._replaying else "is open"
                raise SettingsError(f"the journal of node {self._author.node} {so}: replay comes before all else")
            self._replaying = True
            try:
                self._check()
                opening = self._journaling.open(
                    restore or (lambda _snapshot, _at: None),
                    apply or (lambda _at, _entry: None),
                    progress or (lambda _done, _of: None),
                )
                outcome = self._here(opening, timeout)
            finally:
                self._replaying = False
            if isinstance(outcome, Fenced):
                self._ended(outcome)
            if outcome is not None:
                raise self._error(outcome)
            self._open = True
            return self._journaling.position

    def _here(self, procedure: Procedure[_T], timeout: float | None) -> _T:
        """Carry out `procedure` step by step from this thread, so that what it calls and computes is done here."""
        began = self.clock.now()
        try:
            step = next(procedure)
            while True:
                left_s = None if timeout is None else max(0.0, timeout - elapsed_holder_s(began, self.clock.now()))
                try:
                    reply = self._lane.carry_out(_one(step), left_s)
                except FutureTimeout:
                    node = self._author.node
                    raise StoreUnreachable(f"the journal of node {node}: not done within {timeout:g} s") from None
                step = procedure.send(reply)
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
            StoreUnreachable: so much waits to be settled that `data` was not even handed in within that time.
            RecordUnreadable: the journal is damaged.
        """
        began = self.clock.now()
        self._prepare(data, timeout)
        future = self.hand_in(bytes(data))
        left_s = None if timeout is None else max(0.0, timeout - elapsed_holder_s(began, self.clock.now()))
        try:
            return future.result(left_s)
        except FutureTimeout:
            raise OutcomeUnknown(
                f"node {self._author.node}: an entry was not settled in time; it may yet become durable"
            ) from None

    def append_nowait(self, data: bytes) -> Future[int]:
        """As `append`, without waiting for the answer; with more than 32 MiB unanswered it waits for room first.

        The future cannot be cancelled. What is to be called when it is done is called on a thread of the runtime.
        """
        self._prepare(data, None)
        return self.hand_in(bytes(data))

    def _prepare(self, data: bytes, timeout: float | None) -> None:
        if len(data) > ENTRY_LIMIT_BYTES:
            raise SettingsError(f"an entry is at most {ENTRY_LIMIT_BYTES} bytes, this one has {len(data)}")
        began = self.clock.now()
        if not self._open:
            with self._opening:
                # Another thread may have been first, which is as good.
                if not self._open:
                    self.replay(timeout=timeout)
        self.reserve(len(data), None if timeout is None else timeout - elapsed_holder_s(began, self.clock.now()))

    def reserve(self, size: int, timeout: float | None = None) -> None:
        """Wait for room for an entry of `size` bytes, which is then kept for whoever asked, until `hand_in` or `waive`.

        Raises:
            StoreUnreachable: there was none within `timeout` seconds.
        """

        def has_room() -> bool:
            fits = not self._backlog_bytes or self._backlog_bytes + size <= BACKLOG_BYTES
            return fits or self._failure is not None

        with self._changed:
            if not wait_for(self.clock, self._changed, has_room, timeout):
                raise StoreUnreachable(
                    f"node {self._author.node}: {self._backlog_bytes} bytes wait to become durable and the store takes "
                    "none of them; nothing was appended to them"
                )
            self._check()
            self._backlog_bytes += size

    def waive(self, size: int) -> None:
        """Give back room that was reserved."""
        with self._changed:
            self._backlog_bytes -= size
            self._changed.notify_all()

    def hand_in(self, data: bytes) -> Future[int]:
        """Append `data`, for which there is room reserved; never waits."""
        future = _Appended(self._lane)
        with self._changed:
            self._check()
            self._pending.add(future)
            self._handed_in += 1
            self._inbox.append((data, future))
            alone = len(self._inbox) == 1
        if alone:
            # Whatever is handed in until then is taken in with it.
            self._lane.loop.post(self._take_in)
        return future

    def _take_in(self) -> None:
        with self._changed:
            inbox, self._inbox = self._inbox, []
        for data, future in inbox:
            self._append(data, future)

    def _append(self, data: bytes, future: Future[int]) -> None:
        position = 0

        def settled(end: Fenced | Spoilt | None) -> None:
            self._settle(future, len(data), position, end)

        position = self._journaling.append(data, settled)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything appended so far is settled, one way or the other."""
        with self._changed:
            handed_in = self._handed_in
            if not wait_for(self.clock, self._changed, lambda: self._settled >= handed_in, timeout):
                raise OutcomeUnknown(f"node {self._author.node}: entries were not settled in time")

    def _settle(self, future: Future[int], size: int, position: int, end: Fenced | Spoilt | None) -> None:
        with self._changed:
            if future not in self._pending:
                # The journal was closed first, and has said so.
                return
            self._pending.remove(future)
            self._backlog_bytes -= size
            self._settled += 1
            if end is None:
                future.set_result(position)
            else:
                future.set_exception(self._error(end))
            self._changed.notify_all()

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self, snapshot: bytes, position: int | None = None, timeout: float | None = None) -> None:
        """Keep `snapshot`, the state after the entry at `position` (None: after the last acknowledged one), so that a
        replay begins there, or at one before it of the same batch. It is verified before anything that it makes
        unnecessary goes; two are kept.

        Raises:
            SettingsError: more than 256 MiB, or a position that is not acknowledged, or before the last checkpoint or
            before this incarnation's first. And what `replay` raises.
        """
        if len(snapshot) > SNAPSHOT_LIMIT_BYTES:
            raise SettingsError(f"a snapshot is at most {SNAPSHOT_LIMIT_BYTES} bytes, this one has {len(snapshot)}")
        self._check()
        if not self._open:
            raise SettingsError(f"the journal of node {self._author.node} is not open: replay comes before all else")
        at = self.position if position is None else position
        try:
            slot = self._lane.carry_out(_said(partial(self._journaling.slot_of, at)))
        except ValueError as error:
            raise SettingsError(f"no checkpoint for node {self._author.node}: {error}") from None
        taken = self._here(self._journaling.keep(bytes(snapshot), at, slot), timeout)
        if not isinstance(taken, Checkpoint):
            raise self._error(taken)
        self._lane.loop.post(partial(self._journaling.forget, taken.position))

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, why: HolocronError) -> None:
        """Append nothing more: the node has stopped, and `why`. What is not settled by now is not known."""
        self._journaling.close()
        self._fail(why)

    def _ended(self, end: Fenced | Spoilt) -> None:
        self._fail(self._error(end))
        if isinstance(end, Fenced):
            self._fenced()

    def _fail(self, failure: HolocronError) -> None:
        with self._changed:
            self._failure = self._failure or failure
            unsettled = (
                failure
                if isinstance(failure, Superseded | RecordUnreadable)
                else OutcomeUnknown(f"{failure}; its last entries were not settled")
            )
            for future in self._pending:
                future.set_exception(unsettled)
            self._pending.clear()
            self._settled = self._handed_in
            self._changed.notify_all()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if os.getpid() != self._pid:
            raise NodeStopped(f"node {self._author.node} lives on in the parent of this process, its journal with it")

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


class _Appended(Promised[int]):
    """The position of an entry, once it is settled. Callbacks may take their time: no renewal waits for them."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane.loop.clock)
        self._lane = lane
        # What was handed in is not taken back.
        self.set_running_or_notify_cancel()

    def add_done_callback(self, fn: Callable[[Future[int]], object]) -> None:
        """Have `fn` called with this future once it is settled, beside the runtime's own thread."""
        super().add_done_callback(lambda _: self._lane.tell(partial(fn, self)))


def _one(step: Step) -> Procedure[Reply]:
    """A procedure of one step, whose reply is its result."""
    return (yield step)


def _said(call: Callable[[], _T]) -> Procedure[_T]:
    """A procedure of no step, that asks what only the scheduler's thread may touch."""
    yield from ()
    return call()
