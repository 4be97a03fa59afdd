"""The journal at work in a world: it sends what waits, settles what is unknown, and acknowledges in order.

It lives on its world's one thread of control, as the engine does: it needs no lock, and a simulation runs it as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from holocron.runtime.world import World, run
from holocron.settings import Settings
from holocron.state.checkpoint import checkpoint_chain, prune, take
from holocron.state.journal import Author, Fenced, Raised, Spoilt, Void, Wrote, journal_chain, raise_fence, write
from holocron.state.recovery import recover
from holocron.state.slots import Checkpoint
from holocron.state.writer import Batch, Writer
from holocron.store.base import Deadline, Procedure, Store
from holocron.store.chain import Trouble, Unknown

__all__ = ["Journaling", "Settled"]

# How long an unknown outcome may go on being settled before it is asked about afresh; it never gives up.
_SETTLING_S = 30.0
_PAUSE_S = 0.2
# What a way to the store carries that is still thought to be working.
_SLOWEST_BYTES_PER_S = 1024 * 1024
# A checkpoint may be large, and its store slow; so may the slots that are read together.
_CHECKPOINT_S = 600.0
_RECOVERY_S = 120.0

Settled = Callable[[Fenced | Spoilt | None], None]


class Journaling:
    """One incarnation's journal.

    Args:
        home: the root of the node's own records.
        ended: is told once, when nothing will be acknowledged here any more, and why.
    """

    def __init__(
        self, world: World, home: Store, author: Author, settings: Settings, ended: Callable[[Fenced | Spoilt], None]
    ) -> None:
        self.slots = journal_chain(home, author)
        self.checkpoints = checkpoint_chain(home, author)
        self.author = author
        self._world = world
        self._settings = settings
        self._ended = ended
        self._writer: Writer | None = None
        self._waiting: deque[tuple[int, Settled]] = deque()
        self._end: Fenced | Spoilt | None = None
        self._closed = False
        self._pump_due = False

    # --- coming back ------------------------------------------------------------------------------------------------

    def open(
        self,
        restore: Callable[[bytes, int], None],
        consume: Callable[[int, bytes], None],
        progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> Procedure[Fenced | Spoilt | Trouble | None]:
        """Fence off every former self, then hand out what was acknowledged, as `recover` does; None where the journal
        is open."""
        raised = yield from raise_fence(self.slots, self.author, self._world.nonce, self._deadline())
        if not isinstance(raised, Raised):
            return raised
        position = yield from recover(
            self.slots, self.checkpoints, self.author, raised, restore, consume, self._ample, progress
        )
        if not isinstance(position, int):
            return position
        self._writer = Writer(raised.slot, position)
        return None

    # --- appending --------------------------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """How much was handed in and is not acknowledged yet."""
        return self._writer.waiting_bytes if self._writer is not None else 0

    @property
    def position(self) -> int:
        """The last position that was acknowledged."""
        return self._writer.acknowledged if self._writer is not None else 0

    def append(self, entry: bytes, settled: Settled) -> int:
        """Hand in `entry`; its position. `settled` is called with None once it is durable, or with why it never
        will be acknowledged (it may be there all the same).
        """
        assert self._writer is not None
        if self._end is not None:
            settled(self._end)
            return 0
        position = self._writer.add(entry)
        self._waiting.append((position, settled))
        if not self._pump_due:
            # Not at once: what is handed in at the same instant goes together.
            self._pump_due = True
            self._world.call_later(0.0, self._pump)
        return position

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True

    def _pump(self) -> None:
        self._pump_due = False
        if self._writer is None or self._end is not None or self._closed:
            return
        while (batch := self._writer.take()) is not None:
            self._send(batch, self._world.nonce())

    def _send(self, batch: Batch, nonce: str) -> None:
        if self._closed or self._end is not None:
            return
        deadline = self._deadline(sum(len(entry) for entry in batch.entries))
        writing = write(self.slots, self.author, batch, nonce, deadline)
        run(self._world, writing, lambda outcome: self._sent(batch, nonce, outcome))

    def _sent(self, batch: Batch, nonce: str, outcome: Wrote | Void | Fenced | Spoilt | Unknown) -> None:
        assert self._writer is not None
        if self._end is not None:
            return
        match outcome:
            case Wrote():
                self._writer.written(batch)
                while self._waiting and self._waiting[0][0] <= self._writer.acknowledged:
                    self._waiting.popleft()[1](None)
            case Void():
                try:
                    self._writer.void(batch)
                except ValueError as error:
                    self._stop(Spoilt(f"{self.slots.key(batch.slot)}: {error}"))
                    return
            case Unknown():
                # The same bytes until it is settled: nothing behind this slot is acknowledged before (I10).
                self._world.call_later(_PAUSE_S, lambda: self._send(batch, nonce))
            case Fenced() | Spoilt():
                self._stop(outcome)
                return
        self._pump()

    def _stop(self, end: Fenced | Spoilt) -> None:
        self._end = end
        waiting, self._waiting = self._waiting, deque()
        for _, settled in waiting:
            settled(end)
        self._ended(end)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self, snapshot: bytes, position: int) -> Procedure[Checkpoint | Spoilt | Trouble]:
        """Keep `snapshot`, the state after the acknowledged `position`, and let go what two checkpoints make
        unnecessary.
        """
        taken = yield from self.keep(snapshot, position, self.slot_of(position))
        if isinstance(taken, Checkpoint):
            self.forget(taken.position)
        return taken

    def slot_of(self, position: int) -> int:
        """The slot of `position`; `ValueError` where it is not acknowledged or too far back for a checkpoint."""
        assert self._writer is not None
        return self._writer.slot_of(position)

    def forget(self, position: int) -> None:
        """A checkpoint covers what is before `position`: there will be none of an earlier one."""
        assert self._writer is not None
        self._writer.forget(position)

    def keep(self, snapshot: bytes, position: int, slot: int) -> Procedure[Checkpoint | Spoilt | Trouble]:
        """The part of `checkpoint` that deals with the store alone, and may be carried out on any thread."""
        deadline = Deadline(self._world.now(), _CHECKPOINT_S, max(self._settings.attempt_s, 30.0))
        taken = yield from take(
            self.checkpoints,
            self.author,
            self.author.incarnation,
            slot,
            position,
            snapshot,
            self._world.nonce,
            deadline,
        )
        if not isinstance(taken, Checkpoint):
            return taken
        pruned = yield from prune(
            self.slots, self.checkpoints, self.author, self._settings.keep_age_s, self._world.nonce, deadline
        )
        match pruned:
            case Trouble(error=error, denied=denied):
                return Trouble(f"the checkpoint stands, and what it makes unnecessary was not let go: {error}", denied)
            case Spoilt():
                return pruned
        return taken

    def _deadline(self, size: int = 0) -> Deadline:
        attempt_s = max(self._settings.attempt_s, 2.0) + size / _SLOWEST_BYTES_PER_S
        return Deadline(self._world.now(), _SETTLING_S, attempt_s)

    def _ample(self) -> Deadline:
        return Deadline(self._world.now(), _RECOVERY_S, max(self._settings.attempt_s, 10.0))
