"""Standing where the last acknowledged command left the node: the newest good checkpoint, then the slots behind it."""

from __future__ import annotations

from collections.abc import Callable

from holocron.errors import RecordUnreadable
from holocron.state.checkpoint import newest
from holocron.state.journal import Author, Raised, Spoilt, read_slots
from holocron.state.replay import Replay
from holocron.store.base import Absent, Deadline, Procedure
from holocron.store.chain import Chain, Trouble

__all__ = ["SIDE_BY_SIDE", "recover"]

# How many slots are read at once.
SIDE_BY_SIDE = 16


def recover(
    slots: Chain,
    checkpoints: Chain,
    author: Author,
    raised: Raised,
    restore: Callable[[bytes, int], None],
    consume: Callable[[int, bytes], None],
    deadline: Callable[[], Deadline],
) -> Procedure[int | Spoilt | Trouble]:
    """Hand out the journal up to this incarnation's fence; the last position.

    Args:
        restore: is given a snapshot and its position, before any entry; a later call replaces all that went before.
        consume: is given each entry behind it, in order, with its position.
        deadline: how long each read may take.
    """
    floor = raised.floor
    while True:
        found = yield from newest(checkpoints, author, deadline())
        if isinstance(found, Spoilt | Trouble):
            return found
        checkpoint = found.checkpoint
        if checkpoint is None and floor > 1:
            why = "; ".join(found.damaged) or "there is none"
            return Spoilt(f"{slots.key(1)} to {slots.key(floor - 1)} are gone and no checkpoint serves: {why}")
        if checkpoint is not None:
            restore(checkpoint.snapshot, checkpoint.position)
        replay = Replay(checkpoint)
        first = checkpoint.slot if checkpoint is not None else 1
        trimmed = False
        for start in range(first, raised.slot + 1, SIDE_BY_SIDE):
            read = yield from read_slots(slots, author, start, min(start + SIDE_BY_SIDE - 1, raised.slot), deadline())
            if isinstance(read, Spoilt | Trouble):
                return read
            if isinstance(read, Absent):
                trimmed = True
                break
            try:
                for slot in read:
                    for position, entry in replay.read(slot, slots.key(slot.slot)):
                        consume(position, entry)
            except RecordUnreadable as error:
                return Spoilt(str(error))
        if not trimmed:
            return replay.position
        # A former self that does not know yet has taken a checkpoint and let go what it covers: begin from that one.
        read_floor = yield from slots.floor(deadline())
        if isinstance(read_floor, Trouble):
            return read_floor
        floor = getattr(read_floor, "floor", floor)
