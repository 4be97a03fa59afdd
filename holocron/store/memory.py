"""`memory://name/prefix`: objects in this process, for tests and trials; gone when the process ends."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable

import msgspec

from holocron.store.base import (
    PAGE,
    Absent,
    Answer,
    Clash,
    Delete,
    Deleted,
    Denied,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Put,
    Request,
    Unclear,
    Written,
)
from holocron.store.keys import request_fault, root_of

__all__ = ["MemoryStore"]


class _Object(msgspec.Struct, frozen=True):
    body: bytes
    etag: str
    modified_s: float


class _Space:
    """The objects behind one name: what a bucket is to S3."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, _Object] = {}
        # The same keys in order. Python orders text by code point, which is the byte order of its UTF-8.
        self.order: list[str] = []
        self.writes = 0


_spaces: dict[str, _Space] = {}
_spaces_lock = threading.Lock()


class MemoryStore:
    """A store in memory, as strict as the best server: every operation is atomic, every write has a new ETag.

    `name` picks the objects: stores of one name share them, whatever their `prefix`; without a name they are this
    store's alone. `clock` gives the "server's" wall time in seconds since 1970; like a server, the store says whole
    seconds. Safe to use from any thread.
    """

    def __init__(self, name: str | None = None, prefix: str = "", *, clock: Callable[[], float] = time.time) -> None:
        self._root = root_of(prefix)
        self._name = name or "anonymous"
        self._clock = clock
        self._closed = False
        if name is None:
            self._space = _Space()
        else:
            with _spaces_lock:
                self._space = _spaces.setdefault(name, _Space())

    @classmethod
    def forget(cls, name: str) -> None:
        """Drop the objects of `name`: the next store of that name starts empty; open ones keep what they have."""
        with _spaces_lock:
            _spaces.pop(name, None)

    def rooted(self, prefix: str) -> MemoryStore:
        """Another store on the same objects, rooted at `prefix` instead, with the same clock."""
        other = MemoryStore(None, prefix, clock=self._clock)
        other._space = self._space
        other._name = self._name
        return other

    @property
    def uri(self) -> str:
        return f"memory://{self._name}/{self._root}".rstrip("/")

    def close(self) -> None:
        self._closed = True

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if self._closed:
            return Unclear("the store is closed", sent=False)
        if timeout_s <= 0:
            return Unclear("no time was left for the request", sent=False)
        fault = request_fault(self._root, request)
        date_s = float(int(self._clock()))
        if fault is not None:
            return Denied(fault, date_s)
        with self._space.lock:
            match request:
                case Get():
                    return self._get(request, date_s)
                case Put():
                    return self._put(request, date_s)
                case List():
                    return self._list(request, date_s)
                case Delete():
                    return self._delete(request, date_s)

    def _get(self, request: Get, date_s: float) -> Answer:
        held = self._space.objects.get(self._root + request.key)
        if held is None:
            return Absent(date_s)
        if len(held.body) > request.limit_bytes:
            return Oversize(len(held.body), held.etag, date_s)
        return Found(held.body, held.etag, held.modified_s, date_s)

    def _put(self, request: Put, date_s: float) -> Answer:
        space, key = self._space, self._root + request.key
        held = space.objects.get(key)
        # "Absent" and "unchanged" in one comparison: an object that is not there has no ETag.
        if (held.etag if held else None) != request.match:
            return Clash(date_s)
        space.writes += 1
        etag = f'"{space.writes:08x}"'
        space.objects[key] = _Object(bytes(request.body), etag, date_s)
        if held is None:
            insort(space.order, key)
        return Written(etag, date_s)

    def _list(self, request: List, date_s: float) -> Answer:
        space, start = self._space, self._root + request.prefix
        first = bisect_left(space.order, start)
        if request.after is not None:
            first = max(first, bisect_right(space.order, self._root + request.after))
        entries: list[Entry] = []
        for key in space.order[first : first + min(request.limit, PAGE) + 1]:
            if not key.startswith(start):
                break
            held = space.objects[key]
            entries.append(Entry(key[len(self._root) :], held.etag, len(held.body), held.modified_s))
        page = entries[: min(request.limit, PAGE)]
        return Listed(tuple(page), len(entries) > len(page), date_s)

    def _delete(self, request: Delete, date_s: float) -> Answer:
        key = self._root + request.key
        if self._space.objects.pop(key, None) is not None:
            del self._space.order[bisect_left(self._space.order, key)]
        return Deleted(date_s)
