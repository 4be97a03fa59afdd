"""What truly happened to the store, in the order in which it happened: the measure that every check goes by."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from holocron.clock import Instant
from holocron.errors import RecordUnreadable
from holocron.layout import CONTROL, EPOCH_FLOOR, EPOCHS, HISTORY, NODES, number_of
from holocron.records import Control, Epoch, Floor, History, Identity, Past, Record, decode
from holocron.store.base import Answer, Delete, Deleted, Found, Get, List, Listed, Put, Request, Written

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process

__all__ = ["Applied", "Chronicle", "Sealed", "incarnation_in"]


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

    @property
    def rightful(self) -> bool:
        """Whether its writer could give away what it did: its own lease, or, as a guardian, that of a dead process.

        Dead is what it truly was at that instant, whatever the guardian took for the truth.
        """
        ward = self.process.ward if self.process is not None else None
        if ward is None:
            return True
        theirs = self.record is not None and self.record.leader.session == ward.session
        return theirs and ward.ended_s is not None and ward.ended_s <= self.at_s


class Chronicle:
    """The true history of one store."""

    def __init__(self) -> None:
        self.cluster: str | None = None
        self.sealed: dict[int, Sealed] = {}
        self._newest = 0
        # Epoch numbers that were created again after they had been deleted.
        self.orphans: list[int] = []
        self.floor = 1
        self.floors: list[int] = [1]
        self.deleted: set[int] = set()
        self.incarnations: dict[str, list[int]] = {}
        # What retention put into the history, by epoch.
        self.history: dict[int, Past] = {}
        # Every checkpoint that any node ever took.
        self.checkpoints: set[str] = set()
        # The terms that operators asked to end, and all that they asked for, by number.
        self.controls: set[int] = set()
        self.asked: dict[int, Control] = {}
        # By process: each head that a LIST of its showed, and what its clocks said as it sent the last such LIST.
        self.looks: dict[str, dict[int, Instant]] = {}
        # By process: each epoch that it has read, and what its clocks said as it sent the last such read.
        self.reads: dict[str, dict[int, Instant]] = {}
        # How many requests reached the store, by process, verb and what it was about.
        self.requests: Counter[tuple[str, str, str]] = Counter()
        # Whether the store has betrayed everyone: from then on this history is not what the store holds.
        self.betrayed_s: float | None = None

    @property
    def head(self) -> int:
        """The end of the unbroken run; epochs that vandals put behind a gap are none."""
        return self.newest if self.floor <= self.newest else 0

    @property
    def newest(self) -> int:
        """The last of all the epochs that ever followed one upon the other, wherever the floor is."""
        while self._newest + 1 in self.sealed:
            self._newest += 1
        return self._newest

    def record(self, applied: Applied, readings: dict[str, Instant]) -> Sealed | None:
        """Take in what was applied; the epoch that it sealed, if it did."""
        if applied.process is not None:
            self._count(applied.process, applied.request)
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
                elif key.startswith(NODES) and "/checkpoint/" in key:
                    self.checkpoints.add(key)
                elif key.startswith(HISTORY):
                    history = _decoded(History, body, key, self.cluster)
                    if isinstance(history, History):
                        self.history.update((past.epoch, past) for past in history.epochs)
                elif key.startswith(CONTROL):
                    control = _decoded(Control, body, key, self.cluster)
                    if isinstance(control, Control):
                        self.asked[control.number] = control
                        if control.request == "step-down":
                            self.controls.add(control.term)
                elif match is None and (number := number_of(EPOCHS, key)) is not None:
                    return self._seal(number, key, body, applied, readings)
            case List(prefix=prefix), Listed() if prefix == EPOCHS and applied.process and applied.sent:
                _keep(self.looks.setdefault(applied.process.name, {}), self.head, applied.sent)
            case Get(key=key), Found() if applied.process and applied.sent:
                if (number := number_of(EPOCHS, key)) is not None:
                    _keep(self.reads.setdefault(applied.process.name, {}), number, applied.sent)
            case Delete(key=key), Deleted():
                number = number_of(EPOCHS, key)
                if number is not None and number in self.sealed:
                    self.deleted.add(number)
        return None

    def orphan(self, applied: Applied) -> Epoch | None:
        """The record that `applied` put where another epoch had been sealed and deleted, if it did."""
        match applied.request, applied.answer:
            case Put(key=key, body=body, match=None), Written() if (number := number_of(EPOCHS, key)) is not None:
                sealed = self.sealed.get(number)
                # A request that was delivered twice may bring an epoch back as it was, by nobody's doing.
                if sealed is not None and sealed.body != body:
                    record = _decoded(Epoch, body, key, self.cluster)
                    return record if isinstance(record, Epoch) else None
        return None

    def _count(self, process: Process, request: Request) -> None:
        about = request.prefix if isinstance(request, List) else request.key.partition("/")[0]
        self.requests[process.name, type(request).__name__.upper(), about.rstrip("/")] += 1

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


def _keep(told: dict[int, Instant], number: int, sent: Instant) -> None:
    # One that was sent earlier may arrive later.
    told[number] = max(told.get(number, sent), sent, key=lambda each: each.boot_s)


class _Written(msgspec.Struct, frozen=True):
    incarnation: int


def incarnation_in(body: bytes) -> int:
    """The incarnation that wrote `body`, a record that names it; 0 for a stranger's."""
    try:
        return msgspec.json.decode(body, type=_Written).incarnation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _decoded(kind: type[Record], body: bytes, key: str, cluster: str | None = None) -> object:
    try:
        return decode(kind, body, key, cluster)
    except RecordUnreadable:
        return None
