"""A path through the states as people read it: who did what, when, one line each."""

from __future__ import annotations

from typing import Any

from holocron.layout import EPOCH_FLOOR, EPOCHS, number_of
from holocron.store.base import Answer, Delete, Found, Get, List, Listed, Put, Request
from tests.model.bucket import record_of
from tests.model.process import Move
from tests.model.state import NAMES, Dead, Guardian, Heard, Part, Process
from tests.model.world import FORMER, KEEPER, World

__all__ = ["transcript"]

_SLEEPS = {
    "stopped": "is stopped",
    "suspended": "is suspended with its machine",
    "snapshot": "stands still in a snapshot of its machine",
}


def transcript(world: World, path: tuple[int, ...], wrong: str | None = None) -> list[str]:
    """`path` in words, nodes keeping their names throughout; then what is wrong at its end."""
    lines = ["  0  one node leads by epoch 1, and everyone knows"] if world.bounds.led else []
    tick = 0
    with world.names_kept():
        here = world.first()
        for target in path[1:]:
            after, said, slot, what = next(found for found in world.successors(here) if world.alike(found[0], target))
            if isinstance(what, str) and what.endswith("tick"):
                tick += 1
            lines.append(f"{tick:>3}  {_line(world, here, after, slot, what)}")
            wrong = said or wrong
            here = after
    if wrong is not None:
        lines.append(f"     => {wrong}")
    return [_named(line) for line in lines]


def _named(line: str) -> str:
    for name, letter in zip(NAMES, "abc", strict=True):
        line = line.replace(f"{name}-", letter).replace(name, letter)
    return line


def _line(world: World, here: int, after: int, slot: int, what: Any) -> str:
    before, then = (world.part(here, slot), world.part(after, slot)) if slot >= 0 else (None, None)
    who = _who(before or then, slot)
    if isinstance(what, Move):
        return f"{who} {_moved(what, before)}{_following(before, then)}"
    if what == "write":
        call = getattr(before, "call", None)
        answered = getattr(then, "call", None)
        return f"{who}'s {_request(call.request)} takes effect: {_answer(answered.answers[0])}"  # type: ignore[union-attr]
    if what == "tick":
        return "a tick passes" + _lapsed(world, here, after)
    if isinstance(what, str) and what.endswith("tick"):
        how = "for everyone but" if what.startswith("slow") else "only for"
        return f"a tick passes {how} {who}" + _lapsed(world, here, after)
    if what == "usurped":
        return f"{who} is resumed as {_who(then, slot)} while its former self lives on{_following(None, then)}"
    if what == "trim":
        below = then.call.number if then is not None and not isinstance(then, Dead) and then.call else "?"
        return f"retention begins to take out what is below {below}{_following(None, then)}"
    return f"a late {_request(what)} lands"


def _who(part: Part | None, slot: int) -> str:
    if slot == KEEPER:
        return "retention"
    if isinstance(part, Process):
        return part.election.seat.session + (" (the former self)" if slot == FORMER else "")
    if isinstance(part, Guardian):
        return f"the guardian of {part.call.charge.session}" if part.call.charge is not None else "a guardian"
    return f"node {part.node}" if isinstance(part, Dead) else "nobody"


def _moved(move: Move, before: Part | None) -> str:
    call = None if before is None or isinstance(before, Dead) else before.call
    asked = _request(call.request) if call is not None and call.request is not None else "its request"
    match move.kind:
        case "told":
            assert move.heard is not None
            return f"is told of its {asked}: {_answer(move.heard)}"
        case "lost":
            return f"never hears of its {asked}"
        case "late":
            return f"gives up its {asked}, which is still under way"
        case "paused":
            return "has waited a little"
        case "tick":
            return "looks at the clock"
        case "resume":
            return f"is resumed, knowing of epoch {move.detail}" if move.detail else "is resumed, knowing of no epoch"
        case "crash":
            left = ", and leaves its guardian behind" if move.guardian is not None else ""
            return "crashes" + (f", its {asked} still under way" if move.late is not None else "") + left
        case "superseded":
            return "finds that a newer incarnation has taken its place, and stops"
        case "wake":
            return "wakes"
        case "publish":
            return f"is asked to publish {move.detail}"
        case "release":
            return "is asked to release" + (f" to {move.detail}" if move.detail else "")
    return _SLEEPS[move.kind]


def _following(before: Part | None, then: Part | None) -> str:
    """What a move leads to: a tenure, the end of one, the next request."""
    said = ""
    if isinstance(then, Process):
        was = before.election.tenure if isinstance(before, Process) else None
        now = then.election.tenure
        if now is not None and (was is None or was.epoch != now.epoch):
            said += f"; leads in term {now.term} by epoch {now.epoch}"
        elif now is None and was is not None:
            said += "; leads no more"
    had = None if before is None or isinstance(before, Dead) else before.call
    has = None if then is None or isinstance(then, Dead) else then.call
    if (
        has is not None
        and has.request is not None
        and (had is None or (has.heard, has.request) != (had.heard, had.request))
    ):
        said += f"; sends {_request(has.request)}"
    return said


def _lapsed(world: World, here: int, after: int) -> str:
    """Who stopped believing because of the hour alone."""
    names = []
    for slot in range(4):
        part = world.part(here, slot)
        if world.members.believes(part) and not world.members.believes(world.part(after, slot)):
            names.append(_who(part, slot))
    return f"; {' and '.join(names)} no longer believe{'s' if len(names) == 1 else ''}" if names else ""


def _request(request: Request) -> str:
    match request:
        case List(after=after):
            known = number_of(EPOCHS, after) if after is not None else None
            return f"LIST after {known or 0}"
        case Get(key=key):
            return "GET floor" if key == EPOCH_FLOOR else f"GET epoch {number_of(EPOCHS, key)}"
        case Put(key=key, body=body):
            if key == EPOCH_FLOOR:
                return "PUT floor"
            record = record_of(body)
            return f"PUT epoch {record.epoch} ({record.kind}, term {record.term}, {record.cause})"
        case Delete(key=key):
            return f"DELETE epoch {number_of(EPOCHS, key)}"
    raise AssertionError(f"{request} is no request")


def _answer(heard: Heard) -> str:
    answer: Answer | None = heard.answer
    match answer:
        case Listed(entries=entries):
            return "epochs " + ", ".join(str(number_of(EPOCHS, entry.key)) for entry in entries) if entries else "none"
        case Found(body=body) if b'"leader"' in body:
            record = record_of(body)
            return f"{record.leader.session} holds it ({record.kind}, term {record.term})"
        case Found(body=body):
            return "the floor is " + body.decode().split('"floor":')[1].split("\n")[0].strip(" ,")
    return heard.kind.lower()
