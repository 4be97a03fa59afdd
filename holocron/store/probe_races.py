"""Races of the probe: several writers want one thing at the same instant, and the store may tell one that it won."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from holocron.errors import StoreDenied, StoreUnreachable
from holocron.store.base import Absent, Answer, Clash, Conflict, Denied, Found, Put, Store, Unclear, Written
from holocron.store.race import race

__all__ = ["Broken", "Rounds", "judge", "race_creates", "race_replaces"]

# However slow the store: so many races are run before the time allowed for them counts.
_AT_LEAST = 3

Read = Callable[[str], Found | Absent]
Progress = Callable[[str], None]


class Broken(Exception):
    """A promise that the store broke, as the end of a sentence that begins with the store."""


class Rounds(msgspec.Struct, frozen=True):
    """At most so many races, of so many writers each, for about so many seconds."""

    races: int
    writers: int
    within_s: float


def race_creates(store: Store, room: str, rounds: Rounds, attempt_s: float, read: Read, progress: Progress) -> int:
    """Let writers race to create one key, again and again; the number of races that could be settled.

    Raises `Broken` at the first that shows the store not to be atomic, `StoreDenied`, and `StoreUnreachable` if
    none could be settled.
    """

    def one(number: int) -> bool:
        bodies = _bodies(rounds.writers)
        key = f"{room}race/{number:06d}"
        return judge("create one object", race(store, key, bodies, attempt_s), bodies, read(key), None)

    return _repeat(store, rounds, "create", progress, one)


def race_replaces(store: Store, room: str, rounds: Rounds, attempt_s: float, read: Read, progress: Progress) -> int:
    """As `race_creates`, for writers who all replace one object and all know its ETag."""
    key = f"{room}swap"

    def one(_: int) -> bool:
        before = read(key)
        if isinstance(before, Absent):
            # Whatever became of this write, the next read tells.
            store.perform(Put(key, _bodies(1)[0]), attempt_s)
            before = read(key)
        if isinstance(before, Absent):
            return False
        bodies = _bodies(rounds.writers)
        answers = _together(store, [Put(key, body, before.etag) for body in bodies], attempt_s)
        return judge("replace one object", answers, bodies, read(key), before.body)

    return _repeat(store, rounds, "replace", progress, one)


def judge(
    what: str, answers: Sequence[Answer], bodies: Sequence[bytes], now: Found | Absent, before: bytes | None
) -> bool:
    """Whether a race has a winner that everyone agrees on; False where too little is known, `Broken` where two won.

    Args:
        answers, bodies: what each writer was told, and what it wrote.
        now: what is found after the race.
        before: what was there before the race, or None if nothing was.
    """
    for answer in answers:
        if isinstance(answer, Denied):
            raise StoreDenied(answer.error)
    winners = [body for body, answer in zip(bodies, answers, strict=True) if isinstance(answer, Written)]
    losers = [body for body, answer in zip(bodies, answers, strict=True) if isinstance(answer, Clash | Conflict)]
    body = now.body if isinstance(now, Found) else None
    if len(winners) > 1:
        raise Broken(f"it let {len(winners)} of {len(bodies)} racing writers {what}, and told each that it had won")
    if winners and body != winners[0]:
        raise Broken(
            f"it told one racing writer that it had won, and keeps what {'another' if body else 'nobody'} wrote"
        )
    if body in losers:
        raise Broken("it told a racing writer that it had lost, and keeps what that one wrote")
    if body != before and body not in bodies:
        raise Broken("it keeps what none of the racing writers wrote")
    # Nobody was told that he won: then it is one of those who were not told anything, or no one.
    return body != before


def _repeat(store: Store, rounds: Rounds, verb: str, progress: Progress, one: Callable[[int], bool]) -> int:
    until_s = time.monotonic() + rounds.within_s
    settled = 0
    for number in range(1, rounds.races + 1):
        if number > _AT_LEAST and time.monotonic() > until_s:
            break
        progress(f"Letting {rounds.writers} writers race to {verb} one object, race {number} of {rounds.races}")
        settled += one(number)
    if not settled:
        raise StoreUnreachable(f"{store.uri} could not be probed: no race between writers could be settled in time")
    return settled


def _together(store: Store, puts: Sequence[Put], timeout_s: float) -> list[Answer]:
    """Every answer, in order, to requests that leave at the same time."""
    start = threading.Barrier(len(puts))

    def one(put: Put) -> Answer:
        try:
            start.wait(timeout_s)
        except threading.BrokenBarrierError:
            return Unclear("the writers of a race did not come together in time", sent=False)
        return store.perform(put, timeout_s)

    with ThreadPoolExecutor(len(puts), thread_name_prefix="holocron-race") as pool:
        return list(pool.map(one, puts))


def _bodies(count: int) -> list[bytes]:
    return [f"a writer in a race, safe to delete: {secrets.token_hex(16)}\n".encode() for _ in range(count)]
