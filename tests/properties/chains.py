"""A chain of epochs that one node plays on against everyone else, who keep the rules but not its plans.

The node is asked nothing and told only what a store could tell it: answers may be late, lost or old, others may be
first, and what was sent may be applied much later. What must never be seen is asserted on the way.
"""

from __future__ import annotations

from random import Random

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s
from holocron.protocol.election import Election, Rules, Seat, believes, due_s, role, step
from holocron.protocol.messages import (
    Action,
    AskedToPublish,
    AskedToRelease,
    BeliefLapsed,
    ChainFoundEmpty,
    ClaimLost,
    ClaimOrphaned,
    ClaimRefused,
    ClaimUnknown,
    ClaimWon,
    ControlHandled,
    CreateEpoch,
    Event,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookFailed,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    PollFailed,
    Publishing,
    ReadNext,
    Seen,
    SettlePublish,
    StandingChanged,
    StoreBroken,
    SupersededByNewer,
    Tenure,
    Ticked,
    TopologyFormed,
)
from holocron.records import Epoch
from tests.protocol.made import BELIEF_S, RENEW_S, RULES, STAGGER_S, TTL_MAX_S, TTL_S, member, record

Question = LookForHead | ReadNext | CreateEpoch
ME = Seat("a", 2, "a-2")
VIEW = (member("a", 1), member("b", 2), member("c", 3, priority=2))
# Times that matter: nothing, a trip, a turn, the edges of a round, of a belief, of a lease, and far beyond.
SHORT = (0.0, 0.0625, 0.0625, STAGGER_S, RENEW_S / 2, RENEW_S)
LONG = (BELIEF_S - RENEW_S, BELIEF_S, TTL_S, TTL_MAX_S)
OTHERS = ("renewed", "renewed", "taken", "released", "unreadable")


class Chain:
    """The epochs that are there. None stands for one that nobody can read."""

    def __init__(self) -> None:
        self.epochs: list[Epoch | None] = []

    @property
    def head(self) -> int:
        return len(self.epochs)

    def mark(self, number: int) -> str:
        """What the successor of epoch `number` names as its predecessor."""
        one = self.epochs[number - 1] if number else None
        return "" if number == 0 else one.nonce if one is not None else f"digest-{number}"

    def seen(self, number: int, read: Instant, credit_s: float = 0.0) -> Seen:
        """Epoch `number` as whoever reads it at `read` sees it."""
        return Seen(number, self.epochs[number - 1], self.mark(number), read, credit_s)

    def grow(self, kind: str) -> None:
        """One more epoch by someone else, as the rules allow it."""
        number = self.head + 1
        before = self.epochs[-1] if self.epochs else None
        if kind == "unreadable":
            self.epochs.append(None)
        elif kind != "taken" and before is not None and before.leader.session != ME.session and before.kind == "lease":
            self.epochs.append(self._next(number, before.term, before.leader.node, release=kind == "released"))
        else:
            self.epochs.append(self._next(number, number, "bca"[number % 3]))

    def _next(self, number: int, term: int, leader: str, release: bool = False) -> Epoch:
        heir = "a" if release and number % 2 else None
        return record(number, term, leader, release=release, previous=self.mark(number - 1), heir=heir, topology=VIEW)


class Game:
    """One node's life, drawn from `chance`; every promise that one node can keep or break alone is asserted."""

    def __init__(self, chance: Random, assume_dead: bool) -> None:
        self.chance = chance
        rules = Rules(RULES.ttl_s, RULES.belief_s, RULES.renew_every_s, RULES.stagger_s, RULES.ttl_max_s, assume_dead)
        self.state = Election(ME, rules, standing=chance.random() < 0.8)
        self.now = Instant(1000.0, 1000.0, 2.0**30)
        self.chain = Chain()
        self.question: Question | None = None
        self.asked = self.now
        # What stood there when a read was sent: an answer may be as old as its question.
        self.head_then = 0
        self.read = self.now
        self.on_the_way: list[Epoch] = []
        self.tickets: dict[int, int | None] = {}
        self.open_tickets: set[int] = set()
        self.asked_to_release = 0
        self.tenure: Tenure | None = None
        self.highest_term = 0
        self.highest_epoch = 0
        self.stopped = False
        self.lied = False
        self.at_once = 0

    # --- the world's moves ------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Something happens."""
        # Others do little while this node leads, or it never would for long.
        if self._maybe(0.02 if self.tenure is not None else 0.2):
            self.chain.grow(self.chance.choice(OTHERS))
        if self.on_the_way and self._maybe(0.3):
            self._land(self.on_the_way.pop())
        self._pass()
        if self.question is not None and self._maybe(0.8):
            self.tell(self._answer(self.question))
        else:
            self.tell(self._spontaneous())

    def _pass(self) -> None:
        seconds = self.chance.choice(LONG if self._maybe(0.02 if self.tenure is not None else 0.15) else SHORT)
        kind = self.chance.choice([*["runs"] * 20, "suspended", "host paused", "wall set"])
        boot_s, mono_s, wall_s = self.now.boot_s, self.now.mono_s, self.now.wall_s
        match kind:
            case "suspended":
                self.now = Instant(boot_s + seconds, mono_s, wall_s + seconds)
            case "host paused":
                self.now = Instant(boot_s, mono_s, wall_s + seconds)
            case "wall set":
                self.now = Instant(boot_s, mono_s, wall_s - seconds)
            case _:
                self.now = Instant(boot_s + seconds, mono_s + seconds, wall_s + seconds)

    def _maybe(self, likely: float) -> bool:
        return self.chance.random() < likely

    def _spontaneous(self) -> Event:
        ticket = len(self.tickets) + 1
        events: list[Event] = [Ticked()] * 20
        events += [StandingChanged(True)] * 6
        events += [StandingChanged(False), TopologyFormed(VIEW), ControlHandled(3)]
        events += [AskedToPublish(Publishing(ticket, b"%d" % ticket))] * 4
        events += [AskedToRelease(None), AskedToRelease("b")]
        if not believes(self.state.tenure, self.now):
            events.append(BeliefLapsed())
        if self._maybe(0.05):
            events += [SupersededByNewer(), StoreBroken("it lied")]
        return self.chance.choice(events)

    def _answer(self, question: Question) -> Event:
        match question:
            case LookForHead(known=known):
                if known is not None and self._maybe(0.01):
                    return self._lie(known)
                if self._maybe(0.1):
                    return LookFailed()
                head = max(self.head_then, known or 0) if self._maybe(0.3) else self.chain.head
                if head == 0:
                    return ChainFoundEmpty(self.asked)
                if head == known:
                    return HeadConfirmed(self.asked)
                credit_s = self.chance.choice([0.0, 0.0, 3.0, 600.0]) if known is None else 0.0
                return HeadFound(self.asked, self.chain.seen(head, self.now, credit_s))
            case ReadNext(number=number):
                if self._maybe(0.1):
                    return PollFailed()
                if number <= (self.chain.head if self._maybe(0.7) else self.head_then):
                    return NextFound(self.chain.seen(number, self.now), self.chance.choice(SHORT))
                return NextAbsent(self.asked, self.chance.choice(SHORT)) if number > self.head_then else PollFailed()
            case CreateEpoch():
                return self._claimed(question)

    def _lie(self, known: int) -> Event:
        """What only a store that was wiped or rolled back can say."""
        self.lied = True
        if known == 1 or self._maybe(0.5):
            return ChainFoundEmpty(self.asked)
        return HeadFound(self.asked, self.chain.seen(known - 1, self.now))

    def _claimed(self, claim: CreateEpoch) -> Event:
        draft = claim.draft
        one = record(
            draft.epoch,
            draft.term,
            ME.node,
            incarnation=ME.incarnation,
            session=ME.session,
            release=draft.kind == "release",
            previous=draft.previous,
            heir=draft.heir,
            published=draft.published,
            control=draft.control,
            topology=draft.topology,
        )
        match self.chance.choice([*["told"] * 12, "lost answer", "late", "dropped", "refused", "refused"]):
            case "refused":
                return ClaimRefused()
            case "dropped":
                return ClaimUnknown()
            case "late":
                self.on_the_way.append(one)
                return ClaimUnknown()
            case "lost answer":
                self._land(one)
                return ClaimUnknown()
        if self._land(one):
            return ClaimWon(self.chain.seen(one.epoch, self.now))
        if self.chain.head > one.epoch + 1 and self._maybe(0.5):
            return ClaimOrphaned()
        return ClaimLost(self.chain.seen(one.epoch, self.now) if self._maybe(0.7) else None)

    def _land(self, one: Epoch) -> bool:
        """A create arrives: it is applied if its slot is free, and only at the end of the chain is one free."""
        if one.epoch != self.chain.head + 1:
            return False
        self.chain.epochs.append(one)
        return True

    # --- what must hold ---------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """The node is told `event`, and everything that it then does is looked at."""
        if isinstance(event, AskedToPublish):
            self.open_tickets.add(event.publishing.ticket)
            self.tickets[event.publishing.ticket] = None
        if isinstance(event, AskedToRelease):
            self.asked_to_release += 1
        answers = (HeadFound, HeadConfirmed, ChainFoundEmpty, LookFailed, NextFound, NextAbsent, PollFailed)
        claims = (ClaimWon, ClaimLost, ClaimUnknown, ClaimRefused, ClaimOrphaned)
        if isinstance(event, answers + claims):
            self.question = None
        before = self.state
        self.state, actions = step(before, event, self.now)
        assert step(before, event, self.now) == (self.state, actions), "a step is a function (I13)"
        for action in actions:
            self._look_at(action)
        if isinstance(event, NextAbsent):
            # Once, where the turn came with this very answer; a second time it would spin.
            at_once = event.asked == self.now and any(isinstance(action, ReadNext) for action in actions)
            self.at_once = self.at_once + 1 if at_once else 0
            assert self.at_once <= 1, "asked again at once, and again"
        assert self.stopped or not self.lied, "a step back is noticed (I7, rule 13)"
        self._look_at_state()

    def _look_at(self, action: Action) -> None:
        assert not self.stopped, f"{action} after the end (rule 13)"
        match action:
            case LookForHead() | ReadNext() | CreateEpoch():
                assert self.question is None, f"{action} while {self.question} is under way"
                self._look_at_question(action)
                self.question, self.asked, self.head_then = action, self.now, self.chain.head
            case NoteTenureBegan(tenure=tenure):
                assert self.tenure is None
                assert tenure.term == tenure.epoch
                assert tenure.term > self.highest_term, "a fencing token only rises (I6)"
                self._look_at_tenure(tenure)
            case NoteTenureRenewed(tenure=tenure):
                assert self.tenure is not None
                assert believes(self.tenure, self.now), "confirmed before its own deadline, or a new term (rule 6, I6)"
                assert tenure.term == self.tenure.term
                assert tenure.epoch > self.tenure.epoch
                self._look_at_tenure(tenure)
            case NoteTenureEnded(tenure=tenure):
                assert self.tenure == tenure, "what ends is what began, and once"
                self.tenure = None
            case HeadChanged(seen=seen):
                assert seen.epoch >= self.highest_epoch, "no observer sees the epoch go down (I7)"
                self.highest_epoch = seen.epoch
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                assert ticket in self.open_tickets, "an answer to each publish, and one alone"
                self.open_tickets.discard(ticket)
                self._look_at_publish(ticket, epoch, refused)
            case NoteReleased(epoch=epoch):
                self.asked_to_release -= 1
                assert self.asked_to_release >= 0, "a release that nobody asked for"
                assert epoch is None or self._own(epoch).kind == "release"
            case NoteStopped():
                self.stopped = True

    def _own(self, number: int) -> Epoch:
        one = self.chain.epochs[number - 1]
        assert one is not None
        assert one.leader.session == ME.session, "won by this process and nobody else (I3)"
        return one

    def _look_at_tenure(self, tenure: Tenure) -> None:
        assert self._own(tenure.epoch).term == tenure.term
        assert tenure.belief_s == BELIEF_S, "the holder pays the margin (rule 3)"
        began = self.read if tenure.term == tenure.epoch else self.asked
        assert elapsed_holder_s(tenure.since, began) >= 0, "counted from before it was asked for (rule 2)"
        assert believes(tenure, self.now)
        self.tenure, self.highest_term = tenure, tenure.term

    def _look_at_question(self, question: Question) -> None:
        if isinstance(question, LookForHead | ReadNext):
            self.read = self.now
        if not isinstance(question, CreateEpoch):
            return
        draft, head = question.draft, self.state.head
        assert draft.epoch == (head.epoch if head is not None else 0) + 1, "one chain (rule 1)"
        assert draft.previous == (head.mark if head is not None else ""), "it names its predecessor (I5)"
        known = head.record.term if head is not None and head.record is not None else 0
        assert known <= draft.term <= draft.epoch
        if draft.term == draft.epoch and draft.kind == "lease":
            assert self.tenure is None
            assert isinstance(self.question, type(None))
            assert elapsed_holder_s(question.since, self.read) >= 0, "counted from before the read (rules 2 and 7)"
            if head is not None:
                self._look_at_takeover(head)
        elif draft.kind == "lease":
            assert believes(self.tenure, self.now), "only a leader renews"
        else:
            assert self.tenure is None, "belief ends before a release is sent (rule 9)"
            assert self.highest_term == draft.term

    def _look_at_takeover(self, head: Seen) -> None:
        """I8: not before the ttl in the record is over, on the waiter's clock, unless nobody can believe in it."""
        one, waited_s = head.record, elapsed_waiter_s(head.read, self.now)
        if one is None:
            assert waited_s >= TTL_MAX_S
        elif one.kind == "lease" and one.leader.session != ME.session:
            former = self.state.rules.assume_dead and one.leader.node == ME.node
            assert former or waited_s + head.credit_s >= one.ttl_ms / 1000
        elif one.kind == "release" and one.leader.session == ME.session:
            assert waited_s >= one.ttl_ms / 1000, "whoever releases lets everyone else go first (rule 9)"

    def _look_at_publish(self, ticket: int, epoch: int | None, refused: bool) -> None:
        if epoch is not None:
            published = self._own(epoch).published
            assert published is not None, "acknowledged only where it rides (I10)"
            assert published.epoch == epoch
            assert not refused
        if refused:
            everywhere = [one for one in self.chain.epochs if one is not None] + self.on_the_way
            values = [one.published.value for one in everywhere if one.published is not None]
            assert b"%d" % ticket not in values, "what was refused never takes effect (I10)"

    def _look_at_state(self) -> None:
        assert self.state.tenure == self.tenure
        assert (role(self.state) == "stopped") is self.stopped
        assert (role(self.state) == "leader") is (self.tenure is not None)
        assert self.tenure is None or believes(self.tenure, self.now), (
            "a lapse comes first, whatever the event (rule 6)"
        )
        if not self.stopped:
            assert (self.state.business is None) is (self.question is None)
        wait_s = due_s(self.state, self.now)
        assert wait_s is None or wait_s > 0, "whatever is due now was done now; nothing spins"
        assert (wait_s is None) is (self.stopped or (self.question is not None and self.tenure is None))
        if self.state.waiting and self.question is None and self.state.from_ is not None and wait_s is not None:
            paused_s = self.state.after_s - elapsed_holder_s(self.state.from_, self.now)
            assert wait_s <= max(0.0, paused_s), "a value that waits to be published waits for nothing else (rule 5)"
