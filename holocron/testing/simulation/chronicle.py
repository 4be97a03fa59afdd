"""What truly happened to the store, in the order in which it happened: the measure that every check goes by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from holocron.clock import Instant
from holocron.errors import RecordUnreadable
from holocron.layout import EPOCH_FLOOR, EPOCHS, NODES, number_of
from holocron.records import Epoch, Floor, Identity, decode
from holocron.store.base import Answer, Delete, Deleted, Put, Request, Written

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process

__all__ = ["Applied", "Chronicle", "Sealed"]


class Applied(msgspec.Struct, frozen=True):
    """A request took effect at true time `at_s`. `process` is None for those who are no node: operators, vandals."""

    at_s: float
    process: Process | None
    request: Request
    answer: Answer
    # The sender's own clocks as it sent this attempt.
    sent: Instant | None


class Sealed(msgspec.Struct, frozen=True):
    """An epoch that was created for the first time: from then on its bytes are history."""

    number: int
    body: bytes
    # None where no rule of ours could have written it, or it cannot be read.
    record: Epoch | None
    at_s: float
    process: Process | None
    sent: Instant | None
    # What every process's clocks said at that instant, by the process's name.
    readings: dict[str, Instant]

    @property
    def mark(self) -> str:
        """What the next epoch has to name as its predecessor."""
        return self.record.nonce if self.record is not None else hashlib.sha256(self.body).hexdigest()


class Chronicle:
    """The true history of one store."""

    def __init__(self) -> None:
        self.cluster: str | None = None
        self.sealed: dict[int, Sealed] = {}
        # Epoch numbers that were created again after they had been deleted.
        self.orphans: list[int] = []
        self.floor = 1
        self.floors: list[int] = [1]
        self.deleted: set[int] = set()
        self.incarnations: dict[str, list[int]] = {}
        self.requests = 0
        # Whether the store has betrayed everyone: from then on this history is not what the store holds.
        self.betrayed_s: float | None = None

    @property
    def head(self) -> int:
        """The end of the unbroken run; epochs that vandals put behind a gap are none."""
        number = max(self.floor, 1)
        if number not in self.sealed:
            return 0
        while number + 1 in self.sealed:
            number += 1
        return number

    def record(self, applied: Applied, readings: dict[str, Instant]) -> Sealed | None:
        """Take in what was applied; the epoch that it sealed, if it did."""
        self.requests += 1
        match applied.request, applied.answer:
            case Put(key=key, body=body, match=match), Written():
                if key == EPOCH_FLOOR:
                    floor = _decoded(Floor, body, key)
                    if isinstance(floor, Floor):
                        self.floor = floor.floor
                        self.floors.append(floor.floor)
                elif key.startswith(NODES) and key.endswith("/identity.json"):
                    identity = _decoded(Identity, body, key)
                    if isinstance(identity, Identity):
                        self.incarnations.setdefault(identity.node, []).append(identity.incarnation)
                elif match is None and (number := number_of(EPOCHS, key)) is not None:
                    return self._seal(number, key, body, applied, readings)
            case Delete(key=key), Deleted():
                number = number_of(EPOCHS, key)
                if number is not None and number in self.sealed:
                    self.deleted.add(number)
        return None

    def _seal(
        self, number: int, key: str, body: bytes, applied: Applied, readings: dict[str, Instant]
    ) -> Sealed | None:
        if number in self.sealed:
            self.orphans.append(number)
            return None
        record = _decoded(Epoch, body, key, self.cluster)
        if isinstance(record, Epoch) and record.epoch != number:
            record = None
        sealed = Sealed(
            number,
            body,
            record if isinstance(record, Epoch) else None,
            applied.at_s,
            applied.process,
            applied.sent,
            readings,
        )
        self.sealed[number] = sealed
        return sealed


def _decoded(kind: type[Epoch | Floor | Identity], body: bytes, key: str, cluster: str | None = None) -> object:
    try:
        return decode(kind, body, key, cluster)
    except RecordUnreadable:
        return None
