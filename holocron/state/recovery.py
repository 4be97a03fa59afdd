"""Standing where the last acknowledged command left the node: the newest good checkpoint, then the slots behind it."""

from __future__ import annotations

from collections.abc import Callable

from holocron.errors import RecordUnreadable
from holocron.state.checkpoint import Newest, newest
from holocron.state.journal import Author, Fenced, Raised, Spoilt, read_slots
from holocron.state.replay import Replay
from holocron.state.slots import Checkpoint
from holocron.store.base import Absent, Deadline, Procedure
from holocron.store.chain import Chain, Dishonest, FloorRead, Trouble

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
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Procedure[int | Fenced | Spoilt | Trouble]:
    """Hand out the journal up to this incarnation's fence; the last position.

    Args:
        restore: is given a snapshot and its position, before any entry; a later call replaces all that went before.
        consume: is given each entry behind it, in order, with its position.
        deadline: how long each read may take.
        progress: is told, after each slot, how many were read of how many there are from the checkpoint to the fence.
    """
    floor = raised.floor
    while True:
        found = yield from newest(checkpoints, author, deadline())
        if isinstance(found, Trouble):
            return found
        checkpoint = found.checkpoint
        unfit = _unfit(slots, author, raised, floor, found)
        if unfit is not None:
            return unfit
        if checkpoint is not None:
            restore(checkpoint.snapshot, checkpoint.position)
        first = checkpoint.slot if checkpoint is not None else 1
        outcome = yield from _replayed(slots, author, checkpoint, first, raised.slot, consume, deadline, progress)
        if isinstance(outcome, Fenced | Trouble):
            return outcome
        # Asked after the reads, as after a win: what lies below the floor was trimmed meanwhile, and what was read
        # there may be what a sleeper has put in its place. That is no part of the journal (I9).
        again = yield from slots.floor(deadline())
        if not isinstance(again, FloorRead):
            return Spoilt(again.error) if isinstance(again, Dishonest) else again
        if again.floor <= first and not isinstance(outcome, Absent):
            return outcome
        # A former self that does not know yet has taken a checkpoint and let go what it covers: begin from that one.
        floor = again.floor


def _replayed(
    slots: Chain,
    author: Author,
    checkpoint: Checkpoint | None,
    first: int,
    last: int,
    consume: Callable[[int, bytes], None],
    deadline: Callable[[], Deadline],
    progress: Callable[[int, int], None],
) -> Procedure[int | Fenced | Spoilt | Trouble | Absent]:
    """Hand out slots `first` to `last`; the last position, or `Absent` where retention took some out meanwhile."""
    replay = Replay(checkpoint)
    for start in range(first, last + 1, SIDE_BY_SIDE):
        read = yield from read_slots(slots, author, start, min(start + SIDE_BY_SIDE - 1, last), deadline())
        if isinstance(read, Spoilt | Trouble | Absent):
            return read
        try:
            for slot in read:
                if slot.incarnation > author.incarnation:
                    # Its fence was first: behind it this one's own fence is void, as are all of its appends.
                    return _fenced(slots.key(slot.slot), slot.incarnation, author)
                for position, entry in replay.read(slot, slots.key(slot.slot)):
                    consume(position, entry)
                progress(slot.slot - first + 1, last - first + 1)
        except RecordUnreadable as error:
            return Spoilt(str(error))
    return replay.position


def _unfit(slots: Chain, author: Author, raised: Raised, floor: int, found: Newest) -> Fenced | Spoilt | None:
    """Why nothing can be built on the newest checkpoint, if so; `floor` was read before it."""
    checkpoint = found.checkpoint
    if checkpoint is None or checkpoint.slot < floor:
        if floor == 1:
            return None
        first = checkpoint.slot if checkpoint is not None else 1
        why = "; ".join(found.damaged) or "there is none"
        return Spoilt(
            f"{slots.key(first)} to {slots.key(floor - 1)} are gone and no checkpoint serves from there on: {why}"
        )
    if checkpoint.incarnation > author.incarnation:
        return _fenced(f"checkpoint {checkpoint.slot}", checkpoint.incarnation, author)
    if checkpoint.slot >= raised.slot:
        return Spoilt(
            f"the newest checkpoint is of {slots.key(checkpoint.slot)}, and the first slot that is free is "
            f"{raised.slot}: what lay between is gone"
        )
    return None


def _fenced(key: str, incarnation: int, author: Author) -> Fenced:
    return Fenced(f"{key} is incarnation {incarnation}'s: it has taken the place of {author.incarnation}")
