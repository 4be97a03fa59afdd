"""How a part in the election ends: a tenure, or all of it (rules 6 and 13)."""

from __future__ import annotations

from msgspec.structs import replace

from holocron.protocol.messages import Action, NoteReleased, NoteStopped, NoteTenureEnded, Reason, SettlePublish
from holocron.protocol.state import Election

__all__ = ["Stepped", "end", "stop"]

Stepped = tuple[Election, list[Action]]


def end(state: Election, reason: Reason) -> Stepped:
    """Leadership is over; what waited to be published was never sent and never will be."""
    assert state.tenure is not None
    actions: list[Action] = [NoteTenureEnded(state.tenure, reason)]
    actions += [SettlePublish(p.ticket, None, refused=True) for p in state.waiting]
    if state.releasing and reason is not Reason.RELEASED:
        actions.append(NoteReleased(None))
    state = replace(state, tenure=None, waiting=(), releasing=False, heir=None, from_=None, after_s=0.0, failures=0)
    return state, actions


def stop(state: Election, reason: Reason, why: str) -> Stepped:
    """No further part in this election: nothing is sent any more, and what is in flight cannot be believed."""
    actions: list[Action] = []
    if state.tenure is not None:
        state, actions = end(state, reason)
    if state.business is not None:
        actions += [SettlePublish(p.ticket, None) for p in state.business.tickets]
        if state.business.kind == "release":
            actions.append(NoteReleased(None))
    return replace(state, stopped=True, business=None), [*actions, NoteStopped(reason, why)]
