"""The invariants of the design, each checked by itself against what truly happened.

A check knows true time, the true history of the store (`Chronicle`), and what each process is told and believes. It
reads none of the protocol's own variables, so that a rule which deceives itself does not deceive its check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from holocron.layout import EPOCHS, MEMBERS, number_of
from holocron.protocol.messages import (
    HeadChanged,
    NoteReleased,
    NoteTenureBegan,
    NoteTenureRenewed,
    Reason,
    SettlePublish,
    Tenure,
)
from holocron.runtime.notices import Notice
from holocron.store.base import Answer, Delete, Found, Get, Put, Request, Written
from holocron.testing.simulation.chronicle import Applied, Sealed, incarnation_in

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["Check", "Complaints", "every_invariant"]

Complaints = Iterator[str]


class Check:
    """One invariant: each method yields a sentence for every way in which it does not hold."""

    name = ""
    # Whether it still holds on a store that was wiped or rolled back.
    survives_betrayal = False

    def __init__(self, life: Life) -> None:
        self.life = life
        self.chronicle = life.chronicle

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        """A request took effect, and sealed an epoch or did not."""
        yield from ()

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        """An engine told its process something."""
        yield from ()

    def heard(self, process: Process, request: Request, answer: Answer) -> None:
        """A process is about to hear the answer to a request that it waits for."""

    def betrayed(self, backup: dict[str, bytes]) -> None:
        """The store holds `backup` from now on, and nothing else."""

    def stepped(self) -> Complaints:
        """Something happened, whatever it was."""
        yield from ()

    def ended(self) -> Complaints:
        """The life is over."""
        yield from ()


class Exclusion(Check):
    """I1: at most one process believes that it leads."""

    name = "I1"

    def stepped(self) -> Complaints:
        # Whoever holds no lease believes nothing; only where several hold one need their clocks be asked.
        holding = self.life.holding = [process for process in self.life.holding if process.holds]
        if len(holding) < 2:
            return
        believers = [process for process in holding if process.believes]
        if len(believers) > 1:
            yield " and ".join(f"{p.name} (term {p.term})" for p in believers) + " believe at once"


class Fencing(Check):
    """I2: what is acknowledged rides in the epoch named, in the leader's own term, and no newer term is before it."""

    name = "I2"

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        if not isinstance(notice, SettlePublish) or notice.epoch is None:
            return
        value, term = process.publishings[notice.ticket]
        sealed = self.chronicle.sealed.get(notice.epoch)
        record = sealed.record if sealed is not None else None
        there = record.published.value if record is not None and record.published is not None else None
        # Of several values that waited at once the newest rides, and has overwritten the others in the same breath.
        rode = [ticket for ticket, (other, _) in process.publishings.items() if other == there]
        if record is None or there is None or not rode or rode[0] < notice.ticket:
            yield f"{process.name} was told that {value!r} is published in epoch {notice.epoch}, and it is not"
        elif record.term != term or record.leader.session != process.session:
            yield f"{process.name} of term {term} published in epoch {notice.epoch} of term {record.term}"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        record = sealed.record if sealed is not None else None
        before = self.chronicle.sealed.get(sealed.number - 1) if sealed is not None else None
        if record is not None and before is not None and before.record is not None and before.record.term > record.term:
            yield f"epoch {record.epoch} of term {record.term} follows one of term {before.record.term}"


class UniqueWin(Check):
    """I3: of each epoch, at most one process is told that it won, and its bytes are history for ever."""

    name = "I3"

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        match notice:
            case NoteTenureBegan(tenure=Tenure(epoch=epoch)) | NoteTenureRenewed(tenure=Tenure(epoch=epoch)):
                won: int | None = epoch
            case NoteReleased(epoch=epoch):
                won = epoch
            case _:
                return
        if won is None:
            return
        sealed = self.chronicle.sealed.get(won)
        if sealed is None or sealed.record is None or sealed.record.leader.session != process.session:
            whose = "nobody's" if sealed is None else "not readable" if sealed.record is None else "another's"
            yield f"{process.name} was told that it won epoch {won}, which is {whose}"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        match applied.request, applied.answer:
            case Put(key=key, match=match), Written() if match is not None and number_of(EPOCHS, key) is not None:
                yield f"{key} was written over"


class Floor(Check):
    """I4: the floor only rises, what is deleted lies below it, and the head is never deleted."""

    name = "I4"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        floors = self.chronicle.floors
        if len(floors) > 1 and floors[-1] < floors[-2]:
            yield f"the floor fell from {floors[-2]} to {floors[-1]}"
            floors.pop()
        if floors[-1] > max(1, self.chronicle.newest):
            yield f"the floor rose to {floors[-1]}, and the head is {self.chronicle.newest}"
            floors.pop()
        if isinstance(applied.request, Delete) and applied.process is not None:
            number = number_of(EPOCHS, applied.request.key)
            if number is not None and number >= self.chronicle.floor:
                yield f"{applied.process.name} deleted epoch {number}, and the floor is {self.chronicle.floor}"


class WholeChain(Check):
    """I5: above the floor the chain has no hole, and each record names its predecessor."""

    name = "I5"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        if sealed is None or sealed.process is None or sealed.record is None:
            return
        number = sealed.number
        before = self.chronicle.sealed.get(number - 1)
        if number > 1 and before is None:
            yield f"{sealed.process.name} sealed epoch {number}, and there is no epoch {number - 1}"
        elif before is not None and before.record is not None and sealed.record.previous != before.mark:
            yield f"epoch {number} names {sealed.record.previous!r} as its predecessor, which is {before.mark!r}"

    def ended(self) -> Complaints:
        held = self.life.held_epochs()
        missing = [n for n in range(self.chronicle.floor, self.chronicle.head + 1) if n not in held]
        if missing:
            yield f"epochs {missing} are gone, and the floor is {self.chronicle.floor}"


class Terms(Check):
    """I6: a term goes on only for the same process, renewed and confirmed before its deadline; else it is the epoch."""

    name = "I6"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        record = sealed.record if sealed is not None else None
        if sealed is None or record is None or sealed.process is None:
            return
        before = self.chronicle.sealed.get(sealed.number - 1)
        former = before.record if before is not None else None
        same = former is not None and former.kind == "lease" and former.leader.session == record.leader.session
        if record.term != sealed.number and not (same and former is not None and former.term == record.term):
            yield f"epoch {sealed.number} has term {record.term}, and the one before is not of that tenure"
        elif sealed.process.ward is not None and not sealed.rightful:
            yield f"{sealed.process.name} released term {record.term}, and its process is alive or it is another's"

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        match notice:
            case NoteTenureRenewed(tenure=tenure):
                # Asked before the renewal is put in place: the lease it continues has to be still believed.
                if not process.unexpired:
                    yield f"{process.name} renewed term {tenure.term} after its own deadline"
            case NoteTenureBegan(tenure=tenure):
                if tenure.term != tenure.epoch:
                    yield f"{process.name} began term {tenure.term} with epoch {tenure.epoch}"


class NoWayBack(Check):
    """I7: an observer never sees the epoch or the token go down; a store that goes back is noticed."""

    name = "I7"
    survives_betrayal = True

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._seen: dict[str, tuple[int, int]] = {}

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        if not isinstance(notice, HeadChanged):
            return
        epoch, term = self._seen.get(process.name, (0, 0))
        if self.chronicle.betrayed_s is None and process.name not in self._seen:
            # A process that began after another of its node had ended continues what that one saw.
            for former in self.life.processes:
                if former.node == process.node and former.ended_s is not None and former.ended_s <= process.began_s:
                    epoch, term = max((epoch, term), self._seen.get(former.name, (0, 0)))
        seen = notice.seen
        now = seen.record.term if seen.record is not None else term
        if seen.epoch < epoch or now < term:
            yield f"{process.name} saw epoch {epoch} (term {term}) and then epoch {seen.epoch} (term {now})"
        self._seen[process.name] = (seen.epoch, now)

    def ended(self) -> Complaints:
        if self.chronicle.betrayed_s is None:
            return
        # Where a leader went on above the gap, others follow it in good faith: then it is for that leader to notice.
        told = any(process.stopped is Reason.STORE_DISHONEST for process in self.life.processes)
        held = self.life.held_epochs()
        for process in self.life.processes:
            passed = told and max(held, default=0) > process.lost_epoch
            gap = any(number not in held for number in range(min(held, default=0), process.lost_epoch + 1))
            if process.unaware and not (passed and not (process.leading and gap)):
                yield f"{process.name} never noticed that the store was {self.life.misfortune.betrayal}"


class NoHaste(Check):
    """I8: nobody takes over before the record's ttl has passed on its own clocks, unless a release stands."""

    name = "I8"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        if sealed is None or sealed.record is None or sealed.process is None or sealed.sent is None:
            return
        before = self.chronicle.sealed.get(sealed.number - 1)
        if before is None:
            return
        held = before.record
        released = held is not None and held.kind == "release" and before.rightful
        if released or (held is not None and held.leader.session == sealed.process.session):
            return
        if held is not None and sealed.process.assume_dead and held.leader.node == sealed.process.node:
            return
        ttl_s = held.ttl_ms / 1000 if held is not None else round(self.life.ttl_max_s * 1000) / 1000
        # It cannot have read what was not there yet, nor waited before it began.
        since = before.readings.get(sealed.process.name, sealed.process.began)
        waited_s = min(sealed.sent.boot_s - since.boot_s, sealed.sent.mono_s - since.mono_s)
        if waited_s < ttl_s - 1e-6:
            yield f"{sealed.process.name} followed epoch {before.number} after {waited_s:.3f} s of its {ttl_s:.3f} s"


class Incarnations(Check):
    """I9: incarnations of a node rise by one, each belongs to one process, and none writes over a later one's."""

    name = "I9"

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # The incarnation that each beacon and each memory was written by last.
        self._told: dict[str, int] = {}

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        for node, incarnations in self.chronicle.incarnations.items():
            if len(incarnations) > 1 and incarnations[-1] != incarnations[-2] + 1:
                yield f"node {node} went from incarnation {incarnations[-2]} to {incarnations[-1]}"
                incarnations.pop()
        match applied.request, applied.answer:
            case Put(key=key, body=body), Written() if key.startswith(MEMBERS) or key.endswith("/state.json"):
                incarnation = incarnation_in(body)
                if incarnation < self._told.get(key, 0):
                    yield f"{key} went from incarnation {self._told[key]} to {incarnation}"
                self._told[key] = incarnation

    def ended(self) -> Complaints:
        seen: dict[tuple[str, int], str] = {}
        for process in self.life.processes:
            if process.incarnation is None:
                continue
            other = seen.setdefault((process.node, process.incarnation), process.name)
            if other != process.name:
                yield f"{process.name} and {other} are both incarnation {process.incarnation} of {process.node}"


class HonestFailures(Check):
    """I10: what was reported as failed never takes effect."""

    name = "I10"

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._refused: dict[bytes, str] = {}
        self._there: set[bytes] = set()

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        if isinstance(notice, SettlePublish) and notice.epoch is None and notice.refused:
            value = process.publishings[notice.ticket][0]
            self._refused[value] = process.name
            if value in self._there:
                yield f"{process.name} was told that {value!r} is not published, and it is"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        record = sealed.record if sealed is not None else None
        if record is None or record.published is None or record.published.epoch != record.epoch:
            return
        self._there.add(record.published.value)
        if record.published.value in self._refused:
            yield f"epoch {record.epoch} publishes {record.published.value!r}, which was refused before"


class Untouched(Check):
    """I12: nothing that a stranger put under the prefix is overwritten, nor taken away but by retention."""

    name = "I12"

    def ended(self) -> Complaints:
        for key, body in self.life.strange.items():
            number = number_of(EPOCHS, key)
            answer = self.life.store.perform(Get(key), 1.0)
            gone = number is not None and number < self.chronicle.floor
            if not (isinstance(answer, Found) and answer.body == body) and not gone:
                yield f"{key} was put there by a stranger and is not as it was"


def every_invariant(life: Life) -> list[Check]:
    """One of each check here."""
    kinds: list[type[Check]] = [
        Exclusion, Fencing, UniqueWin, Floor, WholeChain, Terms, NoWayBack, NoHaste, Incarnations, HonestFailures,
        Untouched,
    ]  # fmt: skip
    return [kind(life) for kind in kinds]
