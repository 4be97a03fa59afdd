"""What one process may do next, whatever the others do: every move, with what the checks have to say about it.

A process is told events exactly as the engine tells them, and carries out actions by the procedures that ship. What
it is told depends on the store, what it does with that does not: so each move is worked out once and then looked up.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec.structs import replace

from holocron.clock import Instant
from holocron.protocol.election import Election, Seat
from holocron.protocol.guarding import Charge
from holocron.protocol.messages import (
    AskedToPublish,
    AskedToRelease,
    ChainFoundEmpty,
    ClaimLost,
    ClaimOrphaned,
    ClaimUnknown,
    ClaimWon,
    CreateEpoch,
    Draft,
    Event,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookForHead,
    NextFound,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    ReadNext,
    Reason,
    Seen,
    SettlePublish,
    StandingChanged,
    SupersededByNewer,
    Ticked,
    TopologyFormed,
)
from holocron.protocol.turns import turn_s
from holocron.records import Member
from holocron.store.base import Conflict, Denied, Request, Unclear
from holocron.store.chain import Dishonest
from tests.model.bounds import Bounds
from tests.model.procedures import Ended, continued
from tests.model.state import NAMES, NOW, Call, Dead, Guardian, Heard, Keeper, Part, Process, Watch, aged, waited
from tests.model.subject import Subject

__all__ = ["Acked", "Members", "Move", "Refused", "Won"]

LOST = Heard("Unclear", Unclear("no answer"))
PAUSED = Heard("Paused", None)
STRANGE = (
    Heard("Refused", Unclear("connection refused", sent=False)),
    Heard("Conflict", Conflict()),
    Heard("Denied", Denied("403")),
)


class Won(msgspec.Struct, frozen=True):
    """To be checked against the bucket: this process is told that it won this epoch (I3, I4)."""

    epoch: int
    nonce: str


class Acked(msgspec.Struct, frozen=True):
    """To be checked against the bucket: this value is told to be published in this epoch, in this term (I2)."""

    value: bytes
    epoch: int
    session: str


class Refused(msgspec.Struct, frozen=True):
    """To be checked against the bucket, now and ever after: this value is told never to be published (I10)."""

    value: bytes


Finding = Won | Acked | Refused


class Move(msgspec.Struct, frozen=True):
    """One thing that may happen to a part, and what becomes of it."""

    kind: str
    part: Part | None
    # Which budget it draws on; and for a publish, how much of that must be left, which names the value.
    cost: str = ""
    exactly: int | None = None
    # A write that is on its way from now on without anyone waiting for it.
    late: Request | None = None
    findings: tuple[Finding, ...] = ()
    wrong: str | None = None
    heard: Heard | None = None
    detail: str = ""
    # Whom a death sets to work.
    guardian: Guardian | None = None


class _Fed:
    """A process while it is being told something: what became of it, and what the checks found."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.findings: list[Finding] = []
        self.wrong: str | None = None
        # The look that has just ended, or the poll that turned into one; and whether a poll has just found news.
        self.look: Call | None = None
        self.news = False
        # It asked for an epoch beyond the bounds: this does not happen here.
        self.beyond = False


class Members:
    """The moves of every kind of part, by the subject's own functions."""

    def __init__(self, subject: Subject, bounds: Bounds) -> None:
        self.subject = subject
        self.bounds = bounds
        # Not bounded while it is asked whether anybody can still be elected.
        self.epochs = bounds.epochs
        rules = subject.rules
        places = bounds.nodes if bounds.ranked else 0
        # No rule tells ages beyond these apart, in a wait and in a lease of one's own.
        self._wait = math.ceil(rules.ttl_s + places * rules.stagger_s)
        self._lease = math.ceil(rules.belief_s)
        self.view = tuple(
            Member(node=name, incarnation=1, status="alive", rank=rank, standing=True)
            for rank, name in enumerate(NAMES[: bounds.nodes], 1)
        )

    # --- questions --------------------------------------------------------------------------------------------------

    def believes(self, part: Part | None) -> bool:
        """Whether an application that asks this process now is told that it leads."""
        return isinstance(part, Process) and self.subject.believes(part.election.tenure, NOW)

    # --- beginnings and time ----------------------------------------------------------------------------------------

    def fresh(self, node: str, incarnation: int, hint: int | None, told: tuple[int, int]) -> Process:
        """A process that has just come aboard, as the engine and its application begin it."""
        seat = Seat(node, incarnation, f"{node}-{incarnation}")
        fed = _Fed(Process(Election(seat, self.subject.rules), hint=hint, told=told))
        self._feed(fed, Ticked())
        self._feed(fed, StandingChanged(True))
        return self.settled(fed.process)

    def passed(self, part: Part, boot: int, mono: int, wall: int) -> Part:
        """`part` when its clocks have gone on by so much."""
        if not isinstance(part, Process):
            return part
        late = self.bounds.slack is not None and self._obliged(part)
        part = self.settled(replace(part, tardy=part.tardy + 1 if late else 0), boot, mono, wall)
        tenure = part.election.tenure
        if tenure is not None and not self.subject.believes(tenure, NOW):
            part = replace(part, lapsed=max(part.lapsed, tenure.term))
        return part

    def overdue(self, part: Part | None) -> bool:
        """Whether this part has to act before any more time may pass."""
        return isinstance(part, Process) and part.tardy == self.bounds.slack and self._obliged(part)

    def _obliged(self, part: Process) -> bool:
        """Whether there is something to do: a request under way, or a timer that has run out, but for a mere poll."""
        if part.asleep:
            return False
        if part.call is not None:
            return True
        due_s = self.subject.due_s(part.election, NOW)
        if due_s is None or due_s > 0:
            return False
        _, actions = self.subject.step(part.election, Ticked(), NOW)
        return any(not isinstance(action, ReadNext) for action in actions)

    def settled(self, process: Process, boot: int = 0, mono: int = 0, wall: int = 0) -> Process:
        """`process` in the form in which equal states are equal, its clocks gone on by so much."""
        state = process.election
        changes: dict[str, Any] = {
            # Timers may be late at will, so how much rarer polls become is of no account; a fifth hit needs a fifth
            # epoch, and is kept only where there may be one.
            "misses": 0,
            "hits": state.hits if self.bounds.epochs > 4 else 0,
            "failures": min(state.failures, 1) if self.bounds.paced else 0,
            "from_": None,
            "after_s": 0.0,
        }
        if state.from_ is not None and self.bounds.paced:
            after_s = float(math.ceil(state.after_s))
            changes["after_s"] = after_s
            changes["from_"] = aged(state.from_, boot, mono, wall, after_s)
        watch = process.watch
        if watch is not None:
            idle = watch.free or watch.session == state.seat.session
            watch = replace(watch, read=NOW if idle else aged(watch.read, boot, mono, wall, self._wait))
        if state.head is not None:
            limit = self._wait if self.bounds.ranked else math.ceil(turn_s(state, state.head))
            changes["head"] = replace(state.head, read=aged(state.head.read, boot, mono, wall, limit))
        if state.tenure is not None:
            since = aged(state.tenure.since, boot, mono, wall, self._lease)
            changes["tenure"] = replace(state.tenure, since=since)
        if state.business is not None:
            changes["business"] = replace(state.business, since=self._asked(state.business.since, boot, mono, wall))
        call = process.call
        if call is not None:
            since = self._asked(call.since, boot, mono, wall)
            heard = tuple(
                [
                    each if each.at is None else replace(each, at=aged(each.at, boot, mono, wall, self._wait))
                    for each in call.heard
                ]
            )
            call = replace(call, since=since, heard=heard)
        return replace(process, election=replace(state, **changes), call=call, watch=watch)

    def _asked(self, since: Instant, boot: int, mono: int, wall: int) -> Instant:
        return aged(since, boot, mono, wall, self._wait if self.bounds.ranked else self._lease)

    # --- moves ------------------------------------------------------------------------------------------------------

    def moves(self, part: Part, former: bool) -> list[Move]:
        """All that may happen to `part` next, but for time, and for its write taking effect.

        Args:
            former: a newer incarnation of its node is at work.
        """
        match part:
            case Dead():
                hints = {None, part.epoch or None}
                return [
                    Move("resume", self.fresh(part.node, part.incarnation + 1, hint, part.told), detail=f"{hint or ''}")
                    for hint in sorted(hints, key=lambda h: h or 0)
                ]
            case Keeper() | Guardian():
                return self._hearing(part, part.call)
        if part.asleep:
            return [Move("wake", replace(part, asleep=""))]
        moves: list[Move] = []
        if part.call is not None:
            moves += self._hearing(part, part.call)
        due_s = self.subject.due_s(part.election, NOW)
        if due_s is not None and due_s <= 0:
            moves += self._told("tick", part, Ticked())
        if part.election.tenure is not None:
            for left in range(1, self.bounds.budget.published + 1):
                publishing = Publishing(left, f"value-{left}".encode())
                moves += self._told(
                    "publish", part, AskedToPublish(publishing), cost="published", exactly=left, detail=f"value-{left}"
                )
            if self.bounds.budget.released and not part.election.releasing:
                for heir in (None, *(n for n in NAMES[: self.bounds.nodes] if n != part.election.seat.node)):
                    moves += self._told("release", part, AskedToRelease(heir), cost="released", detail=heir or "")
        moves += self._endings(part, former)
        for how in ("suspended", "snapshot") if self.bounds.budget.asleep else ():
            moves.append(Move(how, replace(part, asleep=how, tardy=0), cost="asleep"))
        if self.bounds.budget.stopped:
            moves.append(Move("stopped", replace(part, asleep="stopped", tardy=0), cost="stopped"))
        return moves

    def _endings(self, part: Process, former: bool) -> list[Move]:
        call = part.call
        underway = call.request if call is not None and call.stage == "sent" else None
        if former:
            told = self._told("superseded", part, SupersededByNewer())
            return [replace(move, part=None, late=underway) for move in told]
        if not self.bounds.budget.crash:
            return []
        head = part.election.head
        dead = Dead(
            part.election.seat.node, part.election.seat.incarnation, head.epoch if head is not None else 0, part.told
        )
        guardians = (None, self._guardian(part)) if self.bounds.guarded and head is not None else (None,)
        return [
            Move("crash", dead, cost="crash", late=late, guardian=guardian)
            for late in dict.fromkeys((None, underway))
            for guardian in dict.fromkeys(guardians)
        ]

    def _guardian(self, part: Process) -> Guardian | None:
        """What is left behind by the death of `part` where it led: it has yet to ask for the epoch it was told of."""
        tenure, seat = part.election.tenure, part.election.seat
        if tenure is None:
            return None
        charge = Charge(seat.node, seat.incarnation, seat.session, tenure.term, tenure.epoch)
        begun = continued(self.subject, Call("guard", NOW, charge=charge), None, None, 1, None)
        assert isinstance(begun, Call)
        return Guardian(begun)

    def _hearing(self, part: Process | Keeper | Guardian, call: Call) -> list[Move]:
        """What the procedure under way may be told."""
        if call.stage == "pausing":
            return self._heard(part, "paused", PAUSED)
        moves: list[Move] = []
        for answer in call.answers:
            moves += self._heard(part, "told", answer)
        budget = self.bounds.budget
        if budget.lost:
            moves += self._heard(part, "lost", LOST, cost="lost")
        if call.stage == "sent" and budget.late:
            moves += self._heard(part, "late", LOST, cost="late", late=call.request)
        if self.bounds.strange_answers and budget.lost and call.stage != "answered":
            for answer in STRANGE:
                moves += self._heard(part, "told", answer, cost="lost")
        return moves

    # --- what follows -----------------------------------------------------------------------------------------------

    def _heard(
        self, part: Process | Keeper | Guardian, kind: str, heard: Heard, cost: str = "", late: Request | None = None
    ) -> list[Move]:
        if isinstance(part, Keeper | Guardian):
            return [self._kept(part, kind, heard, cost, late)]
        fed = _Fed(replace(part, tardy=0))
        self._proceed(fed, heard)
        return self._moved(fed, kind, cost=cost, late=late, heard=heard)

    def _kept(self, keeper: Keeper | Guardian, kind: str, heard: Heard, cost: str, late: Request | None) -> Move:
        after = continued(self.subject, keeper.call, heard, None, 1, None)
        if isinstance(after, Call):
            return Move(kind, replace(keeper, call=after), cost=cost, late=late, heard=heard)
        wrong = None
        if isinstance(after.result, Dishonest):
            wrong = f"rule 13: retention calls an honest store dishonest: {after.result.error}"
        return Move(kind, None, cost=cost, late=late, heard=heard, wrong=wrong)

    def _told(
        self, kind: str, part: Process, event: Event, *, cost: str = "", exactly: int | None = None, detail: str = ""
    ) -> list[Move]:
        fed = _Fed(replace(part, tardy=0))
        self._feed(fed, event)
        return self._moved(fed, kind, cost=cost, exactly=exactly, detail=detail)

    def _moved(
        self,
        fed: _Fed,
        kind: str,
        *,
        cost: str,
        exactly: int | None = None,
        late: Request | None = None,
        heard: Heard | None = None,
        detail: str = "",
    ) -> list[Move]:
        if fed.beyond:
            return []
        process = self.settled(fed.process)
        tenure = process.election.tenure
        if fed.wrong is None and self.believes(process) and tenure is not None and tenure.term <= process.lapsed:
            fed.wrong = f"I6: believes in term {tenure.term}, in which it had stopped believing"
        return [Move(kind, process, cost, exactly, late, tuple(fed.findings), fed.wrong, heard, detail)]

    def _proceed(self, fed: _Fed, heard: Heard | None) -> None:
        """The procedure under way goes on; where it ends, the election is told what came of it."""
        process = fed.process
        assert process.call is not None
        seat = process.election.seat
        after = continued(self.subject, process.call, heard, seat, process.floor, process.hint)
        if isinstance(after, Call):
            fed.process = replace(process, call=after)
            return
        assert isinstance(after, Ended)
        event: Any = after.result
        fed.process = replace(process, call=None, floor=after.floor)
        fed.look = process.call if isinstance(event, HeadFound | HeadConfirmed | ChainFoundEmpty) else None
        fed.news = isinstance(event, NextFound)
        self._watch(fed, event)
        self._feed(fed, event)

    def _feed(self, fed: _Fed, event: Event) -> None:
        """As the engine does it: tell the election, carry out what follows."""
        election, actions = self.subject.step(fed.process.election, event, NOW)
        fed.process = replace(fed.process, election=election)
        for action in actions:
            match action:
                case LookForHead(known=known):
                    self._begin(fed, Call("look", NOW, number=known))
                case ReadNext(number=number):
                    self._begin(fed, Call("poll", NOW, number=number))
                case CreateEpoch(draft=draft, since=since, within_s=within_s):
                    if draft.epoch > self.epochs:
                        fed.beyond = True
                        return
                    self._judge(fed, draft)
                    serial = fed.process.unsettled
                    self._begin(fed, Call("create", since, draft=draft, within_s=within_s, serial=serial))
                case _:
                    self._note(fed, action, event)
        if self.bounds.ranked and any(isinstance(action, NoteTenureBegan) for action in actions):
            self._feed(fed, TopologyFormed(self.view))

    def _begin(self, fed: _Fed, call: Call) -> None:
        assert fed.process.call is None, "an election has one request under way at a time"
        fed.process = replace(fed.process, call=call)
        self._proceed(fed, None)

    # --- what the checks remember and find --------------------------------------------------------------------------

    def _watch(self, fed: _Fed, event: Event) -> None:
        """Remember the newest epoch that this process was ever shown, and when first (I8)."""
        process = fed.process
        if isinstance(event, ClaimUnknown | ClaimOrphaned):
            fed.process = process = replace(process, unsettled=process.unsettled + 1)
        if isinstance(event, HeadFound):
            fed.process = process = replace(process, hint=None)
        if isinstance(event, ClaimWon):
            fed.findings.append(Won(event.seen.epoch, event.seen.mark))
        seen: Seen | None = event.seen if isinstance(event, HeadFound | NextFound | ClaimWon | ClaimLost) else None
        if seen is None or seen.record is None or (process.watch is not None and seen.epoch <= process.watch.epoch):
            return
        record = seen.record
        watch = Watch(seen.epoch, NOW, record.ttl_ms / 1000, record.leader.session, record.kind == "release")
        fed.process = replace(process, watch=watch)

    def _judge(self, fed: _Fed, draft: Draft) -> None:
        """A new term is gone for by a LIST, or by a read that has just found an epoch in which nobody may believe (rule
        7), and when the lease was waited out on the taker's clock (I8).
        """
        watch, election = fed.process.watch, fed.process.election
        if draft.term != draft.epoch:
            return
        if fed.look is None:
            free = watch is not None and (watch.free or watch.session == election.seat.session)
            if not (fed.news and free):
                fed.wrong = fed.wrong or f"rule 7: goes for epoch {draft.epoch} without a LIST"
        elif fed.look.head is not None and fed.look.head >= draft.epoch:
            fed.wrong = fed.wrong or (
                f"rule 7: goes for epoch {draft.epoch} by a LIST that began when the head was {fed.look.head}"
            )
        if draft.epoch == 1:
            return
        if watch is None or watch.epoch != draft.epoch - 1:
            fed.wrong = fed.wrong or f"I8: goes for epoch {draft.epoch} without having read the one before"
        elif not watch.free and watch.session != election.seat.session and waited(watch.read) < watch.ttl_s:
            fed.wrong = fed.wrong or (
                f"I8: goes for epoch {draft.epoch} after {waited(watch.read):g} of the {watch.ttl_s:g} ticks "
                f"that epoch {watch.epoch} lasts"
            )

    def _note(self, fed: _Fed, action: Any, event: Event) -> None:
        process = fed.process
        match action:
            case HeadChanged(seen=seen):
                term = seen.record.term if seen.record is not None else process.told[1]
                if (seen.epoch, term) < process.told or term < process.told[1]:
                    fed.wrong = fed.wrong or (
                        f"I7: sees epoch {seen.epoch} of term {term}, after epoch {process.told[0]} "
                        f"of term {process.told[1]}"
                    )
                fed.process = replace(process, told=(seen.epoch, term))
            case NoteTenureBegan(tenure=tenure):
                if tenure.term != tenure.epoch:
                    fed.wrong = fed.wrong or f"I6: begins term {tenure.term} with epoch {tenure.epoch}"
            case NoteTenureRenewed(tenure=tenure):
                if tenure.term <= process.lapsed:
                    fed.wrong = fed.wrong or f"I6: goes on with term {tenure.term}, in which it had stopped believing"
            case NoteTenureEnded(tenure=tenure):
                fed.process = replace(process, lapsed=max(process.lapsed, tenure.term))
            case NoteStopped(reason=Reason.STORE_DISHONEST, why=why):
                fed.wrong = fed.wrong or f"rule 13: calls an honest store dishonest: {why}"
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                value = f"value-{ticket}".encode()
                if epoch is not None:
                    fed.findings.append(Acked(value, epoch, process.election.seat.session))
                elif refused:
                    fed.findings.append(Refused(value))
