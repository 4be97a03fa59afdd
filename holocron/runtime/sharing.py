"""What the nodes of one process need not each do for themselves: asking for the lock file that all of them follow, and
taking it apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from msgspec.structs import replace as changed

from holocron.records import Epoch, Member, decode
from holocron.store.base import Answer, Found, Store

__all__ = ["Reads", "object_of", "read_once"]

# How many reads of one object may be under way at a time for all nodes of a process: as long as there are fewer than
# that, nobody waits.
_AT_ONCE = 4

# A lock file below this is read anew as quickly as it is looked up.
_WORTH_BYTES = 4096
# How many lock files are kept: with the views of some thousands of members, some tens of megabytes at most.
_KEPT = 16


class Reads:
    """The reads under way of each object: so many at a time, and whoever asks meanwhile shares the one that is next.

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


def object_of(store: Store, key: str) -> object:
    """What is read under `key` of `store`, whoever's requests to that store are counted."""
    return id(getattr(store, "counted", store)), key


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
