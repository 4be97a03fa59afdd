"""The store of a simulated life: as strict as the best server, in a bucket that may keep versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from holocron.store.base import Absent, Answer, Clash, Conflict, Delete, Deleted, Get, Put, Request, Written
from holocron.store.memory import MemoryStore
from holocron.testing.simulation.misfortune import Versions

__all__ = ["BucketStore"]

# How long after a delete a bucket that keeps versions may answer 409 to a create.
_UNDER_WAY_S = 0.01


class BucketStore:
    """Objects in memory, under `prefix`. With `versions` a delete leaves a marker.

    What reads a key or lists a prefix never sees a marker. A create may: within a moment of the delete it is answered
    409 and asks again, as S3 says; a "stubborn" bucket goes on to answer 412, though nothing is there.
    """

    def __init__(
        self,
        prefix: str,
        clock: Callable[[], float],
        versions: Versions,
        counts: Counter[str],
        objects: MemoryStore | None = None,
        markers: dict[str, float] | None = None,
    ) -> None:
        self._objects = objects if objects is not None else MemoryStore(None, prefix, clock=clock)
        self._prefix = prefix
        self._clock = clock
        self._versions = versions
        self._counts = counts
        # By whole key: when it was deleted.
        self._markers: dict[str, float] = markers if markers is not None else {}

    def rooted(self, prefix: str) -> BucketStore:
        """The same bucket, under another prefix."""
        return BucketStore(
            prefix, self._clock, self._versions, self._counts, self._objects.rooted(prefix), self._markers
        )

    def unmark(self) -> None:
        """From now on no delete is remembered: another bucket was put in this one's place."""
        self._markers.clear()

    @property
    def uri(self) -> str:
        return self._objects.uri

    def close(self) -> None:
        """Nothing is held open."""

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if not self._versions or not isinstance(request, Put | Delete):
            return self._objects.perform(request, timeout_s)
        key = f"{self._prefix}/{request.key}".removeprefix("/")
        marked_s = self._markers.get(key)
        if isinstance(request, Put):
            if marked_s is not None and request.match is None:
                self._counts["marker_met"] += 1
                if self._clock() - marked_s < _UNDER_WAY_S:
                    return Conflict()
                if self._versions == "stubborn":
                    return Clash()
            answer = self._objects.perform(request, timeout_s)
            if isinstance(answer, Written):
                self._markers.pop(key, None)
            return answer
        there = self._objects.perform(Get(request.key), timeout_s)
        answer = self._objects.perform(request, timeout_s)
        if isinstance(answer, Deleted) and not isinstance(there, Absent):
            self._markers[key] = self._clock()
        return answer
