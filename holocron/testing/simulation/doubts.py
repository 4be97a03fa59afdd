"""Rule 13 on a store that was wiped or rolled back: whoever is shown that it was, by whatever it reads, stops.

Others may find out later, and until someone does two histories may be led. But nobody may look at the evidence and go
on, so these checks know what each process was told before and what it was shown after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holocron.clock import Instant
from holocron.errors import RecordUnreadable
from holocron.layout import EPOCHS, MEMBERS, number_of, numbered
from holocron.records import Beacon, Epoch, decode
from holocron.store.base import Answer, Found, Get, List, Listed, Put, Request, Written
from holocron.testing.simulation.checks import Check, Complaints
from holocron.testing.simulation.chronicle import Applied, Sealed

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["every_doubt"]


class _OfBetrayals(Check):
    """What these checks have in common: they only look at requests that were sent after the betrayal."""

    name = "rule 13"
    survives_betrayal = True

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # What each process's clocks said at the betrayal.
        self._readings: dict[str, Instant] = {}

    def betrayed(self, backup: dict[str, bytes]) -> None:
        self._readings = {process.name: process.now() for process in self.life.processes if process.alive}

    def after(self, applied: Applied) -> Process | None:
        """The process that sent `applied` after the betrayal; None for all that was under way by then."""
        process, sent = applied.process, applied.sent
        reading = self._readings.get(process.name) if process is not None else None
        return process if reading is not None and sent is not None and sent.mono_s > reading.mono_s else None


class OwnBeacon(_OfBetrayals):
    """A node whose own beacon is older than a confirmed heartbeat, or gone with all the rest, beats no more."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # By process: the last heartbeat that it was told is written.
        self._confirmed: dict[str, Beacon] = {}
        self._back: dict[str, bytes] = {}

    def heard(self, process: Process, request: Request, answer: Answer) -> None:
        match request, answer:
            case Put(key=key, body=body), Written() if key.startswith(MEMBERS):
                beacon = self._beacon(key, body)
                if beacon is not None:
                    self._confirmed[process.name] = beacon

    def betrayed(self, backup: dict[str, bytes]) -> None:
        super().betrayed(backup)
        self._back = {key: body for key, body in backup.items() if key.startswith(MEMBERS)}

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        process = self.after(applied)
        match applied.request, applied.answer:
            case Put(key=key), Written() if process is not None and key.startswith(MEMBERS):
                confirmed = self._confirmed.get(process.name)
                there = self._back.pop(key, None)
                if confirmed is None:
                    return
                if there is None:
                    if self.life.misfortune.betrayal == "wiped":
                        yield f"{process.name} beats on, and {key} was wiped with all the rest"
                    return
                back = self._beacon(key, there)
                if back is not None and (back.incarnation, back.beat) < (confirmed.incarnation, confirmed.beat):
                    yield (
                        f"{process.name} wrote over {key}, which had gone back to beat {back.beat} of incarnation "
                        f"{back.incarnation}, and beat {confirmed.beat} of {confirmed.incarnation} was confirmed"
                    )

    def _beacon(self, key: str, body: bytes) -> Beacon | None:
        try:
            return decode(Beacon, body, key, self.chronicle.cluster)
        except RecordUnreadable:
            return None


class BehindGap(_OfBetrayals):
    """Nobody goes on below a gap when the LIST it goes by showed an epoch of this cluster behind that gap."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # By process: the epoch behind a gap that its last LIST showed, or 0.
        self._stray: dict[str, int] = {}

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        process = self.after(applied)
        if process is None:
            return
        match applied.request, applied.answer:
            case List(prefix=prefix), Listed() if prefix == EPOCHS:
                self._stray[process.name] = self._behind_gap()
            case Put(key=key), Written() if (number := number_of(EPOCHS, key)) is not None:
                stray = self._stray.get(process.name, 0)
                if stray > number:
                    yield f"{process.name} took epoch {number}, and had been shown epoch {stray} behind a gap"

    def _behind_gap(self) -> int:
        """The first epoch of this cluster behind the first gap, or 0 where there is none."""
        held = sorted(self.life.held_epochs())
        end = next((n for n in held if n + 1 not in held), 0)
        stray = next((n for n in held if n > end), 0)
        key = numbered(EPOCHS, stray)
        answer = self.life.store.perform(Get(key), 1.0)
        if not isinstance(answer, Found):
            return 0
        try:
            decode(Epoch, answer.body, key, self.chronicle.cluster)
        except RecordUnreadable:
            return 0
        return stray


def every_doubt(life: Life) -> list[Check]:
    """One of each check here."""
    kinds: list[type[Check]] = [OwnBeacon, BehindGap]
    return [kind(life) for kind in kinds]
