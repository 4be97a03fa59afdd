"""Asking again: the only place where a request is repeated.

The SDKs underneath never retry (a hidden retry turns our own success into a 412). Here tenacity says when and how
long to wait; the waiting itself is a step that the procedure yields, so the same retries run in a simulation.
"""

from __future__ import annotations

from holocron.store.base import (
    OUT_OF_TIME,
    Answer,
    Ask,
    Conflict,
    Deadline,
    Denied,
    Pause,
    Procedure,
    Put,
    Reply,
    Request,
    Store,
    Unclear,
)

__all__ = ["ask", "asked"]

# The first wait, doubled each time up to the last; whoever drives spreads each over its upper half.
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 1.0


def ask(store: Store, request: Request, deadline: Deadline) -> Procedure[Reply]:
    """The reply to `request`, asked again while the answer is `Unclear` or `Conflict` and time remains.

    Nothing is sent once `deadline` is over, not even a first time, and no attempt is allowed more than what is left.

    The very same bytes are sent each time. For a `Put` the last answer alone does not tell what happened: a `Clash`
    may be with our own earlier attempt (`chain` and `register` read back), and an `Unclear(sent=True)` says that
    some attempt may have been applied, even where the last one was refused or certainly never left.
    """
    told = yield Ask(store, request, deadline)
    if not _transient(told.answer):
        return told
    return (yield from _again(store, request, deadline, told))


def _again(store: Store, request: Request, deadline: Deadline, first: Reply) -> Procedure[Reply]:
    """As `ask`, from the moment when the first attempt was told `first`, which is nothing to go by."""
    # Imported here because few requests come this far, and a process that none of does is there sooner.
    import tenacity

    reply = told = first
    left_s = deadline.left_s(told.now)
    pauses: list[float] = []
    maybe_applied = False
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_result(_transient),
        wait=tenacity.wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LAST_PAUSE_S),
        stop=lambda state: left_s <= state.upcoming_sleep,  # noqa: B023 - it is the newest value that is wanted
        sleep=pauses.append,
        retry_error_callback=lambda state: None,
    ):
        if pauses:
            pause_s = pauses.pop()
            yield Pause(pause_s / 2, pause_s)
            told = yield Ask(store, request, deadline)
            left_s = deadline.left_s(told.now)
            if told.answer != OUT_OF_TIME:
                # What went wrong before time ran out says more than that it did.
                reply = told
        answer = reply.answer
        maybe_applied = maybe_applied or (isinstance(answer, Unclear) and answer.sent)
        attempt.retry_state.set_result(answer)
    if maybe_applied and isinstance(request, Put) and isinstance(reply.answer, Unclear | Conflict | Denied):
        # Whatever the last attempt was told, an earlier one may have been applied (I10).
        error = "another write was under way" if isinstance(reply.answer, Conflict) else reply.answer.error
        reply = Reply(Unclear(error, sent=True), reply.asked, reply.now)
    return reply


def asked(store: Store, request: Request, deadline: Deadline) -> Procedure[Answer]:
    """As `ask`, for callers that want the answer alone."""
    reply = yield from ask(store, request, deadline)
    assert reply.answer is not None  # only a Pause or a Together is replied to without an answer
    return reply.answer


def _transient(answer: object) -> bool:
    return isinstance(answer, Unclear | Conflict)
