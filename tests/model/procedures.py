"""The procedures that ship, driven answer by answer.

A generator cannot be copied, and an explorer goes back to every state. So a procedure under way is kept as the replies
it was given, and is driven afresh through them whenever it is given one more; it must therefore be a function of them,
which it is, for its time, its nonces and its requests all come from here.
"""

from __future__ import annotations

import itertools

from msgspec.structs import replace

from holocron.clock import Instant
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.protocol.election import Seat
from holocron.protocol.messages import Event
from holocron.records import Holder, Identity
from holocron.runtime.asking import EpochChain, Reach
from holocron.store.base import (
    OUT_OF_TIME,
    Ask,
    Deadline,
    Delete,
    Found,
    Get,
    Pause,
    Procedure,
    Put,
    Reply,
    Request,
    Step,
    Store,
    Together,
)
from tests.model.bucket import CLUSTER
from tests.model.state import NOW, Call, Heard
from tests.model.subject import Subject

__all__ = ["Ended", "continued", "identity_of"]


class _Frame:
    """The world and the store that a procedure is given: it tells the time and the nonce, and does nothing."""

    uri = "model://"

    def __init__(self, instant: Instant, nonce: str) -> None:
        self.instant = instant
        self._nonce = nonce

    def now(self) -> Instant:
        return self.instant

    def nonce(self) -> str:
        return self._nonce

    def close(self) -> None:
        pass

    def uniform(self, low: float, high: float) -> float:
        raise AssertionError("a procedure leaves it to its driver to wait")

    def perform(self, *_: object) -> None:
        raise AssertionError("a procedure leaves it to its driver to ask")

    def call_later(self, *_: object) -> None:
        raise AssertionError("a procedure leaves it to its driver to wait")


class Ended:
    """The procedure is done: what came of it, and what its node knows of the floor from now on."""

    def __init__(self, result: object, floor: int) -> None:
        self.result = result
        self.floor = floor


def identity_of(seat: Seat) -> Identity:
    """The identity of the node in this seat, with nothing in it that does not matter here."""
    return Identity(
        cluster=CLUSTER, nonce="i", node=seat.node, incarnation=seat.incarnation, session=seat.session,
        cluster_uri="model://", name="", address="", labels={}, priority=seat.priority,
        holder=Holder(host="", pid=0, since=""), created="",
    )  # fmt: skip


def continued(
    subject: Subject, call: Call, heard: Heard | None, seat: Seat | None, floor: int, hint: int | None
) -> Call | Ended:
    """`call` when the step under way is replied to with `heard` (None: it only begins), up to its next step."""
    while True:
        frame, begun, chains = _begun(subject, call, seat, floor, hint)
        procedure = _in_turn(begun, frame)
        try:
            step = next(procedure)
            for before in call.heard:
                # Of the hour of most replies it can only matter whether time was left.
                told_at = call.since if before.in_time else replace(NOW, boot_s=1e9)
                frame.instant = told_at if before.at is None else before.at
                step = procedure.send(Reply(before.answer, frame.instant, frame.instant))
            if heard is not None:
                frame.instant = NOW
                in_time = step.deadline.left_s(NOW) > 0 if isinstance(step, Ask) else True
                at = NOW if call.kind != "create" and _shows_epoch(step, heard) else None
                call = replace(call, heard=(*call.heard, Heard(heard.kind, heard.answer, in_time, at)))
                step = procedure.send(Reply(heard.answer, NOW, NOW))
        except StopIteration as stop:
            return Ended(stop.value, chains.floor if chains is not None else floor)
        if isinstance(step, Pause):
            return replace(call, stage="pausing", request=None, answers=())
        assert isinstance(step, Ask)
        if step.deadline.allows_s(NOW) > 0:
            return replace(call, stage=_stage(step.request), request=step.request, answers=())
        heard = Heard("OutOfTime", OUT_OF_TIME)


def _in_turn(procedure: Procedure[object], frame: _Frame) -> Procedure[object]:
    """`procedure`, with what it does side by side done one after the other, in the order in which it names it."""
    try:
        step = next(procedure)
        while True:
            if isinstance(step, Together):
                results: list[object] = []
                for each in step.procedures:
                    results.append((yield from _in_turn(each, frame)))
                step = procedure.send(Reply(None, frame.instant, frame.instant, tuple(results)))
            else:
                step = procedure.send((yield step))
    except StopIteration as stop:
        return stop.value


def _shows_epoch(step: Step, heard: Heard) -> bool:
    shown = isinstance(step, Ask) and isinstance(step.request, Get) and step.request.key.startswith(EPOCHS)
    return shown and isinstance(heard.answer, Found)


def _stage(request: Request) -> str:
    return "sent" if isinstance(request, Put | Delete) else "reading"


def _begun(
    subject: Subject, call: Call, seat: Seat | None, floor: int, hint: int | None
) -> tuple[_Frame, Procedure[object], EpochChain | None]:
    if call.kind == "trim":
        frame = _Frame(NOW, f"trim-{call.serial}")
        chain = subject.chain(_store(frame), EPOCHS, EPOCH_FLOOR, CLUSTER)
        assert call.number is not None
        return frame, chain.trim(call.number, f"trim-{call.serial}", Deadline(NOW, 600.0, 600.0)), None
    if call.kind == "guard":
        assert call.charge is not None
        frame = _Frame(NOW, "")
        chain = subject.chain(_store(frame), EPOCHS, EPOCH_FLOOR, CLUSTER)
        session, tries = call.charge.session, itertools.count()
        deadline = Deadline(NOW, 600.0, 600.0)
        released = subject.release(chain, call.charge, frame.now, lambda: f"{session}-guard-{next(tries)}", deadline)
        return frame, released, None
    assert seat is not None
    # The text of a record says when it was written; the same call must write the same text whenever it is driven.
    began = NOW if call.kind == "create" else call.since
    number = call.draft.epoch if call.draft is not None else 0
    frame = _Frame(began, f"{seat.session}-{number}-{call.serial}")
    reach = Reach(lambda _: None)
    chains = subject.asking(frame, _store(frame), identity_of(seat), subject.settings, reach, hint)
    chains.chain = subject.chain(_store(frame), EPOCHS, EPOCH_FLOOR, CLUSTER)
    chains.floor = floor
    if call.kind == "look":
        return frame, chains.look(call.number, call.since), chains
    if call.kind == "poll":
        assert call.number is not None
        return frame, chains.poll(call.number, call.since), chains
    assert call.draft is not None
    deadline = Deadline(call.since, call.within_s, call.within_s)
    procedure: Procedure[Event] = chains.create(call.draft, deadline)
    return frame, procedure, chains


def _store(frame: _Frame) -> Store:
    return frame  # type: ignore[return-value]
