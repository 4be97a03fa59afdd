"""What goes into which slot, and what may be acknowledged when. Pure: no clock, no store, no thread.

Appends are batched: whatever waits goes into one slot. Up to `WINDOW` slots are in flight at once, so a crash or a
fence may leave a hole with a younger slot behind it. Three rules keep what was acknowledged in order and whole:

* **Acknowledgements go out in slot order only.** A slot that is durable waits for all before it.
* **A fence takes the first free slot.** Whatever an older incarnation has behind it is void and skipped.
* **The first `WINDOW - 1` slots behind a fence are written one at a time.** An older incarnation had at most `WINDOW`
  slots in flight, and none of them is further from the first free one, so only there may a void slot be met. It moves a
  batch one slot on, and with nothing else in flight no order is lost by that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import msgspec

from holocron.state.slots import BATCH_LIMIT_BYTES

__all__ = ["WINDOW", "Batch", "Writer"]

# How many slots of one node may be in flight. It is part of the protocol: every incarnation ever must have kept to it.
WINDOW = 4
# More entries than this in one slot save nothing any more.
_MOST_ENTRIES = 10_000


class Batch(msgspec.Struct, frozen=True):
    """Entries that go into `slot` together; the first has position `first`."""

    slot: int
    first: int
    entries: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """The position of its last entry."""
        return self.first + len(self.entries) - 1


class Writer:
    """One incarnation's journal, from its own fence on.

    Args:
        fence: the slot of its fence.
        position: the last position before it.
    """

    def __init__(self, fence: int, position: int) -> None:
        self.fence = fence
        #: Everything up to here is durable and may be acknowledged.
        self.acknowledged = position
        # The last position of each slot that was acknowledged, oldest first; a checkpoint lets go what it covers.
        self._ends: list[tuple[int, int]] = [(position, fence)]
        self._position = position
        self._next_slot = fence + 1
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._flight: dict[int, Batch] = {}
        self._durable: set[int] = set()
        # A batch that met a void slot and goes first.
        self._moved: Batch | None = None

    @property
    def waiting_bytes(self) -> int:
        """How much was handed in and is not acknowledged yet."""
        return self._queued_bytes + sum(len(entry) for batch in self._flight.values() for entry in batch.entries)

    @property
    def idle(self) -> bool:
        """Whether all that was handed in is acknowledged."""
        return not self._queue and not self._flight and self._moved is None

    def add(self, entry: bytes) -> int:
        """Hand in one entry; its position."""
        self._position += 1
        self._queue.append(entry)
        self._queued_bytes += len(entry)
        return self._position

    def take(self) -> Batch | None:
        """The next batch to be sent, or None where nothing waits or too much is in flight."""
        if self._moved is not None:
            batch, self._moved = self._moved, None
            self._flight[batch.slot] = batch
            return batch
        serial = self._next_slot < self.fence + WINDOW or min(self._flight, default=WINDOW + self.fence) < (
            self.fence + WINDOW
        )
        if not self._queue or len(self._flight) >= (1 if serial else WINDOW):
            return None
        entries: list[bytes] = []
        size = 0
        while self._queue and len(entries) < _MOST_ENTRIES:
            if entries and size + len(self._queue[0]) > BATCH_LIMIT_BYTES:
                break
            size += len(self._queue[0])
            entries.append(self._queue.popleft())
        self._queued_bytes -= size
        first = self._position - len(self._queue) - len(entries) + 1
        batch = Batch(self._next_slot, first, tuple(entries))
        self._flight[batch.slot] = batch
        self._next_slot += 1
        return batch

    def written(self, batch: Batch) -> None:
        """`batch` is durable and no orphan; what may be acknowledged rises as far as there is no gap."""
        self._durable.add(batch.slot)
        for slot in sorted(self._flight):
            if slot not in self._durable:
                return
            done = self._flight.pop(slot)
            self._durable.remove(slot)
            self.acknowledged = done.last
            self._ends.append((done.last, slot))

    def slot_of(self, position: int) -> int:
        """The slot in which the acknowledged `position` lies (this incarnation's fence, for the last before it).

        Raises:
            ValueError: it is not acknowledged yet, or lies before the newest checkpoint or this incarnation.
        """
        if position > self.acknowledged:
            raise ValueError(f"position {position} is not acknowledged; the last that is, is {self.acknowledged}")
        if position < self._ends[0][0]:
            raise ValueError(f"position {position} is too far back; a checkpoint begins at {self._ends[0][0]} or later")
        at = bisect_left(self._ends, (position, 0))
        return self._ends[at][1]

    def forget(self, position: int) -> None:
        """Nobody will ask for the slot of what is before `position` any more."""
        del self._ends[: bisect_left(self._ends, (position, 0))]

    def void(self, batch: Batch) -> None:
        """An older incarnation's slot was met where `batch` was to go: it goes into the next one."""
        if len(self._flight) != 1 or batch.slot >= self.fence + WINDOW:
            raise ValueError(f"slot {batch.slot} cannot be void, with the fence in slot {self.fence}")
        del self._flight[batch.slot]
        self._next_slot = batch.slot + 2
        self._moved = Batch(batch.slot + 1, batch.first, batch.entries)
