"""What the nodes of one process need not each do for themselves: asking for the lock file that all of them follow, and
taking it apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from msgspec.structs import replace as changed

from holocron.records import Epoch, Member, decode
from holocron.store.base import Answer, Found, Get, List, Store

__all__ = ["Reads", "read_once", "what_of"]

# How many equal reads may be under way at a time for all nodes of a process: more than one, for one may hang.
_AT_ONCE = 2

# A lock file below this is read anew as quickly as it is looked up.
_WORTH_BYTES = 4096
# How many lock files are kept: with the views of some thousands of members, some tens of megabytes at most.
_KEPT = 16


class Reads:
    """Equal reads under way: so many at a time, and whoever asks meanwhile shares the one that is next.

    So everyone is given what was read after they had asked, and a crowd that polls for one epoch costs a few requests.
    Nothing here acts, and a lock is the caller's business.
    """

    def __init__(self) -> None:
        self._under_way: dict[object, int] = {}
        self._waiting: dict[object, list[Callable[[Answer], None]]] = {}

    def begins(self, which: object, done: Callable[[Answer], None]) -> bool:
        """Whether the caller is to read `which` now, and to say when that has ended; else `done` waits for the next."""
        under_way = self._under_way.get(which, 0)
        if under_way >= _AT_ONCE:
            self._waiting.setdefault(which, []).append(done)
            return False
        self._under_way[which] = under_way + 1
        return True

    def ended(self, which: object) -> list[Callable[[Answer], None]]:
        """A read of `which` has ended; who waits for the next one, which begins now unless there is nobody."""
        waiting = self._waiting.pop(which, [])
        if not waiting:
            self._under_way[which] -= 1
            if not self._under_way[which]:
                del self._under_way[which]
        return waiting


def what_of(store: Store, request: Get | List) -> object:
    """What `request` reads of `store`; the same for all whose requests to that store are counted apart."""
    return id(getattr(store, "counted", store)), request


class _Read:
    """The lock files that were read last, in this process, by whoever was first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._records: OrderedDict[tuple[str, str, str], tuple[bytes, Epoch]] = OrderedDict()
        self._views: OrderedDict[str, tuple[Member, ...]] = OrderedDict()

    def known(self, found: Found, key: str, cluster: str) -> Epoch | None:
        with self._lock:
            body, record = self._records.get((cluster, key, found.etag), (b"", None))
            return record if body == found.body else None

    def keep(self, found: Found, key: str, cluster: str, record: Epoch) -> Epoch:
        with self._lock:
            view = self._views.get(cluster)
        # A renewal mostly tells the same view again: whoever keeps both keeps it once, and compares it in no time.
        if view is not None and view is not record.topology and view == record.topology:
            record = changed(record, topology=view)
        with self._lock:
            self._views[cluster] = record.topology
            self._records[cluster, key, found.etag] = (found.body, record)
            for kept in (self._records, self._views):
                while len(kept) > _KEPT:
                    kept.popitem(last=False)
        return record


_read = _Read()


def read_once(found: Found, key: str, cluster: str) -> Epoch:
    """The lock file in `found`; of the same bytes under the same key the same value, decoded once for a whole process.

    Raises:
        RecordUnreadable: as `decode`.
    """
    if len(found.body) < _WORTH_BYTES:
        return decode(Epoch, found.body, key, cluster)
    record = _read.known(found, key, cluster)
    if record is None:
        record = _read.keep(found, key, cluster, decode(Epoch, found.body, key, cluster))
    return record
