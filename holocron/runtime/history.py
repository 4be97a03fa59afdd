"""Reading the past: epochs from the chain and, where retention took them out, from the history."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holocron.errors import RecordUnreadable
from holocron.layout import HISTORY, history_range, numbered
from holocron.records import Epoch, History, decode
from holocron.runtime.views import Tenure
from holocron.store.base import (
    Absent,
    Conflict,
    Deadline,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Store,
    Unclear,
)
from holocron.store.chain import Chain, Dishonest, Trouble
from holocron.store.retry import asked

__all__ = ["Unread", "behind_gap", "find_epoch", "read_back", "read_epoch", "tenure_ends", "tenures"]

# No history file covers more epochs than the largest batch of retention.
_WIDEST = 1000


class Unread(msgspec.Struct, frozen=True):
    """There is an epoch of this number and it cannot be read: its bytes where they could be fetched, and why."""

    epoch: int
    raw: bytes | None
    error: str


Reading = Epoch | Unread | Absent | Trouble


def read_epoch(chain: Chain, n: int, deadline: Deadline) -> Procedure[Reading]:
    """Epoch `n` from the chain alone; `Absent` says that it is not there now, and no more."""
    answer = (yield from chain.read(n, deadline)).answer
    match answer:
        case Found(body=body):
            try:
                return decode(Epoch, body, chain.key(n), chain.cluster)
            except RecordUnreadable as error:
                return Unread(n, body, str(error))
        case Oversize(size=size):
            return Unread(n, None, f"{chain.key(n)} is {size} bytes long; no record is")
        case Absent():
            return answer
        case _:
            return _trouble(chain.key(n), answer)


def behind_gap(chain: Chain, stray: int | None, deadline: Deadline) -> Procedure[Dishonest | None]:
    """Rule 13: what the first number behind a gap says of the store, where the floor does not explain the gap.

    An epoch of this cluster is no stranger's, so those that were between are lost; anything else may lie there.
    """
    if stray is None:
        return None
    reading = yield from read_epoch(chain, stray, deadline)
    if not isinstance(reading, Epoch):
        return None
    return Dishonest(
        f"{chain.key(stray)} is there and the epoch before it is gone: the store was rolled back, or lost it"
    )


class _Archive:
    """The files under `history/`, listed and read as they are needed, each at most once."""

    def __init__(self, store: Store, cluster: str, deadline: Deadline) -> None:
        self._store = store
        self._cluster = cluster
        self._deadline = deadline
        self._ranges: dict[str, tuple[int, int]] = {}
        self._epochs: dict[int, Epoch | Unread] = {}
        self._opened: set[str] = set()

    def find(self, n: int) -> Procedure[Reading]:
        """Epoch `n` as the history has it."""
        if not any(first <= n <= last for first, last in self._ranges.values()):
            trouble = yield from self._list(n)
            if trouble is not None:
                return trouble
        for key, (first, last) in sorted(self._ranges.items()):
            if n in self._epochs:
                break
            if first <= n <= last and key not in self._opened:
                trouble = yield from self._open(key, n)
                if trouble is not None:
                    return trouble
        return self._epochs.get(n, Absent())

    def _list(self, n: int) -> Procedure[Trouble | None]:
        after = numbered(HISTORY, max(0, n - _WIDEST), "")
        while True:
            answer = yield from asked(self._store, List(HISTORY, after), self._deadline)
            if not isinstance(answer, Listed):
                return _trouble(HISTORY, answer)
            for entry in answer.entries:
                covered = history_range(entry.key)
                if covered is not None and covered[0] <= n:
                    self._ranges[entry.key] = covered
            if not answer.more or not answer.entries:
                return None
            after = answer.entries[-1].key
            if after > numbered(HISTORY, n, "~"):
                return None

    def _open(self, key: str, n: int) -> Procedure[Trouble | None]:
        self._opened.add(key)
        answer = yield from asked(self._store, Get(key), self._deadline)
        match answer:
            case Found(body=body):
                try:
                    file = decode(History, body, key, self._cluster)
                except RecordUnreadable as error:
                    self._epochs[n] = Unread(n, None, str(error))
                    return None
                for past in file.epochs:
                    kept = Unread(past.epoch, past.raw, f"epoch {past.epoch} could not be read when it was taken out")
                    self._epochs.setdefault(past.epoch, kept if past.record is None else past.record)
            case Oversize(size=size):
                self._epochs[n] = Unread(n, None, f"{key} is {size} bytes long; no record is")
            case Absent():
                return None
            case _:
                return _trouble(key, answer)
        return None


def find_epoch(chain: Chain, store: Store, n: int, deadline: Deadline) -> Procedure[Reading]:
    """Epoch `n` from the chain or else from the history. `Absent`: there never was one, or not yet."""
    return (yield from _find(chain, _Archive(store, chain.cluster, deadline), n, deadline))


def _find(chain: Chain, archive: _Archive, n: int, deadline: Deadline) -> Procedure[Reading]:
    # The chain first: what retention takes out is in the history before it leaves the chain, never the other way.
    reading = yield from read_epoch(chain, n, deadline)
    return (yield from archive.find(n)) if isinstance(reading, Absent) else reading


def read_back(
    chain: Chain, store: Store, head: int, limit: int, deadline: Deadline
) -> Procedure[tuple[Epoch, ...] | Trouble]:
    """The newest `limit` epochs from `head` down, newest first; those that cannot be read are left out."""
    archive = _Archive(store, chain.cluster, deadline)
    found: list[Epoch] = []
    in_chain = True
    for n in range(head, max(0, head - limit), -1):
        # Below an epoch that was taken out of the chain, all were.
        reading = yield from read_epoch(chain, n, deadline) if in_chain else archive.find(n)
        if in_chain and isinstance(reading, Absent):
            in_chain = False
            reading = yield from archive.find(n)
        if isinstance(reading, Trouble):
            return reading
        if isinstance(reading, Absent):
            break
        if isinstance(reading, Epoch):
            found.append(reading)
    return tuple(found)


def tenure_ends(
    chain: Chain, store: Store, head: int, limit: int, deadline: Deadline
) -> Procedure[tuple[Epoch, ...] | Trouble]:
    """The last and the first epoch of each of the newest `limit` tenures, newest first.

    A term is the number of the epoch that it began with, so a tenure of any length costs two reads.
    """
    archive = _Archive(store, chain.cluster, deadline)
    found: list[Epoch] = []
    n, terms = head, 0
    while n >= 1 and terms < limit:
        last = yield from _find(chain, archive, n, deadline)
        if isinstance(last, Trouble):
            return last
        if isinstance(last, Absent):
            break
        if isinstance(last, Unread) or last.term > n:
            n -= 1
            continue
        found.append(last)
        if last.term < n:
            first = yield from _find(chain, archive, last.term, deadline)
            if isinstance(first, Trouble):
                return first
            if isinstance(first, Epoch) and first.term == last.term:
                found.append(first)
        terms += 1
        n = last.term - 1
    return tuple(found)


def tenures(epochs: Iterable[Epoch]) -> tuple[Tenure, ...]:
    """The tenures that `epochs` (in any order, gaps allowed) belong to, newest first."""
    by_term: dict[int, list[Epoch]] = {}
    for epoch in sorted(epochs, key=lambda one: one.epoch):
        by_term.setdefault(epoch.term, []).append(epoch)
    newest = max(by_term, default=0)
    return tuple(_tenure(by_term[term], term == newest) for term in sorted(by_term, reverse=True))


def _tenure(run: list[Epoch], newest: bool) -> Tenure:
    first, last = run[0], run[-1]
    released = last.kind == "release"
    return Tenure(
        term=first.term,
        leader=last.leader,
        cause=first.cause,
        first_epoch=first.epoch,
        last_epoch=last.epoch,
        began=first.written,
        ended=None if newest and not released else last.written,
        released=released,
    )


def _trouble(key: str, answer: object) -> Trouble:
    match answer:
        case Denied(error=error):
            return Trouble(error, denied=True)
        case Unclear(error=error):
            return Trouble(error)
        case Conflict():
            return Trouble(f"{key}: another write is under way")
        case _:
            return Trouble(f"{key}: {type(answer).__name__} is no answer to a read")
