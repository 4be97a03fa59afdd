"""`holocron.aio`: a node as an asyncio application uses it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Future
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from holocron.errors import HolocronError, LeadershipLost, OutcomeUnknown, SettingsError
from holocron.events import Event
from holocron.observe.statistics import Statistics
from holocron.records import Leader, Member, Published
from holocron.runtime import hosting, node
from holocron.runtime.crew import Crew, aside, outcome, signalled, waker
from holocron.runtime.holding import holding, taken
from holocron.runtime.journal import Journal as ThreadedJournal
from holocron.runtime.lease import Lease
from holocron.runtime.only import leader_only
from holocron.runtime.service import Service
from holocron.runtime.views import Tenure, Topology

__all__ = ["Events", "Journal", "Node", "Starting", "host"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
# How many calls that block one node carries out at a time; leading, publishing, appending and stopping need none of it.
_CALLS = 8


class Starting(Awaitable["Node"]):
    """A node that is on its way: `await` it, or enter it with `async with`, which stops the node at the end.

    Cancelled before it is there, it is stopped as soon as it is.
    """

    def __init__(self, make: Callable[[], node.Node]) -> None:
        self._make = make
        self._node: Node | None = None

    def __await__(self) -> Generator[Any, None, Node]:
        return self._start().__await__()

    async def _start(self) -> Node:
        made = aside(self._make)
        try:
            return Node(await outcome(made))
        except asyncio.CancelledError:
            aside(partial(_stop_unwanted, made))
            raise

    async def __aenter__(self) -> Node:
        self._node = await self
        return self._node

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._node is not None
        await self._node.stop()


def _stop_unwanted(made: Future[node.Node]) -> None:
    if made.exception() is None:
        made.result().stop()


def _starting(make: Callable[_P, node.Node]) -> Callable[_P, Starting]:
    @wraps(make)
    def starting(*args: _P.args, **kwargs: _P.kwargs) -> Starting:
        return Starting(partial(make, *args, **kwargs))

    return starting


#: `holocron.host` for asyncio: `async with aio.host(Service(), "s3://bucket/leader") as node`.
host = _starting(hosting.host)


class Node:
    """`holocron.Node` for asyncio: the same node, and nothing that it does makes the event loop wait.

    Make one with `async with aio.Node.start(...) as node` (or `await aio.Node.start(...)`, and `await node.stop()`);
    `Node(node)` is a node of `holocron.Node` or `holocron.Runtime` as asyncio uses it. What it does goes on when the
    task that waits for it is cancelled, unless it had not begun; only `lead` gives up. It may be used from any event
    loop, and each call from the loop's own thread.
    """

    start = staticmethod(_starting(node.Node.start))
    resume = staticmethod(_starting(node.Node.resume))
    leader_only = leader_only

    def __init__(self, threaded: node.Node) -> None:
        self._node = threaded
        self._leadership = threaded._leadership
        self._crew = Crew(_CALLS)
        # One at a time, so that what is handed in first is journaled first, and waits alone when the journal is full.
        self._intake = Crew(1)

    # --- coming and going -------------------------------------------------------------------------------------------

    async def stop(self, timeout: float | None = None) -> None:
        """Release leadership if this node holds it, say goodbye and stop. Calling it again is harmless."""
        await outcome(aside(partial(self._node.stop, timeout)))

    async def stand_aside(self) -> None:
        """Stand for election no more, for the node is about to be stopped with others. See `holocron.Node`."""
        self._node.stand_aside()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the node has stopped, by `stop` or by itself (see `failure`); False if `timeout` came first."""
        return await signalled(self._node._gone, timeout)

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The node's id, the same for every incarnation."""
        return self._node.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._node.name

    @property
    def incarnation(self) -> int:
        """Which incarnation this process is; it rises with every resume."""
        return self._node.incarnation

    @property
    def cluster(self) -> str:
        """The uuid of its cluster."""
        return self._node.cluster

    @property
    def location(self) -> str:
        """The root of its cluster's store."""
        return self._node.location

    @property
    def role(self) -> str:
        """Its role right now: solo, follower, candidate, leader or stopped. For acting as leader, ask a lease."""
        return self._node.role

    @property
    def epoch(self) -> int:
        """The newest epoch that any incarnation of it has seen, so that it never goes down; 0 before the first."""
        return self._node.epoch

    @property
    def term(self) -> int | None:
        """Its own term while it leads, else None."""
        return self._node.term

    @property
    def lease(self) -> Lease | None:
        """Its lease while it leads, else None; ask the lease itself each time before you act."""
        return self._node.lease

    @property
    def stopped(self) -> bool:
        """Whether it has stopped, by `stop` or by itself (see `failure`)."""
        return self._node.stopped

    @property
    def failure(self) -> HolocronError | None:
        """Why it stopped by itself (`Superseded`, `StoreUnfit`), or None."""
        return self._node.failure

    @property
    def requests(self) -> dict[str, int]:
        """How many requests it has made so far, by verb."""
        return self._node.requests

    def statistics(self) -> Statistics:
        """What has happened to it so far, counted; asks the store for nothing."""
        return self._node.statistics()

    def leader(self) -> Leader | None:
        """Who leads, as far as this node knows; None between two leaders, or where the lock file cannot be read."""
        return self._node.leader()

    def topology(self) -> Topology | None:
        """The leader's view of everyone, from the newest lock file this node has read; None before the first."""
        return self._node.topology()

    def members(self) -> tuple[Member, ...]:
        """The rows of `topology()`."""
        return self._node.members()

    def published(self) -> Published | None:
        """The value published last, as far as this node knows, with the epoch and term it was published in."""
        return self._node.published()

    @property
    def paused_s(self) -> float:
        """How long leadership is still to stay where it is (see `pause`), as far as this node knows; 0 without one."""
        return self._node.paused_s

    async def history(self, limit: int = 20) -> tuple[Tenure, ...]:
        """The newest `limit` tenures, newest first, read from the store."""
        return await self._crew.call(partial(self._node.history, limit))

    # --- leading ----------------------------------------------------------------------------------------------------

    async def campaign(self) -> None:
        """Stand for election in the background, until `withdraw`."""
        self._node.campaign()

    async def withdraw(self, timeout: float | None = None) -> None:
        """Stand no more; if leading, end the lease now, let the work that holds it finish, and then release it."""
        await outcome(aside(partial(self._node.withdraw, timeout)))

    async def step_down(self, to: str | None = None, timeout: float | None = None) -> None:
        """Hand leadership over, to node `to` first if one is named, and stand again; `NotLeader` if not leading."""
        await outcome(aside(partial(self._node.step_down, to, timeout)))

    async def pause(self, for_s: float = 3600.0, timeout: float | None = None) -> int:
        """Have leadership stay with this node for the next `for_s` seconds, even if its lease ends; the epoch that says
        so. See `holocron.Node.pause`.
        """
        return await outcome(aside(partial(self._node.pause, for_s, timeout)))

    async def unpause(self, timeout: float | None = None) -> int:
        """End a pause now; the epoch that says so."""
        return await outcome(aside(partial(self._node.unpause, timeout)))

    @contextlib.asynccontextmanager
    async def lead(self, timeout: float | None = None) -> AsyncIterator[Lease]:
        """Wait for leadership, hold it for the body, release it at the end.

        As soon as the lease is over, whatever ended it (a `stop` or `step_down` too, from within or elsewhere), the
        body is cancelled where it awaits, and `LeadershipLost` comes out. A body that finishes all the same is left as
        it is. A cancellation from outside stays one. After anything that kept the event loop busy, ask `lease.valid`.

        Raises:
            LeadershipLost: the lease was lost before the body was done. LeadTimeout: it did not come within `timeout`
            seconds. NodeStopped, Superseded, StoreUnfit: it never will.
        """
        self._node._check_running()
        async with holding(self._leadership, await taken(self._leadership, timeout)) as lease:
            yield lease

    async def run(self, work: Callable[[Lease], Awaitable[_R]], timeout: float | None = None) -> _R:
        """`await work(lease)`'s result: run while leader, and again from the start whenever the lease was lost on the
        way, which cancels it."""
        while True:
            others = False
            try:
                async with self.lead(timeout) as lease:
                    try:
                        result = await work(lease)
                    except LeadershipLost:
                        # Of another node's lease, as this one is held: the application's own matter.
                        others = lease.valid
                        raise
                    if lease.valid:
                        return result
            except LeadershipLost:
                if others:
                    raise

    async def publish(self, value: bytes, timeout: float | None = None) -> int:
        """Publish `value` for every follower to see, fenced by the election itself; the epoch that it rides in.

        Raises:
            NotLeader, LeadershipLost: not published, now or ever. OutcomeUnknown: it may have been.
            SettingsError: more than 64 KiB.
        """
        self._node._check_running()
        term, epoch = self._leadership.publisher.publish_nowait(self._leadership.lease, value)
        try:
            async with asyncio.timeout(timeout):
                return await outcome(epoch)
        except TimeoutError:
            raise self._leadership.publisher.unsettled(term) from None

    # --- its own durable state --------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The node's own durable log, which comes back with it wherever it is resumed."""
        return Journal(self._node.journal, self._crew, self._intake)

    async def host(
        self,
        service: Service,
        *,
        checkpoint_every: int = 1000,
        checkpoint_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Host `service` on this node: bring it to where its last acknowledged command left it, and take commands with
        `submit`. How many commands its state stands for.

        What belongs to the service, and `progress`, is called on threads of the runtime, never on the event loop's.

        Raises:
            Superseded, RecordUnreadable, StoreUnreachable, StoreDenied.
        """
        hosting = partial(
            self._node.host,
            service,
            checkpoint_every=checkpoint_every,
            checkpoint_bytes=checkpoint_bytes,
            progress=progress,
        )
        return await self._crew.call(hosting)

    async def submit(self, command: bytes, key: str = "", timeout: float | None = None) -> bytes:
        """The hosted service's answer to `command`, given once it is durable and applied; exactly once, whatever
        becomes of this process. See `holocron.Node.submit` for `key` and for what is raised.

        Cancelled, it may be applied all the same: repeat it with the same key.
        """
        self._node._check_running()
        hosted = self._node._host
        if hosted is None:
            raise SettingsError(f"node {self.id} hosts no service: `host` one first")
        handed_in = self._intake.call(partial(hosted.submit_nowait, command, key))
        return await _settled(handed_in, timeout, "a command was not answered in time; it may yet be applied")

    # --- what it tells ----------------------------------------------------------------------------------------------

    def events(self) -> Events:
        """Every event from now on, to be iterated over; it ends when the node has stopped and all was told."""
        return Events(self._node)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have `callback` called with every event from now on, on a thread of its own and not on the event loop's, so
        that a release waits for it; call the result to end that. See `events` for the other way."""
        return self._node.subscribe(callback)

    def __repr__(self) -> str:
        return repr(self._node)


class Journal:
    """`holocron.Journal` for asyncio: what the node acknowledged, durable and in order."""

    def __init__(self, threaded: ThreadedJournal, crew: Crew, intake: Crew) -> None:
        self._journal = threaded
        self._crew = crew
        self._intake = intake

    @property
    def position(self) -> int:
        """The position of the last entry that was acknowledged; the first entry of all has position 1."""
        return self._journal.position

    async def replay(
        self,
        apply: Callable[[int, bytes], None] | None = None,
        restore: Callable[[bytes, int], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Fence off former selves, then hand out what was acknowledged; the last position. See `holocron.Journal`.

        All three are called one at a time on a thread of the node's, never on the event loop's.
        """
        return await self._crew.call(partial(self._journal.replay, apply, restore, progress=progress))

    async def append(self, data: bytes, timeout: float | None = None) -> int:
        """Append `data`; its position, once it is durable and can never be taken back.

        Entries keep the order of the calls. Many that wait at once go into one object, so `asyncio.gather` them.
        Cancelled, it may become durable all the same.

        Raises:
            SettingsError: more than 4 MiB. Superseded: a newer incarnation has the journal; `data` may be in it or not.
            OutcomeUnknown: not settled within `timeout` seconds, or the node stopped first.
            RecordUnreadable: the journal is damaged.
        """
        handed_in = self._intake.call(partial(self._journal.append_nowait, data))
        return await _settled(handed_in, timeout, "an entry was not settled in time; it may yet become durable")

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything appended so far is settled, one way or the other."""
        # What was handed in and is not appended yet comes first.
        await self._intake.call(lambda: None)
        await self._crew.call(partial(self._journal.flush, timeout))

    async def checkpoint(self, snapshot: bytes, position: int | None = None) -> None:
        """Keep `snapshot`, the state after the entry at `position` (None: after the last acknowledged one), so that a
        replay begins there. See `holocron.Journal`."""
        await self._crew.call(partial(self._journal.checkpoint, snapshot, position))


async def _settled(handed_in: Awaitable[Future[_R]], timeout: float | None, unsettled: str) -> _R:
    try:
        async with asyncio.timeout(timeout):
            return await outcome(await handed_in)
    except TimeoutError:
        raise OutcomeUnknown(unsettled) from None


class Events(AsyncIterator[Event]):
    """What a node tells, in order. It is told to whoever iterates only until nobody holds this any more.

    A release does not wait for it: what a leader does belongs into `lead`, whose end a release waits for.
    """

    def __init__(self, threaded: node.Node) -> None:
        waiting: asyncio.Queue[Event | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(waiting.put_nowait, event)

        self._waiting = waiting
        unsubscribe = threaded.subscribe(tell)
        forget = threaded._told.over.then(waker(waiting.put_nowait, None))
        # A loop over it that is left early drops it, and with it goes the subscription.
        for end in (unsubscribe, forget):
            weakref.finalize(self, end).atexit = False

    async def __anext__(self) -> Event:
        event = await self._waiting.get()
        if event is None:
            # For whoever asks again.
            self._waiting.put_nowait(None)
            raise StopAsyncIteration
        return event
