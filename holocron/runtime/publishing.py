"""Publishing: values, and pauses, that wait to ride in the leader's next epoch; what each caller is told in the end."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future

from holocron.errors import HolocronError, LeadershipLost, NotLeader, OutcomeUnknown, SettingsError
from holocron.protocol.messages import AskedToPublish, Publishing, Reason
from holocron.runtime.engine import Engine
from holocron.runtime.lease import Lease
from holocron.runtime.loop import Loop
from holocron.runtime.telling import Announcer
from holocron.runtime.waiting import Promised
from holocron.settings import VALUE_LIMIT_BYTES

__all__ = ["Publisher"]


class Publisher:
    """Between the threads that publish, which wait for the outcome, and the engine on the loop's thread.

    Every value taken in is answered once: with its epoch, as refused, or as not known (rule 13).
    """

    def __init__(self, node: str, loop: Loop, engine: Engine, told: Announcer) -> None:
        self._node = node
        self._loop = loop
        self._engine = engine
        self._told = told
        self._lock = threading.Lock()
        self._over: HolocronError | None = None
        self._tickets: dict[int, Future[int]] = {}
        self._numbers = itertools.count(1)

    def publish(self, lease: Lease | None, value: bytes, timeout: float | None) -> int:
        """Have `value` ride in the next epoch of the tenure of `lease`; the number of that epoch."""
        term, epoch = self.publish_nowait(lease, value)
        try:
            return epoch.result(timeout)
        except TimeoutError:
            raise self.unsettled(term) from None

    def unsettled(self, term: int, doing: str = "publishing") -> OutcomeUnknown:
        """What is raised where nobody knows in time what became of a value, or of a pause."""
        return OutcomeUnknown(f"node {self._node}: {doing} in term {term} was not settled in time")

    def publish_nowait(self, lease: Lease | None, value: bytes) -> tuple[int, Future[int]]:
        """As `publish`, without waiting: the term in which it is asked for, and the epoch to come."""
        if len(value) > VALUE_LIMIT_BYTES:
            raise SettingsError(f"a published value is at most {VALUE_LIMIT_BYTES} bytes, this one has {len(value)}")
        return self._ask(lease, "publish", value=bytes(value))

    def pause_nowait(self, lease: Lease | None, for_s: float) -> tuple[int, Future[int]]:
        """As `publish_nowait`, with a pause of `for_s` (rule 14); 0 ends one."""
        return self._ask(lease, "pause", pause_s=for_s)

    def pause(self, lease: Lease | None, for_s: float, timeout: float | None) -> int:
        """Have a pause of `for_s` ride in the next epoch; the number of that epoch."""
        term, epoch = self.pause_nowait(lease, for_s)
        try:
            return epoch.result(timeout)
        except TimeoutError:
            raise self.unsettled(term, "the pause asked for") from None

    def _ask(
        self, lease: Lease | None, what: str, *, value: bytes | None = None, pause_s: float | None = None
    ) -> tuple[int, Future[int]]:
        if lease is None or not lease.valid:
            raise NotLeader(f"node {self._node} does not lead, so it cannot {what}; {self._told.who_leads()}")
        future: Promised[int] = Promised(self._loop.clock)
        ticket = next(self._numbers)
        with self._lock:
            if self._over is not None:
                raise self._over
            self._tickets[ticket] = future
        self._loop.post(lambda: self._engine.feed(AskedToPublish(Publishing(ticket, value, pause_s))))
        return lease.term, future

    def settle(self, ticket: int, epoch: int | None, refused: bool) -> None:
        """What the election says became of a value; on the loop's thread."""
        with self._lock:
            future = self._tickets.pop(ticket, None)
        if future is None or future.done():
            return
        if epoch is not None:
            future.set_result(epoch)
        elif refused:
            lost = "leadership ended before the value was written"
            future.set_exception(LeadershipLost(f"node {self._node}: {lost}; it never will be", Reason.EXPIRED.value))
        else:
            unknown = "it is not known whether the value was published; read before you repeat"
            future.set_exception(OutcomeUnknown(f"node {self._node}: {unknown}"))

    def finish(self, error: HolocronError) -> None:
        """The node has stopped: whoever publishes from now on gets `error`, whoever waits an unknown outcome."""
        with self._lock:
            self._over = error
            tickets = [*self._tickets.values()]
        for future in tickets:
            if not future.done():
                future.set_exception(OutcomeUnknown(f"node {self._node} stopped before the value was settled"))
