"""The election: `step(state, event, now) -> (state, actions)`, and nothing else decides who leads.

One node's part in it. At most one request on the epoch chain is under way at a time (`Business`), and a lease is
believed by the clock alone: whoever asks `believes(state.tenure, now)` is told the truth whether or not a renewal is
in flight. The rules are numbered as in README.md beside this file.
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec
from msgspec.structs import replace

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s
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
    Draft,
    Event,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookFailed,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    PollFailed,
    Publishing,
    ReadNext,
    Reason,
    Seen,
    SettlePublish,
    StandingChanged,
    StoreBroken,
    SupersededByNewer,
    Tenure,
    Ticked,
    TopologyFormed,
)
from holocron.records import Cause, Epoch, Leader, Member, Published

__all__ = ["Election", "Role", "Rules", "Seat", "believes", "due_s", "heirs", "role", "step"]

Role = Literal["solo", "follower", "candidate", "leader", "stopped"]


class Seat(msgspec.Struct, frozen=True):
    """Who takes part: a node, its incarnation, and the one process (`session`) that speaks for both."""

    node: str
    incarnation: int
    session: str
    priority: int = 1


class Rules(msgspec.Struct, frozen=True):
    """The timings one node goes by, in seconds; `ttl_max_s` is the cluster's, and bounds any lease we cannot read."""

    ttl_s: float
    belief_s: float
    renew_every_s: float
    stagger_s: float
    ttl_max_s: float
    # The operator vouches that earlier incarnations of this node are dead (rule 11).
    assume_dead: bool = False


class Business(msgspec.Struct, frozen=True):
    """The one request under way on the epoch chain, and since when."""

    kind: Literal["look", "poll", "take", "renew", "release"]
    since: Instant
    tickets: tuple[Publishing, ...] = ()
    # Looks only: the wait is over and this LIST is the one that a takeover starts with (rule 7).
    takeover: bool = False


class Election(msgspec.Struct, frozen=True):
    """All that one node knows of the election."""

    seat: Seat
    rules: Rules
    standing: bool = False
    stopped: bool = False
    # Whether the chain was ever looked at; before that the node is solo.
    looked: bool = False
    head: Seen | None = None
    tenure: Tenure | None = None
    business: Business | None = None
    # The next look, poll or try: `after_s` from `from_`. None: as soon as may be.
    from_: Instant | None = None
    after_s: float = 0.0
    # Polls in a row that found nothing, and hits since a poll last did (rule 10).
    misses: int = 0
    hits: int = 0
    # A poll that began after this node's turn had come found nothing: the earlier heirs have not acted (rule 8).
    turn_checked: bool = False
    failures: int = 0
    trip_s: float = 0.0
    # The leader's side.
    waiting: tuple[Publishing, ...] = ()
    releasing: bool = False
    heir: str | None = None
    control: int = 0
    published: Published | None = None
    view: tuple[Member, ...] = ()


# --- questions ------------------------------------------------------------------------------------------------------


def believes(tenure: Tenure | None, now: Instant) -> bool:
    """Whether a process with this tenure may act as leader at `now` (rules 2, 3 and 4)."""
    return tenure is not None and 0 <= elapsed_holder_s(tenure.since, now) < tenure.belief_s


def role(state: Election) -> Role:
    """The node's role, as people are told it."""
    if state.stopped:
        return "stopped"
    if state.tenure is not None:
        return "leader"
    if not state.looked:
        return "solo"
    business = state.business
    return "candidate" if business is not None and (business.kind == "take" or business.takeover) else "follower"


def heirs(record: Epoch) -> tuple[str, ...]:
    """Who may follow the leader of `record`, in order (rule 8): a named heir, then by priority, then by rank."""
    able = [m for m in record.topology if m.standing and m.priority > 0 and m.status != "gone"]
    able.sort(key=lambda m: (m.status != "alive", -m.priority, m.rank))
    named = record.heir.node if record.heir is not None else None
    order = [m.node for m in able if m.node not in (record.leader.node, named)]
    return tuple(order if named is None else [named, *order])


def _ours(state: Election, record: Epoch) -> bool:
    """Whether this very process wrote `record`: then nobody else can believe in it."""
    return record.leader.node == state.seat.node and record.leader.session == state.seat.session


def _place(state: Election, record: Epoch | None) -> int:
    """This node's place among the heirs; a node the leader did not know comes after all that it did."""
    order = heirs(record) if record is not None else ()
    if state.seat.node in order:
        return order.index(state.seat.node)
    if not order:
        return 0 if record is None or record.leader.node == state.seat.node else _spread(state) % 4
    return len(order) + _spread(state) % 4


def _spread(state: Election) -> int:
    return zlib.crc32(state.seat.node.encode())


def _lease_s(state: Election, head: Seen) -> float:
    """How long after reading `head` nobody may follow its holder, on a waiter's clock (rules 3, 9, 11)."""
    record = head.record
    if record is None:
        return state.rules.ttl_max_s
    if record.kind == "release":
        if _ours(state, record):
            # Whoever releases lets everyone else go first, and everyone notices within a lease.
            return record.ttl_ms / 1000
        if record.heir is not None and record.heir.node != state.seat.node:
            # The named heir reads the release at its next poll; until then nobody overtakes it.
            return record.renew_ms / 1000 * 1.25
        return 0.0
    if _ours(state, record):
        return 0.0
    former_self = record.leader.node == state.seat.node and record.leader.incarnation < state.seat.incarnation
    if state.rules.assume_dead and former_self:
        return 0.0
    return max(0.0, record.ttl_ms / 1000 - head.credit_s)


def _turn_s(state: Election, head: Seen) -> float:
    """How long after reading `head` this node may try: the lease, then a stagger for every heir before it (rule 8)."""
    stagger_s = max(state.rules.stagger_s, 3 * state.trip_s)
    return _lease_s(state, head) + _place(state, head.record) * stagger_s


def _candidate(state: Election) -> bool:
    return state.standing and state.seat.priority > 0


def _turn_has_come(state: Election, now: Instant) -> bool:
    head = state.head
    return _candidate(state) and head is not None and elapsed_waiter_s(head.read, now) >= _turn_s(state, head)


def due_s(state: Election, now: Instant) -> float | None:
    """Seconds until this node next has something to do by itself, or None where only an event can tell."""
    if state.stopped:
        return None
    if state.tenure is not None:
        lapse_s = state.tenure.belief_s - elapsed_holder_s(state.tenure.since, now)
        if state.business is not None:
            return max(0.0, lapse_s)
        renew_s = state.rules.renew_every_s - elapsed_holder_s(state.tenure.since, now)
        if state.from_ is not None:
            renew_s = max(renew_s, state.after_s - elapsed_holder_s(state.from_, now))
        return max(0.0, min(lapse_s, renew_s))
    if state.business is not None:
        return None
    wait_s = 0.0 if state.from_ is None else state.after_s - elapsed_waiter_s(state.from_, now)
    if state.head is not None and _candidate(state) and state.failures == 0:
        wait_s = min(wait_s, max(0.0, _turn_s(state, state.head) - elapsed_waiter_s(state.head.read, now)))
    return max(0.0, wait_s)


# --- the step -------------------------------------------------------------------------------------------------------

_Stepped = tuple[Election, list[Action]]


def step(state: Election, event: Event, now: Instant) -> tuple[Election, tuple[Action, ...]]:
    """What becomes of the election at `now` when `event` comes, and what is to be done about it."""
    if state.stopped:
        return state, _refuse_when_stopped(event)
    actions: list[Action] = []
    if state.tenure is not None and not believes(state.tenure, now):
        # Rule 6: whatever the event says, a lapse comes first and ends the term.
        stuck = (state.business is not None and state.business.kind == "renew") or state.failures > 0
        state, ended = _end(state, Reason.STORE_UNREACHABLE if stuck else Reason.EXPIRED)
        actions += ended
    state, more = _take_in(state, event, now)
    actions += more
    if not state.stopped:
        state, more = _act(state, now)
        actions += more
    return state, tuple(actions)


def _take_in(state: Election, event: Event, now: Instant) -> _Stepped:
    """The event itself; what follows from the new state is for `_act`."""
    match event:
        case Ticked():
            return state, []
        case HeadFound() | HeadConfirmed() | ChainFoundEmpty():
            return _looked(state, event, now)
        case NextFound(seen=seen, took_s=took_s):
            return _adopt(replace(state, business=None, failures=0, trip_s=_smooth(state, took_s)), seen, polled=True)
        case NextAbsent():
            return _missed(state, event, now), []
        case LookFailed() | PollFailed():
            return _failed(state, now), []
        case ClaimWon(seen=seen):
            return _won(state, seen, now)
        case ClaimLost() | ClaimUnknown() | ClaimRefused() | ClaimOrphaned():
            return _not_won(state, event, now)
        case StandingChanged(standing=standing):
            return replace(state, standing=standing), []
        case AskedToPublish(publishing=publishing):
            if state.tenure is None or state.releasing:
                return state, [SettlePublish(publishing.ticket, None, refused=True)]
            return replace(state, waiting=(*state.waiting, publishing)), []
        case AskedToRelease(heir=heir):
            if state.tenure is None:
                return state, [NoteReleased(None)]
            return replace(state, releasing=True, heir=heir), []
        case TopologyFormed(members=members):
            return replace(state, view=members), []
        case ControlHandled(number=number):
            return replace(state, control=max(number, state.control)), []
        case BeliefLapsed():
            return _end(state, Reason.EXPIRED) if state.tenure is not None else (state, [])
        case SupersededByNewer():
            return _stop(state, Reason.SUPERSEDED, "a newer incarnation of this node has taken its place")
        case StoreBroken(why=why):
            return _stop(state, Reason.STORE_DISHONEST, why)


def _act(state: Election, now: Instant) -> _Stepped:
    """What this node does of its own accord, if nothing is under way."""
    if state.business is not None:
        return state, []
    if state.tenure is not None:
        return _lead(state, state.tenure, now)
    if state.from_ is not None and state.failures and elapsed_waiter_s(state.from_, now) < state.after_s:
        return state, []
    if not state.looked:
        return _look(state, now, takeover=False)
    if state.head is not None and _turn_has_come(state, now):
        if state.turn_checked or _place(state, state.head.record) == 0:
            return _look(state, now, takeover=True)
        return _poll(state, now)
    if state.head is None and _candidate(state):
        return _look(state, now, takeover=True)
    if state.from_ is None or elapsed_waiter_s(state.from_, now) >= state.after_s:
        return _poll(state, now)
    return state, []


# --- looking and polling --------------------------------------------------------------------------------------------


def _look(state: Election, now: Instant, takeover: bool) -> _Stepped:
    known = state.head.epoch if state.head is not None else None
    return replace(state, business=Business("look", now, takeover=takeover)), [LookForHead(known)]


def _poll(state: Election, now: Instant) -> _Stepped:
    number = 1 if state.head is None else state.head.epoch + 1
    return replace(state, business=Business("poll", now)), [ReadNext(number)]


def _looked(state: Election, event: HeadFound | HeadConfirmed | ChainFoundEmpty, now: Instant) -> _Stepped:
    takeover = state.business is not None and state.business.takeover
    state = replace(state, business=None, looked=True, failures=0)
    actions: list[Action] = []
    if isinstance(event, ChainFoundEmpty):
        if state.head is not None:
            return _stop(
                state, Reason.STORE_DISHONEST, f"epoch {state.head.epoch} was there and the chain is empty now"
            )
        state = replace(state, from_=now, after_s=state.rules.renew_every_s)
        return _take(state, event.asked, "first") if _candidate(state) else (state, [])
    if isinstance(event, HeadFound):
        state, actions = _adopt(state, event.seen, polled=False)
        # A head that nobody may believe in needs no second LIST: this one has shown that it is the head.
        takeover = not state.stopped and _turn_has_come(state, now) and _turn_s_is_zero(state)
    if takeover and state.head is not None and _turn_has_come(state, now):
        state, more = _take(state, event.asked, _cause(state, state.head))
        return state, actions + more
    return state, actions


def _turn_s_is_zero(state: Election) -> bool:
    return state.head is not None and _turn_s(state, state.head) == 0.0


def _cause(state: Election, head: Seen) -> Cause:
    record = head.record
    if record is None or record.kind == "lease":
        return "expired"
    return "handover" if record.heir is not None and record.heir.node == state.seat.node else "released"


def _missed(state: Election, event: NextAbsent, now: Instant) -> Election:
    """Rule 10: nothing new yet; the next poll comes sooner than a round, and later where the lease is long over."""
    every_s = _cadence_s(state)
    if state.hits >= 5 and state.misses == 0:
        # This poll only read on after a hit: it has proved us up to date, and the next epoch is due in its time.
        return replace(state, business=None, failures=0, hits=0, from_=event.asked, after_s=every_s * 30 / 32)
    misses = state.misses + 1
    checked = _turn_has_come(state, event.asked)
    return replace(
        state,
        business=None,
        failures=0,
        misses=misses,
        hits=0,
        turn_checked=state.turn_checked or checked,
        from_=now,
        after_s=every_s / 8 if misses <= 4 else every_s / 4 if misses <= 16 else every_s,
        trip_s=_smooth(state, event.took_s),
    )


def _cadence_s(state: Election) -> float:
    """How often the leader of the head renews, as its own record says."""
    record = state.head.record if state.head is not None else None
    return record.renew_ms / 1000 if record is not None else state.rules.renew_every_s


def _smooth(state: Election, took_s: float) -> float:
    if took_s <= 0:
        return state.trip_s
    return took_s if state.trip_s == 0 else 0.8 * state.trip_s + 0.2 * took_s


def _failed(state: Election, now: Instant) -> Election:
    """The store did not answer: try again, ever less often, spread by node so that a crowd does not come at once."""
    failures = min(state.failures + 1, 16)
    pause_s = min(0.05 * 2**failures, state.rules.renew_every_s) * (0.75 + _spread(state) % 64 / 128)
    return replace(state, business=None, failures=failures, from_=now, after_s=pause_s)


def _adopt(state: Election, seen: Seen, polled: bool) -> _Stepped:
    """Take `seen` for the head, unless that would be a step back (I7) or its record is not one that could follow."""
    head = state.head
    if head is not None:
        if seen.epoch < head.epoch:
            why = f"epoch {head.epoch} was the head and epoch {seen.epoch} is now: the store was rolled back"
            return _stop(state, Reason.STORE_DISHONEST, why)
        if seen.epoch == head.epoch + 1 and seen.record is not None and seen.record.previous != head.mark:
            why = f"epoch {seen.epoch} follows another epoch {head.epoch} than the one seen: history was rewritten"
            return _stop(state, Reason.STORE_DISHONEST, why)
    record = seen.record
    if record is not None and not _plausible(state, head, record):
        seen = record_unread(seen)
        record = None
    every_s = record.renew_ms / 1000 if record is not None else state.rules.renew_every_s
    before = head.record if head is not None else None
    regular = (
        polled
        and record is not None
        and before is not None
        and record.term == before.term
        and record.kind == "lease"
        and not (record.published is not None and record.published.epoch == record.epoch)
    )
    hits = state.hits + 1
    if not regular:
        # The leader's beat is not known (yet, or no longer): poll often until it is found.
        after_s = every_s / 4
    elif hits >= 5:
        # Read on until a 404 says that there is nothing newer (rule 10).
        after_s = 0.0
    else:
        # Creep towards the beat: a poll that comes a little early each round misses once in a while, and that
        # miss is the proof of being up to date.
        after_s = every_s * 31 / 32
    state = replace(
        state,
        head=seen,
        looked=True,
        misses=0,
        hits=hits,
        turn_checked=False,
        from_=seen.read,
        after_s=after_s,
        control=max(state.control, record.control) if record is not None else state.control,
        published=record.published if record is not None else state.published,
        view=record.topology if record is not None and state.tenure is None else state.view,
    )
    return state, [HeadChanged(seen)]


def record_unread(seen: Seen) -> Seen:
    """`seen` as held by someone we cannot read."""
    return replace(seen, record=None, credit_s=0.0)


def _plausible(state: Election, head: Seen | None, record: Epoch) -> bool:
    """Whether a record that decodes could have been written by the rules; if not, it is one that we cannot read."""
    known = head.record.term if head is not None and head.record is not None else 0
    return known <= record.term <= record.epoch and record.ttl_ms / 1000 <= state.rules.ttl_max_s


# --- claiming -------------------------------------------------------------------------------------------------------


def _take(state: Election, since: Instant, cause: Cause) -> _Stepped:
    """Rules 1, 2, 7: epoch N+1 with a new term, the lease counted from before the LIST."""
    number = 1 if state.head is None else state.head.epoch + 1
    draft = _draft(state, number, number, "lease", cause, state.published, None)
    return replace(state, business=Business("take", since)), [CreateEpoch(draft, since, state.rules.belief_s)]


def _lead(state: Election, tenure: Tenure, now: Instant) -> _Stepped:
    """Rules 1, 5, 9: renew when due, at once where a value waits to be published; or release."""
    assert state.head is not None
    number = state.head.epoch + 1
    left_s = tenure.belief_s - elapsed_holder_s(tenure.since, now)
    if state.releasing:
        heir = state.heir
        cause: Cause = "handover" if heir is not None else "released"
        draft = _draft(state, number, tenure.term, "release", cause, state.published, heir)
        # Belief ends before the release is sent (rule 9), and no renewal is in flight, for nothing is.
        state, actions = _end(state, Reason.RELEASED)
        state = replace(state, business=Business("release", now))
        return state, [*actions, CreateEpoch(draft, now, left_s)]
    paused = state.from_ is not None and elapsed_holder_s(state.from_, now) < state.after_s
    if paused or not (state.waiting or elapsed_holder_s(tenure.since, now) >= state.rules.renew_every_s):
        return state, []
    published = (
        Published(value=state.waiting[-1].value, epoch=number, term=tenure.term) if state.waiting else state.published
    )
    draft = _draft(state, number, tenure.term, "lease", "renewed", published, None)
    business = Business("renew", now, tickets=state.waiting)
    return replace(state, business=business, waiting=()), [CreateEpoch(draft, now, left_s)]


def _draft(
    state: Election, number: int, term: int, kind: str, cause: Cause, published: Published | None, heir: str | None
) -> Draft:
    previous = state.head.mark if state.head is not None else ""
    return Draft(number, term, kind, cause, previous, state.control, heir, published, state.view)


def _won(state: Election, seen: Seen, now: Instant) -> _Stepped:
    """A claim is ours. It makes a tenure only while its own lease, and for a renewal the one before it, still runs."""
    business, tenure, record = state.business, state.tenure, seen.record
    assert business is not None
    assert record is not None
    state = replace(state, business=None, head=seen, looked=True, failures=0, from_=None, after_s=0.0)
    state = replace(state, misses=0, hits=0, turn_checked=False, published=record.published)
    actions: list[Action] = [HeadChanged(seen)]
    if business.kind == "release":
        return replace(state, from_=now, after_s=state.rules.renew_every_s / 4), [*actions, NoteReleased(seen.epoch)]
    mine = Tenure(record.term, record.epoch, business.since, state.rules.belief_s)
    if not believes(mine, now) or (business.kind == "renew" and tenure is None):
        # Rule 6: confirmed too late. The epoch is ours and nobody can believe in it; a new term may follow at once.
        actions += [SettlePublish(p.ticket, None) for p in business.tickets]
        if business.kind == "take":
            actions.append(NoteElectionLost())
        return state, actions
    state = replace(state, tenure=mine)
    actions.append(NoteTenureBegan(mine) if business.kind == "take" else NoteTenureRenewed(mine))
    actions += [SettlePublish(p.ticket, seen.epoch) for p in business.tickets]
    return state, actions


def _not_won(state: Election, event: ClaimLost | ClaimUnknown | ClaimRefused | ClaimOrphaned, now: Instant) -> _Stepped:
    """A claim came to nothing, or nobody can say what it came to."""
    business = state.business
    assert business is not None
    known = not isinstance(event, ClaimUnknown)
    actions: list[Action] = []
    state = replace(state, business=None)
    if business.kind == "release":
        actions.append(NoteReleased(None))
    if business.kind == "renew" and isinstance(event, ClaimRefused) and state.tenure is not None:
        # Certainly not written: the same values may go into the next attempt, while the lease runs.
        return replace(_failed(state, now), waiting=(*business.tickets, *state.waiting)), actions
    actions += [SettlePublish(p.ticket, None, refused=known) for p in business.tickets]
    if business.kind == "renew" and state.tenure is not None:
        reason = Reason.STORE_UNREACHABLE if isinstance(event, ClaimUnknown) else Reason.TAKEN_OVER
        state, ended = _end(state, reason)
        actions += ended
    if business.kind == "take":
        actions.append(NoteElectionLost())
    if isinstance(event, ClaimLost) and event.seen is not None:
        state, more = _adopt(replace(state, failures=0), event.seen, polled=False)
        return state, actions + more
    if isinstance(event, ClaimOrphaned | ClaimLost):
        return replace(state, looked=False, failures=0), actions
    state = _failed(state, now)
    return (replace(state, looked=False) if isinstance(event, ClaimUnknown) else state), actions


# --- endings --------------------------------------------------------------------------------------------------------


def _end(state: Election, reason: Reason) -> _Stepped:
    """Leadership is over; what waited to be published was never sent and never will be."""
    assert state.tenure is not None
    actions: list[Action] = [NoteTenureEnded(state.tenure, reason)]
    actions += [SettlePublish(p.ticket, None, refused=True) for p in state.waiting]
    if state.releasing and reason is not Reason.RELEASED:
        actions.append(NoteReleased(None))
    state = replace(state, tenure=None, waiting=(), releasing=False, heir=None, from_=None, after_s=0.0, failures=0)
    return state, actions


def _stop(state: Election, reason: Reason, why: str) -> _Stepped:
    """No further part in this election: nothing is sent any more, and what is in flight cannot be believed."""
    actions: list[Action] = []
    if state.tenure is not None:
        state, actions = _end(state, reason)
    if state.business is not None:
        actions += [SettlePublish(p.ticket, None) for p in state.business.tickets]
        if state.business.kind == "release":
            actions.append(NoteReleased(None))
    return replace(state, stopped=True, business=None), [*actions, NoteStopped(reason, why)]


def _refuse_when_stopped(event: Event) -> tuple[Action, ...]:
    match event:
        case AskedToPublish(publishing=publishing):
            return (SettlePublish(publishing.ticket, None, refused=True),)
        case AskedToRelease():
            return (NoteReleased(None),)
    return ()


def leader_of(state: Election) -> Leader | None:
    """Who leads as far as this node knows, or None: nobody, or someone it cannot read."""
    record = state.head.record if state.head is not None else None
    return record.leader if record is not None and record.kind == "lease" else None
