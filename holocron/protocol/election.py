"""The election: `step(state, event, now) -> (state, actions)`, and nothing else decides who leads.

One node's part in it. At most one request on the epoch chain is under way at a time (`Business`), and a lease is
believed by the clock alone: whoever asks `believes(state.tenure, now)` is told the truth whether or not a renewal is
in flight. The rules are numbered as in README.md beside this file. What a node knows is in state.py, whose turn it is
in turns.py, how it keeps up with the head in following.py, and how its part ends in endings.py.
"""

from __future__ import annotations

from msgspec.structs import replace

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s
from holocron.protocol import hinting
from holocron.protocol.endings import Stepped, end, stop
from holocron.protocol.following import adopt, early_s, failed, missed, pause_of, record_unread, smooth
from holocron.protocol.membership import standing_of
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
    Hinted,
    LookFailed,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteElectionLost,
    NoteReleased,
    NoteTenureBegan,
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
from holocron.protocol.state import Business, Election, Pause, Role, Rules, Seat, believes, leader_of, paused_s, role
from holocron.protocol.turns import due_s, heirs, may_stand, place, turn_has_come, turn_s
from holocron.records import Cause, Published

__all__ = [
    "Election",
    "Role",
    "Rules",
    "Seat",
    "believes",
    "due_s",
    "heirs",
    "leader_of",
    "record_unread",
    "role",
    "step",
]


def step(state: Election, event: Event, now: Instant) -> tuple[Election, tuple[Action, ...]]:
    """What becomes of the election at `now` when `event` comes, and what is to be done about it."""
    if state.stopped:
        return state, _refuse_when_stopped(event)
    actions: list[Action] = []
    if state.tenure is not None and not believes(state.tenure, now):
        # Rule 6: whatever the event says, a lapse comes first and ends the term.
        stuck = (state.business is not None and state.business.kind == "renew") or state.failures > 0
        state, ended = end(state, Reason.STORE_UNREACHABLE if stuck else Reason.EXPIRED)
        actions += ended
    state, more = _take_in(state, event, now)
    actions += more
    if not state.stopped:
        state, more = _act(state, now)
        actions += more
    return state, tuple(actions)


def _refuse_when_stopped(event: Event) -> tuple[Action, ...]:
    match event:
        case AskedToPublish(publishing=publishing):
            return (SettlePublish(publishing.ticket, None, refused=True),)
        case AskedToRelease():
            return (NoteReleased(None),)
    return ()


def _take_in(state: Election, event: Event, now: Instant) -> Stepped:
    """The event itself; what follows from the new state is for `_act`."""
    match event:
        case Ticked():
            return state, []
        case HeadFound() | HeadConfirmed() | ChainFoundEmpty():
            return _looked(state, event, now)
        case NextFound():
            return _read_on(state, event, now)
        case NextAbsent():
            return missed(state, event, now), []
        case LookFailed() | PollFailed():
            return replace(failed(state, now), hint=None), []
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
        case ControlHandled(number=number, pause_s=pause_s):
            state = replace(state, control=max(number, state.control))
            if pause_s is None or state.tenure is None or state.releasing:
                return state, []
            # Whoever asked sees it in the lock file; no caller of this process waits under the ticket 0.
            return replace(state, waiting=(*state.waiting, Publishing(0, pause_s=pause_s))), []
        case Hinted():
            return hinting.heard(state, event, now), []
        case BeliefLapsed():
            return end(state, Reason.EXPIRED) if state.tenure is not None else (state, [])
        case SupersededByNewer():
            return stop(state, Reason.SUPERSEDED, "a newer incarnation of this node has taken its place")
        case StoreBroken(why=why):
            return stop(state, Reason.STORE_DISHONEST, why)


def _act(state: Election, now: Instant) -> Stepped:
    """What this node does of its own accord, if nothing is under way."""
    if state.business is not None:
        return state, []
    if state.tenure is not None:
        return _lead(state, state.tenure, now)
    if state.from_ is not None and state.failures and elapsed_waiter_s(state.from_, now) < state.after_s:
        return state, []
    if not state.looked:
        return _look(state, now, takeover=False)
    if state.head is not None and turn_has_come(state, now):
        if state.turn_checked or place(state, state.head.record) == 0:
            return _look(state, now, takeover=True)
        return _poll(state, now)
    if state.head is None and may_stand(state):
        return _look(state, now, takeover=True)
    if state.hint is not None:
        hint, state = state.hint, replace(state, hint=None)
        if hinting.heeds(state, hint, now):
            return _poll(state, now, hint)
    if state.from_ is None or elapsed_waiter_s(state.from_, now) >= state.after_s:
        if state.misses and state.misses % 16 == 0 and not may_stand(state):
            # Who never takes over would never LIST, and after sleeping past retention wait for ever on a 404 (rule 7).
            return _look(replace(state, misses=state.misses + 1), now, takeover=False)
        return _poll(state, now)
    return state, []


# --- looking and polling --------------------------------------------------------------------------------------------


def _look(state: Election, now: Instant, takeover: bool) -> Stepped:
    known = state.head.epoch if state.head is not None else None
    return replace(state, business=Business("look", now, takeover=takeover)), [LookForHead(known)]


def _poll(state: Election, now: Instant, hint: Hinted | None = None) -> Stepped:
    number = 1 if state.head is None else state.head.epoch + 1
    return replace(state, business=Business("poll", now, hint=hint)), [ReadNext(number)]


def _read_on(state: Election, event: NextFound, now: Instant) -> Stepped:
    business = state.business
    if business is not None and business.hint is not None:
        # The read has shown one epoch; the hint may be of a later one.
        state = hinting.heard(state, business.hint, now)
    before_s = early_s(state, event.seen.read)
    state = replace(state, business=None, failures=0, trip_s=smooth(state, event.took_s))
    state, actions = adopt(state, event.seen, polled=True, early_s=before_s)
    return (state, actions) if business is None else _follow_at_once(state, actions, business.since)


def _looked(state: Election, event: HeadFound | HeadConfirmed | ChainFoundEmpty, now: Instant) -> Stepped:
    takeover = state.business is not None and state.business.takeover
    if state.business is not None and state.business.hint is not None and not isinstance(event, HeadFound):
        state = hinting.wasted(state, now)
    state = replace(state, business=None, looked=True, failures=0)
    if isinstance(event, ChainFoundEmpty):
        if state.head is not None:
            return stop(state, Reason.STORE_DISHONEST, f"epoch {state.head.epoch} was there and the chain is empty now")
        state = replace(state, from_=now, after_s=state.rules.renew_every_s)
        return _take(state, event.asked, "first") if may_stand(state) else (state, [])
    if isinstance(event, HeadFound):
        state, actions = adopt(state, event.seen, polled=False)
        return _follow_at_once(state, actions, event.asked)
    if takeover and state.head is not None and turn_has_come(state, now):
        return _take(state, event.asked, _cause(state, state.head))
    return state, []


def _follow_at_once(state: Election, actions: list[Action], since: Instant) -> Stepped:
    """Rule 7: a head that nobody may believe in is followed from the very read, begun at `since`, that has found it."""
    head = state.head
    if state.stopped or head is None or turn_s(state, head) > 0 or not may_stand(state):
        return state, actions
    state, more = _take(state, since, _cause(state, head))
    return state, actions + more


def _cause(state: Election, head: Seen) -> Cause:
    record = head.record
    if record is None or record.kind == "lease":
        return "expired"
    return "handover" if record.heir is not None and record.heir.node == state.seat.node else "released"


# --- claiming -------------------------------------------------------------------------------------------------------


def _take(state: Election, since: Instant, cause: Cause) -> Stepped:
    """Rules 1, 2, 7: epoch N+1 with a new term, the lease counted from before the read that allows it."""
    number = 1 if state.head is None else state.head.epoch + 1
    draft = _draft(state, number, number, "lease", cause, state.published, None, paused_s(state.pause, since))
    return replace(state, business=Business("take", since)), [CreateEpoch(draft, since, state.rules.belief_s)]


def _lead(state: Election, tenure: Tenure, now: Instant) -> Stepped:
    """Rules 1, 5, 9: renew when due, at once where a value waits to be published; or release."""
    assert state.head is not None
    number = state.head.epoch + 1
    left_s = tenure.belief_s - elapsed_holder_s(tenure.since, now)
    left_of_pause_s = paused_s(state.pause, now)
    if state.releasing:
        heir = state.heir
        cause: Cause = "handover" if heir is not None else "released"
        draft = _draft(state, number, tenure.term, "release", cause, state.published, heir, left_of_pause_s)
        # Belief ends before the release is sent (rule 9), and no renewal is in flight, for nothing is.
        state, actions = end(state, Reason.RELEASED)
        state = replace(state, business=Business("release", now))
        return state, [*actions, CreateEpoch(draft, now, left_s)]
    resting = state.from_ is not None and elapsed_holder_s(state.from_, now) < state.after_s
    if resting or not (state.waiting or elapsed_holder_s(tenure.since, now) >= state.rules.renew_every_s):
        return state, []
    published = state.published
    for one in state.waiting:
        if one.value is not None:
            published = Published(value=one.value, epoch=number, term=tenure.term)
        if one.pause_s is not None:
            left_of_pause_s = one.pause_s
    draft = _draft(state, number, tenure.term, "lease", "renewed", published, None, left_of_pause_s)
    business = Business("renew", now, tickets=state.waiting)
    return replace(state, business=business, waiting=()), [CreateEpoch(draft, now, left_s)]


def _draft(
    state: Election,
    number: int,
    term: int,
    kind: str,
    cause: Cause,
    published: Published | None,
    heir: str | None,
    pause_s: float,
) -> Draft:
    previous = state.head.mark if state.head is not None else ""
    # Whoever leads next has this view and no newer one for a while: it must not take us for an heir if we are none.
    view = standing_of(state.view, state.seat.node, state.standing) if kind == "release" else state.view
    return Draft(number, term, kind, cause, previous, state.control, heir, published, view, pause_s)


def _won(state: Election, seen: Seen, now: Instant) -> Stepped:
    """A claim is ours. It makes a tenure only while its own lease, and for a renewal the one before it, still runs."""
    business, tenure, record = state.business, state.tenure, seen.record
    assert business is not None
    assert record is not None
    state = replace(state, business=None, head=seen, looked=True, failures=0, from_=None, after_s=0.0)
    state = replace(state, misses=0, hits=0, turn_checked=False, published=record.published, hint=None)
    paused = pause_of(seen)
    # Counted from before it was asked for, like the lease: what is written next never promises more than this did.
    state = replace(state, pause=None if paused is None else Pause(business.since, paused.for_s))
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


def _not_won(state: Election, event: ClaimLost | ClaimUnknown | ClaimRefused | ClaimOrphaned, now: Instant) -> Stepped:
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
        return replace(failed(state, now), waiting=(*business.tickets, *state.waiting)), actions
    actions += [SettlePublish(p.ticket, None, refused=known) for p in business.tickets]
    if business.kind == "renew" and state.tenure is not None:
        reason = Reason.STORE_UNREACHABLE if isinstance(event, ClaimUnknown) else Reason.TAKEN_OVER
        state, ended = end(state, reason)
        actions += ended
    if business.kind == "take":
        actions.append(NoteElectionLost())
    if isinstance(event, ClaimLost) and event.seen is not None:
        state, more = adopt(replace(state, failures=0), event.seen, polled=False)
        return state, actions + more
    if isinstance(event, ClaimOrphaned | ClaimLost):
        return replace(state, looked=False, failures=0), actions
    state = failed(state, now)
    return (replace(state, looked=False) if isinstance(event, ClaimUnknown) else state), actions
