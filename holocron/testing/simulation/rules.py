"""The numbered rules of the protocol, as far as no invariant says the same: each checked against what truly happened.

A rule that only saves requests, or only keeps people from being misled, breaks no invariant when it is broken. So it
has a check of its own, by the same measure: the true history, and what each process was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holocron.layout import EPOCHS, MEMBERS, member_key, number_of
from holocron.protocol.messages import NoteReleased, NoteStopped, NoteTenureBegan, NoteTenureEnded, Reason
from holocron.records import Epoch
from holocron.runtime.notices import Notice, StoodDown
from holocron.store.base import Delete, Put, Written
from holocron.testing.simulation.checks import Check, Complaints
from holocron.testing.simulation.chronicle import Applied, Sealed, incarnation_in

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["every_rule"]

_GRAIN_S = 1e-6
# A server tells ages in whole seconds.
_AGE_GRAIN_S = 1.0
# A pause is told in whole milliseconds.
_PAUSE_GRAIN_MS = 2.0


class _OfTakeovers(Check):
    """What the checks of takeovers have in common: when the read that a takeover started with was sent."""

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        process = applied.process
        record = sealed.record if sealed is not None else self.chronicle.orphan(applied)
        if process is None or record is None or record.kind == "release" or record.cause == "renewed":
            return
        before = self.chronicle.sealed.get(record.epoch - 1)
        held = before.record if before is not None else None
        asked = self.chronicle.looks.get(process.name, {}).get(record.epoch - 1)
        if asked is None and held is not None and not self.waits_s(held, process):
            # What nobody may believe in needs no LIST of its own.
            asked = self.chronicle.reads.get(process.name, {}).get(record.epoch - 1)
        if before is None or held is None or asked is None:
            yield from self.began(process, record, asked is not None)
            return
        # It cannot have read what was not there yet, nor waited before it began.
        since = before.readings.get(process.name, process.began)
        waited_s = min(asked.boot_s - since.boot_s, asked.mono_s - since.mono_s)
        yield from self.followed(process, held, max(0.0, waited_s))

    def began(self, process: Process, record: Epoch, shown: bool) -> Complaints:
        """`process` took an epoch whose predecessor tells nothing, or was not `shown` to it."""
        yield from ()

    def followed(self, process: Process, held: Epoch, waited_s: float) -> Complaints:
        """`process` took the epoch after `held`, and had waited so long before it sent the read that it goes by."""
        yield from ()

    def waits_s(self, held: Epoch, process: Process) -> float:
        """How long `process` has to let `held` be, from its read of it (rules 3, 9, 11)."""
        own = held.leader.session == process.session
        if held.kind == "release":
            named = held.heir is not None and held.heir.node != process.node
            return held.ttl_ms / 1000 if own else held.renew_ms / 1000 * 1.25 if named else 0.0
        former_self = held.leader.node == process.node and held.leader.incarnation < (process.incarnation or 0)
        return 0.0 if own or (process.assume_dead and former_self) else held.ttl_ms / 1000


class Looks(_OfTakeovers):
    """Rule 7: a takeover starts with a LIST that was sent after the wait was over and showed the head, or with the very
    read that found a head that nobody may believe in.
    """

    name = "rule 7"

    def began(self, process: Process, record: Epoch, shown: bool) -> Complaints:
        if not shown:
            yield f"{process.name} took epoch {record.epoch}, and no LIST had shown it {record.epoch - 1} as the head"

    def followed(self, process: Process, held: Epoch, waited_s: float) -> Complaints:
        due_s = self.waits_s(held, process) if held.kind == "lease" else 0.0
        if due_s and waited_s < due_s - _GRAIN_S:
            yield f"{process.name} listed after {waited_s:.3f} s of the {due_s:.3f} s of epoch {held.epoch}"


class Turns(_OfTakeovers):
    """Rule 8: heirs act in turn, a stagger apart, and a node of priority 0 never does."""

    name = "rule 8"

    def followed(self, process: Process, held: Epoch, waited_s: float) -> Complaints:
        place = self._place(held, process)
        free_s = self.waits_s(held, process)
        due_s = free_s + place * process.settings.stagger_s
        if place and free_s <= waited_s < due_s - _GRAIN_S:
            yield f"{process.name}, heir {place} of epoch {held.epoch}, acted after {waited_s:.3f} s of {due_s:.3f} s"

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        if isinstance(notice, NoteTenureBegan) and process.priority == 0:
            yield f"{process.name} leads, and its priority is 0"

    def _place(self, held: Epoch, process: Process) -> int:
        """How many go before `process` at least, by the view in `held`."""
        named = held.heir.node if held.heir is not None else None
        able = [one for one in held.topology if one.standing and one.priority > 0 and one.status != "gone"]
        able.sort(key=lambda one: (one.status != "alive", -one.priority, one.rank))
        order = [one.node for one in able if one.node not in (held.leader.node, named)]
        if named is not None:
            order.insert(0, named)
        return order.index(process.node) if process.node in order else len(order)


class Releases(_OfTakeovers):
    """Rule 9: a named heir goes first, whoever released goes last, and who is told of a release has written one."""

    name = "rule 9"

    def followed(self, process: Process, held: Epoch, waited_s: float) -> Complaints:
        due_s = self.waits_s(held, process) if held.kind == "release" else 0.0
        if due_s and waited_s < due_s - _GRAIN_S:
            heir = held.heir.node if held.heir is not None else None
            yield (
                f"{process.name} followed the release of {held.leader.node} (heir: {heir}) "
                f"after {waited_s:.3f} s of {due_s:.3f} s"
            )

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        if isinstance(notice, NoteReleased) and notice.epoch is not None:
            sealed = self.chronicle.sealed.get(notice.epoch)
            if sealed is None or sealed.record is None or sealed.record.kind != "release":
                yield f"{process.name} was told that it released with epoch {notice.epoch}, which is no release"


class FormerSelves(Check):
    """Rule 11: once a newer incarnation of a node has shown itself, the former one finds out and stops."""

    name = "rule 11"

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # The newest incarnation that wrote each beacon; one that dies before its first heartbeat was never there.
        self._shown: dict[str, int] = {}

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        match applied.request, applied.answer:
            case Put(key=key, body=body), Written() if key.startswith(MEMBERS):
                self._shown[key] = max(self._shown.get(key, 0), incarnation_in(body))
        yield from ()

    def ended(self) -> Complaints:
        for process in self.life.processes:
            newest = self._shown.get(member_key(process.node), 0)
            if process.alive and process.stopped is None and (process.incarnation or newest) < newest:
                yield f"{process.name} goes on as incarnation {process.incarnation}, and {newest} took its place"


class Retention(Check):
    """Rule 12: what leaves the chain is in the history as it was; the newest epochs stay, and so does what is young."""

    name = "rule 12"

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._floor = 1

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        process = applied.process
        if process is None:
            return
        if self.chronicle.floor > self._floor:
            former, self._floor = self._floor, self.chronicle.floor
            surplus = self._floor - (self.chronicle.newest - process.settings.keep_epochs + 1)
            if surplus > 0:
                yield f"{process.name} let {surplus} epochs go of the {process.settings.keep_epochs} that always stay"
            for number in range(former, self._floor):
                gone = self.chronicle.sealed.get(number)
                age_s = applied.at_s - gone.at_s if gone is not None else process.settings.keep_age_s
                if age_s < process.settings.keep_age_s - _AGE_GRAIN_S:
                    yield f"{process.name} let epoch {number} go, which was {age_s:.3f} s old"
        if isinstance(applied.request, Delete):
            number = number_of(EPOCHS, applied.request.key) or 0
            gone, kept = self.chronicle.sealed.get(number), self.chronicle.history.get(number)
            if gone is not None and (
                kept is None or kept.record != gone.record or (kept.raw or gone.body) != gone.body
            ):
                yield f"{process.name} deleted epoch {number}, which the history has {'otherwise' if kept else 'not'}"


class Truths(Check):
    """Rule 13: leadership ends once for each beginning, for a reason that is true; nobody stops without cause."""

    name = "rule 13"

    def noticed(self, process: Process, notice: Notice) -> Complaints:
        match notice:
            case NoteTenureBegan():
                if process.leading:
                    yield f"{process.name} began a tenure while it had one"
            case NoteTenureEnded(tenure=tenure, reason=reason):
                after = self.chronicle.sealed.get(tenure.epoch + 1)
                if not process.leading or not isinstance(reason, Reason):
                    yield f"{process.name} ended a tenure that it did not have ({reason})"
                elif reason is Reason.TAKEN_OVER and (after is None or after.process is process):
                    yield f"{process.name} was told that it was taken over, and epoch {tenure.epoch} was the last"
            case NoteStopped(reason=reason, why=why):
                newest = max(self.chronicle.incarnations.get(process.node, [0]))
                if reason is Reason.SUPERSEDED and (process.incarnation or 0) >= newest:
                    yield f"{process.name} stopped as superseded, and is the newest of its node"
                if reason is Reason.STORE_DISHONEST:
                    yield f"{process.name} called an honest store dishonest: {why}"
            case StoodDown():
                if process.term not in self.chronicle.controls:
                    yield f"{process.name} was asked to hand over, and nobody had asked that of term {process.term}"


class Holds(_OfTakeovers):
    """Rule 14: in a pause only its own node or a named heir follows; it is said as it was asked for, and goes by.

    It never grows from epoch to epoch, and whoever goes on with it takes off what has passed, no more and no less.
    """

    name = "rule 14"

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        # Since which epoch one term has carried the pause on, by one clock.
        self._since: Sealed | None = None

    def followed(self, process: Process, held: Epoch, waited_s: float) -> Complaints:
        named = held.kind == "release" and held.heir is not None and held.heir.node == process.node
        due_s = _left_ms(held) / 1000
        if due_s and held.leader.node != process.node and not named and waited_s < due_s - _GRAIN_S:
            yield f"{process.name} followed epoch {held.epoch}, paused for {due_s:.3f} s, after {waited_s:.3f} s"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        yield from super().applied(applied, sealed)
        if sealed is None:
            return
        record = sealed.record
        before = self.chronicle.sealed.get(sealed.number - 1)
        held = before.record if before is not None else None
        since, self._since = self._since, sealed if record is not None and _left_ms(record) else None
        if before is None or held is None or record is None or sealed.process is None:
            return
        left_ms, had_ms = _left_ms(record), _left_ms(held)
        asked = self._asked(held, record)
        if asked is not None:
            if left_ms != asked:
                yield f"epoch {record.epoch} says {left_ms} ms of a pause, and {asked} were asked for"
            return
        if left_ms > had_ms:
            yield f"epoch {record.epoch} says {left_ms} ms of a pause, and the one before said {had_ms}"
        elif sealed.process.ward is None:
            if since is not None and since.record is not None and since.record.term == record.term:
                self._since = since if left_ms else None
                gone_ms = _left_ms(since.record) - left_ms
                if left_ms and gone_ms < (before.at_s - since.at_s) * 1000 - _PAUSE_GRAIN_MS:
                    yield f"{sealed.process.name} let {gone_ms} ms of a pause go by since epoch {since.number}"
            if self._timely and had_ms - left_ms > self._most_ms(held, record, sealed.at_s) + _PAUSE_GRAIN_MS:
                yield f"epoch {record.epoch} says {left_ms} ms of a pause, and {had_ms} were left before it"

    def _asked(self, held: Epoch, record: Epoch) -> int | None:
        """The milliseconds that the last request asked for which `record` says is handled; None where none did."""
        if record.cause != "renewed" or record.term != held.term:
            return None
        asked: int | None = None
        for number in range(held.control + 1, record.control + 1):
            control = self.chronicle.asked.get(number)
            if control is not None and control.term == record.term and control.request != "step-down":
                asked = control.for_ms if isinstance(control.for_ms, int) else 0
        return asked

    @property
    def _timely(self) -> bool:
        """Whether nobody sets wall clocks, by which a holder counts as well."""
        return "wall_step" not in self.life.misfortune.world

    def _most_ms(self, held: Epoch, record: Epoch, at_s: float) -> float:
        """How much of a pause may have gone by in `record`, written at `at_s`, at the rate of the fastest clock.

        Who takes over counts from its read of `held`. Whoever renews or releases counts from before it asked for it:
        for a renewal that was after the epoch before, and for a takeover it may have been long before.
        """
        if record.leader.session != held.leader.session:
            first = record.epoch - 1
        elif record.term == held.term and held.cause == "renewed":
            first = record.epoch - 2
        else:
            return float("inf")
        earlier = self.chronicle.sealed.get(first)
        return (at_s - (earlier.at_s if earlier is not None else 0.0)) * 1000 / 0.9


class Guarding(Check):
    """Rule 15: a guardian writes nothing but the release of its own dead process, as that one would have."""

    name = "rule 15"

    def applied(self, applied: Applied, sealed: Sealed | None) -> Complaints:
        process = applied.process
        record = sealed.record if sealed is not None else self.chronicle.orphan(applied)
        if process is None or process.ward is None or not isinstance(applied.answer, Written):
            return
        if record is None or record.kind != "release":
            # An epoch that was delivered twice is history already, and no record here.
            if sealed is not None or number_of(EPOCHS, _key(applied)) is None:
                yield f"{process.name} wrote {_key(applied)}, which is no release"
            return
        if process.ward.alive:
            yield f"{process.name} released with epoch {record.epoch}, and {process.ward.name} lives"
        before = self.chronicle.sealed.get(record.epoch - 1)
        held = before.record if before is not None else None
        if held is None:
            return
        if held.leader.session != process.session or held.kind != "lease" or held.term != record.term:
            yield f"{process.name} released epoch {held.epoch}, which is not a lease of its process"
        others = [[row for row in one.topology if row.node != process.node] for one in (held, record)]
        if (held.published, held.control) != (record.published, record.control) or others[0] != others[1]:
            yield f"{process.name} released with epoch {record.epoch}, and lost what epoch {held.epoch} carried"


def _left_ms(record: Epoch) -> int:
    return record.paused_ms if isinstance(record.paused_ms, int) else 0


def _key(applied: Applied) -> str:
    return applied.request.key if isinstance(applied.request, Put) else ""


def every_rule(life: Life) -> list[Check]:
    """One of each check here."""
    kinds: list[type[Check]] = [Looks, Turns, Releases, FormerSelves, Retention, Truths, Holds, Guarding]
    return [kind(life) for kind in kinds]
