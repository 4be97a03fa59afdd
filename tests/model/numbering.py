"""Values by number: equal values have one number, so a whole state is a few numbers side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from holocron.store.base import Request
from tests.model.state import Call, Dead, Part, Process, key_of

__all__ = ["Late", "Numbered", "Parts", "call_of"]


class Late(msgspec.Struct, frozen=True):
    """Writes that nobody waits for any more and that land some day, in order of their bytes."""

    requests: tuple[Request, ...]


class Numbered:
    """Values of one kind, numbered as they come; 0 is nothing."""

    def __init__(self, bits: int) -> None:
        self.values: list[Any] = [None]
        self._numbers: dict[bytes, int] = {}
        self._limit = 1 << bits

    def __len__(self) -> int:
        return len(self.values)

    def of(self, value: Any) -> int:
        """The number of `value`, a new one if it was never seen."""
        if value is None:
            return 0
        key = hashlib.blake2b(key_of(value), digest_size=16).digest()
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.values)
            if number >= self._limit:
                raise OverflowError(f"more than {self._limit} different {type(value).__name__}: narrow the bounds")
            self._came(value)
            self.values.append(value)
        return number

    def _came(self, value: Any) -> None:
        """A value that was never seen."""


class Parts(Numbered):
    """Parts by number, and by the same number what is asked about them in every state that they are in."""

    def __init__(self, bits: int, believes: Callable[[Part | None], bool]) -> None:
        super().__init__(bits)
        self._ask = believes
        self.believes: list[bool] = [False]
        self.reads: list[bool] = [False]
        self.writes: list[bool] = [False]
        # It leads, or goes for an epoch, or trims, or releases for the dead; and it is there and would lead.
        self.busy: list[bool] = [False]
        self.stands: list[bool] = [False]

    def _came(self, value: Any) -> None:
        call = call_of(value)
        election = value.election if isinstance(value, Process) else None
        self.believes.append(self._ask(value))
        self.reads.append(call is not None and call.stage == "reading")
        self.writes.append(call is not None and call.stage == "sent")
        leads = election is not None and election.tenure is not None
        self.busy.append(leads or (call is not None and call.kind in ("create", "trim", "guard")))
        self.stands.append(election is not None and election.standing and not election.stopped)


def call_of(part: Part | None) -> Call | None:
    """The request that this part has under way."""
    return None if part is None or isinstance(part, Dead) else part.call
