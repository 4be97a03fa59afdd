"""What a journal promises, as it looks from outside: by the slots as they first stood, and by what is told.

None of this reads how the journal explains itself. A journal is read here by the two sentences of the design alone:
a slot counts when all before it are there, and a fence voids what older incarnations have behind it.
"""

from __future__ import annotations

import functools

import msgspec
from msgspec.structs import replace

from holocron.layout import number_of
from holocron.store.base import Delete, Put, Request
from tests.model.journal_bucket import SLOTS, Home, checkpoints_in, floor_of, slot_of
from tests.model.journal_parts import Acked, Replayed

__all__ = ["Ledger", "acked", "changed", "entries_in", "replayed"]


class Ledger(msgspec.Struct, frozen=True):
    """What may never change again: by position, each entry that was acknowledged or replayed, and since when.

    `since` is the incarnation that was told of it: whoever comes after has to be told the same.
    """

    entries: tuple[bytes, ...] = ()
    since: tuple[int, ...] = ()


class _Journal(msgspec.Struct, frozen=True):
    # Each entry, the slot that it lies in, and whose it is.
    entries: tuple[tuple[bytes, int, int], ...]
    wrong: str | None


@functools.lru_cache(maxsize=200_000)
def _read(history: tuple[tuple[int, bytes], ...]) -> _Journal:
    entries: list[tuple[bytes, int, int]] = []
    wrong = None
    newest = 0
    for expected, (number, body) in enumerate(history, 1):
        if number != expected:
            break
        slot = slot_of(number, body)
        if slot.kind == "fence":
            newest = max(newest, slot.incarnation)
        elif slot.incarnation > newest:
            wrong = wrong or f"I9: slot {number} is incarnation {slot.incarnation}'s, which has no fence before it"
        elif slot.incarnation == newest:
            if slot.first != len(entries) + 1:
                wrong = wrong or f"I9: slot {number} begins at position {slot.first}, and {len(entries)} are before it"
            entries += [(entry, number, slot.incarnation) for entry in slot.entries]
    values = [entry for entry, _, _ in entries]
    twice = {entry for entry in values if values.count(entry) > 1}
    if twice:
        wrong = wrong or f"I9: {_said(twice.pop())} is in the journal twice"
    return _Journal(tuple(entries), wrong)


def entries_in(home: Home, before: int | None = None) -> tuple[bytes, ...]:
    """The entries of the journal, in order; or those in slots below `before`."""
    return tuple(entry for entry, number, _ in _read(home.history).entries if before is None or number < before)


# --- when the store changes -----------------------------------------------------------------------------------------


def changed(before: Home, after: Home, request: Request, kept: int) -> str | None:
    """What is wrong with a write that has taken effect: I4, I5 and I9.

    Args:
        kept: how many checkpoints have to be there that serve from the floor on.
    """
    return _misplaced(before, after, request) or _moved(before, after) or _unreadable(after, kept)


def _misplaced(before: Home, after: Home, request: Request) -> str | None:
    number = number_of(SLOTS, request.key, "") if isinstance(request, Put | Delete) else None
    floor = floor_of(before)
    if floor_of(after) < floor:
        return f"I4: the floor fell from {floor} to {floor_of(after)}"
    if isinstance(request, Delete):
        if number is not None and number >= floor:
            return f"I4: slot {number} was deleted, and the floor is {floor}"
        return None
    if number is None or before.objects == after.objects:
        return None
    if before.history == after.history:
        return None if number < floor else f"I4: slot {number} was there, is gone and comes again; the floor is {floor}"
    if number < floor:
        return f"I5: slot {number} is created for the first time, and the floor is {floor}"
    return None


def _moved(before: Home, after: Home) -> str | None:
    """I9: what is part of the journal stays where it is."""
    if before.history == after.history:
        return None
    was, now = _read(before.history), _read(after.history)
    if now.wrong is not None:
        return now.wrong
    for at, (old, new) in enumerate(zip(was.entries, now.entries, strict=False), 1):
        if old != new:
            return f"I9: position {at} was {_said(old[0])}'s and is now {_said(new[0])}'s"
    if len(now.entries) < len(was.entries):
        return f"I9: {_said(was.entries[len(now.entries)][0])} was in the journal and is not in it any more"
    return None


def _unreadable(after: Home, kept: int) -> str | None:
    """I4: above the floor nothing is missing, and what lies below it is in checkpoints that can be read."""
    floor = max(1, floor_of(after))
    there = {number for key, _ in after.objects if (number := number_of(SLOTS, key, "")) is not None}
    end = next((i for i, (number, _) in enumerate(after.history, 1) if number != i), len(after.history) + 1)
    missing = [number for number in range(floor, end) if number not in there]
    if missing:
        return f"I4: slot {missing[0]} is gone, and the floor is {floor}"
    good = [(number, checkpoint) for number, checkpoint in checkpoints_in(after) if checkpoint is not None]
    for number, checkpoint in good:
        so_far = entries_in(after, number + 1)[: checkpoint.position]
        if tuple(checkpoint.snapshot.split(b",") if checkpoint.snapshot else ()) != so_far:
            return f"I9: checkpoint {number} says {_said(checkpoint.snapshot)}, the journal {_said(b','.join(so_far))}"
    serving = [number for number, _ in good if number >= floor]
    if floor > 1 and len(serving) < kept:
        return f"I4: the floor is {floor}, and from there on {len(serving)} checkpoints serve, not {kept}"
    return None


# --- when an application is told ------------------------------------------------------------------------------------


def acked(told: Acked, home: Home, ledger: Ledger) -> tuple[Ledger, str | None]:
    """What is wrong with an acknowledgement: I2 and I9."""
    entry, at = told.entry, told.position
    said = f"{_said(entry)} is acknowledged at position {at}"
    journal = _read(home.history)
    if at > len(journal.entries) or journal.entries[at - 1][0] != entry:
        fence = _fence_of_a_newer(home, told.whose)
        if fence is not None:
            return (
                ledger,
                f"I2: {said} to incarnation {told.whose} and is no part of the journal: slot {fence} fenced it",
            )
        return ledger, f"I9: {said} and is no part of the journal"
    if len(ledger.entries) >= at:
        there = ledger.entries[at - 1]
        if there != entry:
            return ledger, f"I9: {said}, which is {_said(there)}'s"
        since = (*ledger.since[: at - 1], min(ledger.since[at - 1], told.whose), *ledger.since[at:])
        return replace(ledger, since=since), None
    if len(ledger.entries) != at - 1:
        return ledger, f"I9: {said}, and the one before it was neither acknowledged nor replayed"
    return Ledger((*ledger.entries, entry), (*ledger.since, told.whose)), None


def _fence_of_a_newer(home: Home, whose: int) -> int | None:
    """The slot of the first fence of an incarnation newer than `whose`."""
    slots = [slot_of(number, body) for number, body in home.history]
    return next((slot.slot for slot in slots if slot.kind == "fence" and slot.incarnation > whose), None)


def replayed(told: Replayed, home: Home, ledger: Ledger) -> tuple[Ledger, str | None]:
    """What is wrong with a replay: I9."""
    first = told.positions[0]
    if told.positions != tuple(range(first, len(told.log) + 1)):
        return ledger, f"I9: {len(told.log)} entries are replayed at positions {told.positions}"
    if len(set(told.log)) != len(told.log):
        return ledger, f"I9: an entry is replayed twice: {_listed(told.log)}"
    for at, (there, since) in enumerate(zip(ledger.entries, ledger.since, strict=True), 1):
        if at <= len(told.log) and told.log[at - 1] != there:
            return ledger, f"I9: {_said(told.log[at - 1])} is replayed at position {at}, which is {_said(there)}'s"
        if at > len(told.log) and since < told.whose:
            return (
                ledger,
                f"I9: {_said(there)} at position {at} is not replayed, and incarnation {since} was told of it",
            )
    true = entries_in(home, told.fence + 1)
    if told.log != true:
        return ledger, f"I9: {_listed(told.log)} is replayed, and the journal up to the fence is {_listed(true)}"
    earliest = tuple(min(s, told.whose) if at < len(told.log) else s for at, s in enumerate(ledger.since))
    more = told.log[len(ledger.entries) :]
    return Ledger((*ledger.entries, *more), (*earliest, *(told.whose for _ in more))), None


def _said(entry: bytes) -> str:
    return entry.decode() or "nothing"


def _listed(entries: tuple[bytes, ...]) -> str:
    return ", ".join(map(_said, entries)) or "nothing"
