"""What the nodes of one process need not each do for themselves: reading the one lock file that all of them follow."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from msgspec.structs import replace as changed

from holocron.records import Epoch, Member, decode
from holocron.store.base import Found

__all__ = ["read_once"]

# A lock file below this is read anew as quickly as it is looked up.
_WORTH_BYTES = 4096
# How many lock files are kept: with the views of some thousands of members, some tens of megabytes at most.
_KEPT = 16


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
