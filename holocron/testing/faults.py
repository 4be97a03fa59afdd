"""What may befall the way between one process and the store: silence, and an answer that never comes."""

from __future__ import annotations

import threading

from holocron.store.base import Answer, Deleted, Request, Store, Unclear, Written
from holocron.testing.clock import ProcessClock

__all__ = ["FaultyStore"]


class FaultyStore:
    """`store` as one process reaches it.

    A request that gets no answer takes its whole time limit, by the clock of the process, and it is not known what
    became of it: nobody is told that there is a partition.
    """

    def __init__(self, store: Store, clock: ProcessClock) -> None:
        #: Whether nothing comes through, in either direction.
        self.cut = False
        #: Of how many writes to come, each of which is applied, the answer is lost.
        self.answers_to_lose = 0
        self._store = store
        self._clock = clock

    @property
    def uri(self) -> str:
        """Where the store is."""
        return self._store.uri

    @property
    def hindered(self) -> bool:
        """Whether a request may get no answer."""
        return self.cut or self.answers_to_lose > 0

    def perform(self, request: Request, timeout_s: float) -> Answer:
        """As the store, if request and answer come through."""
        if not self._clock.alive:
            return Unclear(f"process {self._clock.name} was killed", sent=False)
        if self.cut:
            return self._silence(timeout_s)
        answer = self._store.perform(request, timeout_s)
        if self.answers_to_lose and isinstance(answer, Written | Deleted):
            self.answers_to_lose -= 1
            return self._silence(timeout_s)
        return answer

    def close(self) -> None:
        """Nothing: others use the store too."""

    def _silence(self, timeout_s: float) -> Answer:
        condition = threading.Condition()
        with condition:
            self._clock.wait_for(condition, lambda: False, timeout_s)
        return Unclear(f"no answer within {timeout_s:g} s")
