"""Variants of the shipped code that are broken on purpose: an explorer that does not catch them is blind.

Each names the world in which it is caught and the invariant that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holocron.clock import Instant, stamp
from holocron.protocol import election
from holocron.protocol.election import Election
from holocron.protocol.guarding import Charge, release_after
from holocron.protocol.messages import (
    Action,
    ClaimWon,
    CreateEpoch,
    Event,
    HeadConfirmed,
    LookForHead,
    NoteTenureRenewed,
    SettlePublish,
    Tenure,
)
from holocron.records import Epoch, decode, encode
from holocron.store.base import Absent, Deadline, Delete, Found, Procedure
from holocron.store.chain import (
    Chain,
    Created,
    Dishonest,
    FloorRead,
    Head,
    Lost,
    NoHead,
    Outcome,
    Refused,
    Trouble,
    Unknown,
)
from holocron.store.retry import asked
from tests.model.bounds import Bounds, Budget
from tests.model.subject import RULES, SHIPPED, Subject

__all__ = ["BROKEN"]

Stepped = tuple[Election, tuple[Action, ...]]


def counted_from_the_answer(state: Election, event: Event, now: Instant) -> Stepped:
    """Rule 2 broken: a lease is counted from when the win was heard of."""
    if isinstance(event, ClaimWon) and state.business is not None:
        state = replace(state, business=replace(state.business, since=now))
    return election.step(state, event, now)


def acknowledged_before_the_win(state: Election, event: Event, now: Instant) -> Stepped:
    """I2 broken: what was asked to be published is acknowledged when it is sent."""
    state, actions = election.step(state, event, now)
    early: list[Action] = []
    for action in actions:
        early.append(action)
        if isinstance(action, CreateEpoch) and state.business is not None:
            early += [SettlePublish(each.ticket, action.draft.epoch) for each in state.business.tickets]
    return state, tuple(early)


def without_a_list(state: Election, event: Event, now: Instant) -> Stepped:
    """Rule 7 broken: a takeover goes ahead without the LIST that shows N to be the head."""
    state, actions = election.step(state, event, now)
    if any(isinstance(action, LookForHead) for action in actions) and state.head is not None and state.looked:
        state, more = election.step(state, HeadConfirmed(now), now)
        return state, (*(action for action in actions if not isinstance(action, LookForHead)), *more)
    return state, actions


def late_renewal_keeps_its_term(state: Election, event: Event, now: Instant) -> Stepped:
    """Rule 6 broken: a renewal that is confirmed after the deadline goes on with the tenure that had lapsed."""
    business = state.business
    if isinstance(event, ClaimWon) and business is not None and business.kind == "renew" and state.tenure is None:
        record = event.seen.record
        assert record is not None
        mine = Tenure(record.term, record.epoch, now, state.rules.belief_s)
        after = replace(state, business=None, head=event.seen, tenure=mine, from_=None)
        return after, (NoteTenureRenewed(mine),)
    return election.step(state, event, now)


def follows_its_own_ttl(state: Election, event: Event, now: Instant) -> Stepped:
    """Rule 3 broken: a follower waits out its own, shorter ttl and not the one in the record."""
    seen = getattr(event, "seen", None)
    if seen is not None and seen.record is not None and seen.record.leader.session != state.seat.session:
        event = _with_seen(event, replace(seen, record=replace(seen.record, ttl_ms=3000)))
    return election.step(state, event, now)


def inherits_its_lease(state: Election, event: Event, now: Instant) -> Stepped:
    """Rule 11 broken: a resumed node takes the lease of its former self for its own."""
    seen = getattr(event, "seen", None)
    if seen is not None and seen.record is not None and seen.record.leader.node == state.seat.node:
        leader = replace(seen.record.leader, session=state.seat.session)
        event = _with_seen(event, replace(seen, record=replace(seen.record, leader=leader)))
    return election.step(state, event, now)


def _with_seen(event: Any, seen: Any) -> Any:
    return replace(event, seen=seen)


def monotonic_holder(tenure: Tenure | None, now: Instant) -> bool:
    """Rule 4 broken: the holder asks MONOTONIC, which stands still while the machine sleeps."""
    return tenure is not None and 0 <= now.mono_s - tenure.since.mono_s < tenure.belief_s


def boottime_holder(tenure: Tenure | None, now: Instant) -> bool:
    """Rule 4 broken: the holder asks BOOTTIME alone, which stands still in a snapshot of the machine."""
    return tenure is not None and 0 <= now.boot_s - tenure.since.boot_s < tenure.belief_s


class NoFloorAfterWin(Chain):
    """Rule 7 broken: a win counts without the floor having been read after it."""

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        chain = Chain(self.store, self.prefix, None, self.cluster, self.suffix)
        return (yield from chain.create(number, body, deadline, there))


class BelievesClashes(Chain):
    """The table of outcomes broken: a 412 is believed without a look at the nonce that stands there."""

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        outcome = yield from super().create(number, body, deadline, there)
        return Created(number, 1) if isinstance(outcome, Lost) else outcome


class AbsentIsHead(Chain):
    """Rule 7 broken: a 404 on the next number is taken for the proof that this one is the head."""

    def head(self, known: int | None, deadline: Deadline) -> Procedure[Head | NoHead | Trouble | Dishonest]:
        if known is None:
            return (yield from super().head(known, deadline))
        reply = yield from self.read(known + 1, deadline)
        if isinstance(reply.answer, Absent):
            return Head(known, known)
        return (yield from super().head(known, deadline))


class NeverTrimmed(Chain):
    """Rule 7 broken: whatever is read is news, even what was trimmed and created again by a sleeper."""

    def trimmed(self, number: int, deadline: Deadline) -> Procedure[bool | Trouble | Dishonest]:
        return False
        yield


class DeletesFirst(Chain):
    """Rule 12 broken: objects go first, and then the floor rises."""

    def trim(self, below: int, nonce: str, deadline: Deadline) -> Procedure[int | Trouble | Dishonest]:
        for number in range(1, below):
            yield from asked(self.store, Delete(self.key(number)), deadline)
        raised = yield from self.raise_floor(below, nonce, deadline)
        return below if isinstance(raised, FloorRead) else raised


class DeletesHead(Chain):
    """Rule 12 broken: retention goes one too far, and takes the head."""

    def trim(self, below: int, nonce: str, deadline: Deadline) -> Procedure[int | Trouble | Dishonest]:
        return (yield from super().trim(below + 1, nonce, deadline))


class UnknownIsRefused(Chain):
    """I10 broken: a creation whose outcome nobody can tell is called refused, and so is the value in it."""

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        outcome = yield from super().create(number, body, deadline, there)
        return Refused(outcome.error) if isinstance(outcome, Unknown) else outcome


def releases_whoever_leads(
    chain: Chain, charge: Charge, now: Callable[[], Instant], nonce: Callable[[], str], deadline: Deadline
) -> Procedure[None]:
    """Rule 15 broken: a guardian releases whatever lease it finds, whoever holds it by now."""
    number, answer = charge.epoch, (yield from chain.read(charge.epoch, deadline)).answer
    while isinstance(answer, Found):
        held = decode(Epoch, answer.body, chain.key(number), chain.cluster)
        if held.kind == "release":
            return
        record = release_after(held, nonce(), stamp(now().wall_s))
        outcome = yield from chain.create(record.epoch, encode(record), deadline)
        if not isinstance(outcome, Lost):
            return
        number, answer = record.epoch, outcome.found


def _with(**changes: Any) -> Subject:
    return replace(SHIPPED, **changes)


_STOPPED = Bounds("a stopped process", slack=0, epochs=3, budget=Budget(stopped=1))
_ASLEEP = Bounds("a sleeping machine", slack=0, epochs=3, budget=Budget(asleep=1))
_RETENTION = Bounds("retention", slack=0, epochs=3, budget=Budget(trimmed=1))
_TRIMMED = Bounds("retention and a sleeper", slack=0, budget=Budget(stopped=1, trimmed=1))

#: name: the subject, the world, and how the complaint begins.
BROKEN: dict[str, tuple[Subject, Bounds, str]] = {
    "counted from the answer": (_with(step=counted_from_the_answer), _STOPPED, "I1"),
    "acknowledged before the win": (
        _with(step=acknowledged_before_the_win),
        Bounds("a value", slack=0, epochs=3, budget=Budget(published=1)),
        "I2",
    ),
    "takeover without a list": (_with(step=without_a_list), _STOPPED, "rule 7"),
    "late renewal keeps its term": (_with(step=late_renewal_keeps_its_term), _STOPPED, "I6"),
    "follower's own ttl": (_with(step=follows_its_own_ttl), _STOPPED, "I8"),
    "lease inherited at resume": (
        _with(step=inherits_its_lease),
        Bounds("a former self lives on", slack=0, epochs=3, budget=Budget(usurped=1)),
        "I8",
    ),
    "no margin under drift": (
        _with(rules=replace(RULES, belief_s=RULES.ttl_s)),
        Bounds("clocks that run apart", slack=0, epochs=3, budget=Budget(stopped=1, skewed=1)),
        "I1",
    ),
    "MONOTONIC for the holder": (_with(believes=monotonic_holder), _ASLEEP, "I1"),
    "BOOTTIME alone for the holder": (_with(believes=boottime_holder), _ASLEEP, "I1"),
    "no floor read after a win": (_with(chain=NoFloorAfterWin), _TRIMMED, "I3"),
    "412 believed without the nonce": (_with(chain=BelievesClashes), Bounds("two at once", slack=0, epochs=2), "I3"),
    "404 taken for the head": (_with(chain=AbsentIsHead), _TRIMMED, "rule 7"),
    "a sleeper's epoch read as news": (
        _with(chain=NeverTrimmed),
        Bounds("late writes and retention", slack=0, epochs=3, budget=Budget(crash=1, late=1, trimmed=1)),
        "rule 13",
    ),
    "floor raised after deleting": (
        _with(chain=DeletesFirst),
        Bounds("retention", budget=Budget(trimmed=1), slack=0),
        "I4",
    ),
    "retention deletes the head": (
        _with(chain=DeletesHead),
        Bounds("retention", budget=Budget(trimmed=1), slack=0),
        "I4",
    ),
    "a guardian releases whoever leads": (
        _with(release=releases_whoever_leads),
        Bounds("a guardian", slack=0, led=True, guarded=True, budget=Budget(crash=1)),
        "I1",
    ),
    "an unknown outcome called refused": (
        _with(chain=UnknownIsRefused),
        Bounds("a value under way", nodes=2, slack=0, epochs=3, budget=Budget(lost=3, published=1, stopped=1)),
        "I10",
    ),
}
