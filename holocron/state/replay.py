"""What a journal says, read in order: the acknowledged prefix, and nothing that a fence has made void. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from holocron.errors import RecordUnreadable
from holocron.state.slots import Checkpoint, Slot

__all__ = ["Replay"]


class Replay:
    """Follows the slots of a journal, one after the other.

    Args:
        checkpoint: where to begin, or None for the first slot.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        #: The last position that was given out.
        self.position = checkpoint.position if checkpoint is not None else 0
        self._incarnation = checkpoint.incarnation if checkpoint is not None else 0

    def read(self, slot: Slot, key: str) -> Iterator[tuple[int, bytes]]:
        """The entries of `slot` with their positions, those excepted that are void or part of the checkpoint.

        Raises:
            RecordUnreadable: the entries do not follow on the last ones: something between them is missing.
        """
        if slot.incarnation < self._incarnation:
            # Written behind the fence of a newer incarnation: never acknowledged, and never replayed.
            return
        if slot.kind == "fence":
            self._incarnation = slot.incarnation
            return
        if slot.incarnation > self._incarnation:
            raise RecordUnreadable(f"{key} is incarnation {slot.incarnation}'s, which has no fence before it")
        if slot.first > self.position + 1:
            raise RecordUnreadable(f"{key} begins at position {slot.first}, and {self.position + 1} is missing")
        for position, entry in enumerate(slot.entries, slot.first):
            if position > self.position:
                self.position = position
                yield position, entry
