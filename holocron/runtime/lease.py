"""The lease as the application holds it: every answer is read off the clock at the moment it is asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from holocron.clock import Clock, elapsed_holder_s
from holocron.errors import LeadershipLost
from holocron.protocol.election import believes
from holocron.protocol.messages import Reason, Tenure
from holocron.runtime.waiting import Signal

__all__ = ["Lease"]

# What a fork is given to wait on: nothing would ever set an event that it has copied from its parent.
_LOST = threading.Event()
_LOST.set()


class Lease:
    """Leadership for as long as it lasts. `token` is the fencing token: it only rises, whoever leads.

    Once an answer was "no" it is never "yes" again, and a fork of the process never holds a lease of its parent's.
    Nothing here waits on a lock that the renewing thread could hold: a renewal puts a new `Tenure` in place in one
    assignment, and a check reads it in one.
    """

    def __init__(self, tenure: Tenure, clock: Clock, node: str, on_lapse: Callable[[], None]) -> None:
        self._tenure = tenure
        self._clock = clock
        self._node = node
        self._on_lapse = on_lapse
        self._pid = os.getpid()
        self._reason: Reason | None = None
        self._lost = Signal(clock)

    @property
    def valid(self) -> bool:
        """Whether this process may act as leader at this very moment (invariant I1)."""
        if self._reason is not None or os.getpid() != self._pid:
            return False
        if believes(self._tenure, self._clock.now()):
            return True
        self.end(Reason.EXPIRED)
        self._on_lapse()
        return False

    @property
    def lost(self) -> threading.Event:
        """Set when the lease is over; wait on it instead of polling `valid`."""
        return self._lost if os.getpid() == self._pid else _LOST

    def when_lost(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called once the lease is over, at once if it is already; call the result to have it forgotten.

        It is called on the thread that ends the lease, which may be the renewing one: it must neither wait nor raise.
        """
        return self._lost.then(call)

    @property
    def token(self) -> int:
        """The fencing token: the term of this tenure. Send it with every write to a resource that checks it."""
        return self._tenure.term

    @property
    def term(self) -> int:
        """The epoch at which this unbroken tenure began; the same as `token`."""
        return self._tenure.term

    @property
    def epoch(self) -> int:
        """The epoch of the newest renewal."""
        return self._tenure.epoch

    @property
    def remaining_s(self) -> float:
        """Seconds that may still be believed in, if no renewal comes; 0 once the lease is over."""
        if not self.valid:
            return 0.0
        return max(0.0, self._tenure.belief_s - elapsed_holder_s(self._tenure.since, self._clock.now()))

    @property
    def reason(self) -> Reason | None:
        """Why the lease is over, or None while it is not."""
        return self._reason

    def check(self) -> None:
        """Return while this process may act as leader, else raise `LeadershipLost`."""
        if not self.valid:
            reason = self._reason or Reason.SUPERSEDED
            raise LeadershipLost(
                f"node {self._node} lost the leadership of term {self.token} ({reason.value}): "
                "stop what only a leader does",
                reason.value,
            )

    def extend(self, tenure: Tenure) -> bool:
        """Put a renewal in place; False where the lease was over already and stays so."""
        if self._reason is not None:
            return False
        self._tenure = tenure
        return True

    def end(self, reason: Reason) -> None:
        """The lease is over; the first reason given stands."""
        if self._reason is None:
            self._reason = reason
        self._lost.set()

    def __repr__(self) -> str:
        return f"<Lease node={self._node} term={self.token} epoch={self.epoch} {self._reason or 'held'}>"
