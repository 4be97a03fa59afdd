"""A path through a journal's states as people read it: who did what, one line each."""

from __future__ import annotations

import itertools

from holocron.layout import number_of
from holocron.records import Floor, decode
from holocron.store.base import Answer, Delete, Found, Get, List, Listed, Put, Request
from tests.model.journal_bucket import CHECKPOINTS, CLUSTER, FLOOR, SLOTS, checkpoint_of, slot_of
from tests.model.journal_parts import Acked, Broken, Finding, Replayed
from tests.model.journal_world import Happened, JournalWorld

__all__ = ["journal_transcript"]


def journal_transcript(world: JournalWorld, path: tuple[int, ...], wrong: str | None = None) -> list[str]:
    """`path` in words, and what is wrong at its end; entry 2b was the second that was handed in, to incarnation 2."""
    lines = []
    if world.bounds.begun is not None:
        wishes = [{"a": "appended an entry", "c": "taken a checkpoint"}[wish] for wish in world.bounds.begun]
        lines.append(f"incarnation 1 has opened its journal{''.join(f', {wish}' for wish in wishes)}")
    for here, target in itertools.pairwise(path):
        _, said, _, what = next(found for found in world.successors(here) if found[0] == target)
        lines.append(_line(world, here, target, what))
        wrong = said or wrong
    if wrong is not None:
        lines.append(f"     => {wrong}")
    return lines


def _line(world: JournalWorld, here: int, after: int, what: Happened) -> str:
    who = f"incarnation {what.whose}"
    asked = _request(what.requests[0]) if what.requests else ""
    if len(what.requests) > 1:
        asked = ", ".join(_request(request) for request in what.requests)
    took = f"{who}'s {asked} takes effect" if what.applied else f"{who}'s {asked} goes astray"
    match what.kind:
        case "told":
            assert what.heard is not None
            said = f"{who}'s {asked}: {', '.join(map(_answer, what.requests, what.heard.answers))}"
        case "lost":
            said = f"{took}, and no answer comes; it asks again"
        case "given up":
            said = f"{took}, and no answer comes in time" if _writes(what) else f"{who} never hears of its {asked}"
        case "late":
            again = "asks again" if what.heard is not None and what.heard.in_time else "gives up"
            said = f"{who}'s {asked} is still under way when it {again}"
        case "landed":
            said = f"a late {asked} lands" + ("" if what.applied else ", to no effect")
        case "append":
            said = f"{who} is handed {what.entry.decode()}"
        case "checkpoint":
            said = f"{who} begins a checkpoint of what is acknowledged"
        case "open":
            said = f"{who} begins to open its journal"
        case "crash":
            said = f"{who} crashes"
        case "resumed":
            said = f"the node is resumed: {who} begins to open its journal"
        case "usurped":
            said = f"the node is resumed while its former self lives on: {who} begins to open its journal"
        case "damaged":
            said = "the newest checkpoint is damaged"
        case _:
            said = f"{who}'s {asked} is answered: {what.kind}"
    sent = _sent(world, here, after, what)
    return said + (f"; sends {', '.join(sent)}" if sent else "") + "".join(f"; {_finding(f)}" for f in what.findings)


def _writes(what: Happened) -> bool:
    return any(isinstance(request, Put | Delete) for request in what.requests)


def _sent(world: JournalWorld, here: int, after: int, what: Happened) -> list[str]:
    """The requests that this led to."""
    if not what.whose:
        return []
    before, then = world.incarnation(here, what.whose - 1), world.incarnation(after, what.whose - 1)
    had = [(call.kind, call.batch, len(call.heard)) for call in before.calls] if before is not None else []
    calls = then.calls if then is not None else ()
    return [_request(r) for call in calls if (call.kind, call.batch, len(call.heard)) not in had for r in call.requests]


def _request(request: Request) -> str:
    match request:
        case List(prefix=prefix):
            return "LIST slots" if prefix == SLOTS else "LIST checkpoints"
        case Get(key=key):
            return f"GET {_name(key)}"
        case Delete(key=key):
            return f"DELETE {_name(key)}"
        case Put(key=key, body=body):
            return f"PUT {_name(key)} ({_body(key, body)})"
    raise AssertionError(f"{request} is no request")


def _name(key: str) -> str:
    slot, checkpoint = number_of(SLOTS, key, ""), number_of(CHECKPOINTS, key, "")
    if slot is not None:
        return f"slot {slot}"
    return f"checkpoint {checkpoint}" if checkpoint is not None else "floor" if key == FLOOR else key


def _body(key: str, body: bytes) -> str:
    slot, number = number_of(SLOTS, key, ""), number_of(CHECKPOINTS, key, "")
    if slot is not None:
        record = slot_of(slot, body)
        if record.kind == "fence":
            return f"incarnation {record.incarnation}'s fence"
        return f"incarnation {record.incarnation}'s {b', '.join(record.entries).decode()} from position {record.first}"
    if number is not None:
        checkpoint = checkpoint_of(number, body)
        return f"up to position {checkpoint.position}" if checkpoint is not None else "damaged"
    return str(decode(Floor, body, key, CLUSTER).floor) if key == FLOOR else "something"


def _answer(request: Request, answer: Answer) -> str:
    match answer:
        case Listed(entries=entries):
            return " and ".join(_name(entry.key) for entry in entries) or "none"
        case Found(body=body) if isinstance(request, Get):
            return _body(request.key, body)
    return type(answer).__name__.lower()


def _finding(finding: Finding) -> str:
    match finding:
        case Acked(entry=entry, position=position):
            return f"{entry.decode()} is acknowledged at position {position}"
        case Replayed(log=log):
            return f"is open, with {b', '.join(log).decode() or 'nothing'} replayed"
        case Broken(wrong=wrong):
            return wrong
    return f"is {'fenced' if finding.fenced else 'spoilt'}: {finding.error}"
