"""Hints: someone says that there is news. All that comes of it is a read, and not often where nothing is found (16)."""

from __future__ import annotations

from msgspec.structs import replace

from holocron.clock import Instant, elapsed_waiter_s
from holocron.protocol.messages import Hinted
from holocron.protocol.state import Election

__all__ = ["MOST_WASTED", "heard", "heeds", "wasted"]

# How many reads for hints may find nothing until the rest of a round is for polls alone.
MOST_WASTED = 2


def heeds(state: Election, hint: Hinted, now: Instant) -> bool:
    """Whether this node would read for `hint`: it follows, the store answers it, and the hint may yet be true."""
    if state.stopped or state.tenure is not None or state.failures:
        return False
    known = state.head.epoch if state.head is not None else 0
    return hint.epoch > known and (state.wasted < MOST_WASTED or _window_over(state, now))


def heard(state: Election, hint: Hinted, now: Instant) -> Election:
    """The state after a hint; it is remembered until this node has looked, for a read under way may be older."""
    if not heeds(state, hint, now):
        return state
    if state.hint is not None:
        hint = Hinted(max(hint.epoch, state.hint.epoch))
    return replace(state, hint=hint)


def wasted(state: Election, now: Instant) -> Election:
    """The state after a read for a hint that found nothing: forged, or from a time that was rolled back."""
    if _window_over(state, now):
        return replace(state, wasted=1, wasted_since=now)
    return replace(state, wasted=state.wasted + 1)


def _window_over(state: Election, now: Instant) -> bool:
    since = state.wasted_since
    return since is None or elapsed_waiter_s(since, now) >= state.rules.renew_every_s
