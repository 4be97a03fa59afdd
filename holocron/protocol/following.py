"""Keeping up with the head of the chain: what follows from a read that found an epoch, or none (rule 10, I7)."""

from __future__ import annotations

from msgspec.structs import replace

from holocron.clock import Instant, elapsed_waiter_s
from holocron.protocol.endings import Stepped, stop
from holocron.protocol.hinting import wasted
from holocron.protocol.messages import HeadChanged, NextAbsent, Reason, Seen
from holocron.protocol.state import Election, Pause
from holocron.protocol.turns import spread, turn_has_come
from holocron.records import Epoch

__all__ = ["adopt", "early_s", "failed", "missed", "pause_of", "record_unread", "smooth"]

# What `Settings` allow at the least.
_SHORTEST_ROUND_MS = 50


def missed(state: Election, event: NextAbsent, now: Instant) -> Election:
    """Rule 10: nothing new yet; the next poll comes sooner than a round, and later where the lease is long over."""
    every_s = _cadence_s(state)
    state = replace(state, turn_checked=state.turn_checked or turn_has_come(state, event.asked))
    if state.business is not None and state.business.hint is not None:
        # Rule 16: what was said was not so, and the polls go on as if nobody had said it.
        return wasted(replace(state, business=None, failures=0, trip_s=smooth(state, event.took_s)), now)
    if state.hits >= 5 and state.misses == 0:
        # This poll only read on after a hit: it has proved us up to date, and the next epoch is due in its time.
        return replace(state, business=None, failures=0, hits=0, from_=event.asked, after_s=every_s * 30 / 32)
    misses = state.misses + 1
    return replace(
        state,
        business=None,
        failures=0,
        misses=misses,
        hits=0,
        from_=now,
        after_s=every_s / 8 if misses <= 4 else every_s / 4 if misses <= 16 else every_s,
        trip_s=smooth(state, event.took_s),
    )


def _cadence_s(state: Election) -> float:
    """How often the leader of the head renews, as its own record says."""
    record = state.head.record if state.head is not None else None
    return record.renew_ms / 1000 if record is not None else state.rules.renew_every_s


def smooth(state: Election, took_s: float) -> float:
    """The usual round trip to the store, after one more that took `took_s`."""
    if took_s <= 0:
        return state.trip_s
    return took_s if state.trip_s == 0 else 0.8 * state.trip_s + 0.2 * took_s


def failed(state: Election, now: Instant) -> Election:
    """The store did not answer: try again, ever less often, spread by node so that a crowd does not come at once."""
    failures = min(state.failures + 1, 16)
    pause_s = min(0.05 * 2**failures, state.rules.renew_every_s) * (0.75 + spread(state) % 64 / 128)
    return replace(state, business=None, failures=failures, from_=now, after_s=pause_s)


def adopt(state: Election, seen: Seen, polled: bool, early_s: float = 0.0) -> Stepped:
    """Take `seen` for the head, unless that would be a step back (I7) or its record is not one that could follow.

    Args:
        polled: whether it was looked for as the one after the head.
        early_s: for how long the poll that would have found it was not due yet, where a hint was sooner.
    """
    head = state.head
    if head is not None:
        if seen.epoch < head.epoch:
            why = f"epoch {head.epoch} was the head and epoch {seen.epoch} is now: the store was rolled back"
            return stop(state, Reason.STORE_DISHONEST, why)
        if seen.epoch == head.epoch + 1 and seen.record is not None and seen.record.previous != head.mark:
            why = f"epoch {seen.epoch} follows another epoch {head.epoch} than the one seen: history was rewritten"
            return stop(state, Reason.STORE_DISHONEST, why)
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
    hits = state.hits if early_s else state.hits + 1
    if not regular:
        # The leader's beat is not known (yet, or no longer): poll often until it is found.
        after_s = every_s / 4
    elif early_s:
        # Rule 16: the next poll comes when it would have come without the hint.
        after_s = min(early_s, every_s) + every_s * 31 / 32
    elif hits >= 5:
        # Read on until a 404 says that there is nothing newer (rule 10).
        after_s = 0.0
    else:
        # Creep towards the beat: a poll that comes a little early each round misses once in a while, and that
        # miss is the proof of being up to date.
        after_s = every_s * 31 / 32
    if head is not None and record is not None and record.kind == "lease" and _of_former_self(state, record):
        # Rule 11: it was vouched that this one is dead, and it has come forward since.
        state = replace(state, rules=replace(state.rules, assume_dead=False))
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
        published=record.published if record is not None else seen.carried or state.published,
        pause=pause_of(seen) if record is not None else state.pause,
        view=record.topology if record is not None and state.tenure is None else state.view,
    )
    return state, [HeadChanged(seen)]


def _of_former_self(state: Election, record: Epoch) -> bool:
    leader = record.leader
    return leader.node == state.seat.node and leader.incarnation < state.seat.incarnation


def early_s(state: Election, now: Instant) -> float:
    """For how long the next poll is not due at `now`, where the read under way is one for a hint; else 0 (rule 16)."""
    if state.business is None or state.business.hint is None or state.from_ is None:
        return 0.0
    return max(0.0, state.after_s - elapsed_waiter_s(state.from_, now))


def pause_of(seen: Seen) -> Pause | None:
    """The pause that an epoch carries, counted from the end of our read of it like its lease (rule 14)."""
    if seen.record is None or not isinstance(seen.record.paused_ms, int):
        return None
    return Pause(seen.read, seen.record.paused_ms / 1000)


def record_unread(seen: Seen) -> Seen:
    """`seen` as held by someone we cannot read."""
    return replace(seen, record=None, credit_s=0.0)


def _plausible(state: Election, head: Seen | None, record: Epoch) -> bool:
    """Whether a record that decodes could have been written by the rules; if not, it is one that we cannot read."""
    known = head.record.term if head is not None and head.record is not None else 0
    # Others poll by the round and wait for an heir by it: no settings make it a hail of requests, or outlast the ttl.
    paced = _SHORTEST_ROUND_MS <= record.renew_ms <= record.ttl_ms
    return known <= record.term <= record.epoch and record.ttl_ms / 1000 <= state.rules.ttl_max_s and paced
