"""A node under asyncio: the same promises, and an event loop that never waits (sections 6 and 7; rules 5, 9, 11)."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, ParamSpec

import pytest

from holocron import Lease, Node, Reason, Settings, aio
from holocron.errors import (
    LeadershipLost,
    LeadTimeout,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    SettingsError,
    Superseded,
)
from holocron.events import Deposed, Elected, Event
from holocron.observe.observed import Observed
from holocron.records import Beacon, Epoch, decode
from holocron.runtime import crew
from holocron.runtime.crew import Crew
from holocron.store.memory import MemoryStore
from holocron.testing.server import serve
from tests.runtime.clocks import ShiftedClock
from tests.runtime.conftest import SETTINGS
from tests.runtime.made import get, keys
from tests.runtime.stores import Meddler, hold, on
from tests.runtime.waiting import LIVENESS_S, Heard
from tests.runtime.waiting import until as block_until

Start = Callable[..., Node]
_P = ParamSpec("_P")


def on_a_loop(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Run the test on an event loop of its own, which is never to run for long."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 3 * LIVENESS_S))

    return run


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds, while the loop runs on."""
    end = time.monotonic() + LIVENESS_S
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        await asyncio.sleep(0.005)


def last(store: MemoryStore) -> Epoch:
    """The newest lock file."""
    key = keys(store, "epochs/")[-1]
    body = get(store, key)
    assert body is not None
    return decode(Epoch, body, key)


def threads(name: str) -> int:
    """How many threads there are of this name."""
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The root of an empty cluster on an S3 server."""
    with serve() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield "s3://holocron/aio"


# --- the same surface -----------------------------------------------------------------------------------------------


def test_it_mirrors_the_whole_of_a_node() -> None:
    """Whatever `holocron.Node` offers is there under its name, with the same parameters and defaults."""
    for name, member in inspect.getmembers(Node, lambda member: not inspect.isclass(member)):
        if name.startswith("_"):
            continue
        mirror = inspect.getattr_static(aio.Node, name)
        if isinstance(member, property):
            assert isinstance(mirror, property), name
            continue
        wanted = [(one.name, one.default, one.kind) for one in inspect.signature(member).parameters.values()]
        found = inspect.signature(getattr(aio.Node, name)).parameters.values()
        assert [(one.name, one.default, one.kind) for one in found] == wanted, name


@on_a_loop
async def test_a_node_is_started_leads_and_is_stopped(place: str, store: MemoryStore) -> None:
    """`async with` starts it and stops it again; leading, publishing and looking are as they are with threads."""
    async with aio.Node.start(place, name="one", settings=SETTINGS) as node:
        observed: Observed = node
        assert (observed.name, node.location, node.incarnation, len(node.cluster)) == ("one", place, 1, 36)
        with pytest.raises(NotLeader, match=f"node {node.id} does not lead"):
            await node.publish(b"early")
        with pytest.raises(NotLeader):
            await node.step_down()
        async with node.lead(timeout=LIVENESS_S) as lease:
            assert (node.role, node.term, node.lease) == ("leader", lease.token, lease)
            epoch = await node.publish(b"hello", timeout=LIVENESS_S)
            assert epoch > lease.token
            published, leader = node.published(), node.leader()
            assert published is not None
            assert (published.value, published.epoch) == (b"hello", epoch)
            assert leader is not None
            assert leader.node == node.id
            await until(lambda: [member.node for member in node.members()] == [node.id], "it sees itself")
            assert node.topology() is not None
            with pytest.raises(SettingsError):
                await node.publish(bytes(65 * 1024))
        assert (lease.valid, lease.reason, last(store).kind) == (False, Reason.RELEASED, "release")
        (tenure,) = await node.history()
        assert (tenure.term, tenure.released) == (lease.token, True)
        assert node.epoch == last(store).epoch
        assert node.statistics().requests == node.requests
    assert (node.role, node.failure, await node.wait()) == ("stopped", None, True)
    for call in (
        node.publish(b"late"),
        node.history(),
        node.campaign(),
        node.submit(b"late"),
        node.lead().__aenter__(),
    ):
        with pytest.raises(NodeStopped):
            await call
    await node.stop()


@on_a_loop
async def test_a_node_is_resumed(place: str) -> None:
    """`await` gives the node to be stopped by hand; resuming it supersedes its former self (rule 11)."""
    former = await aio.Node.start(place, settings=SETTINGS)
    assert not await former.wait(timeout=0)
    async with await aio.Node.resume(place, former.id, settings=SETTINGS) as node:
        assert (node.id, node.incarnation) == (former.id, 2)
        assert await former.wait(LIVENESS_S)
        assert isinstance(former.failure, Superseded)
        with pytest.raises(Superseded):
            async with former.lead():
                pass


@on_a_loop
async def test_it_campaigns_hands_over_and_withdraws(nodes: Start) -> None:
    """Standing in the background, handing over to an heir that is named, and giving up are awaited (rule 9)."""
    one, two = aio.Node(nodes()), aio.Node(nodes())
    await one.campaign()
    await until(lambda: one.role == "leader", "one leads")
    await two.campaign()
    await until(lambda: any(m.node == two.id and m.standing for m in one.members()), "the other stands")
    await one.step_down(to=two.id)
    assert one.lease is None
    await until(lambda: two.role == "leader", "the heir leads")
    await one.withdraw()
    await two.withdraw()
    assert [tenure.leader.node for tenure in await two.history()] == [two.id, one.id]


@on_a_loop
async def test_it_works_on_an_s3_store(s3: str) -> None:
    """Two nodes over the S3 protocol: leadership, a value and a journal, each awaited."""
    settings = Settings(ttl_s=2.0)
    seen: list[bytes] = []
    async with aio.Node.start(s3, settings=settings) as one, aio.Node.start(s3, settings=settings) as two:
        async with one.lead(timeout=LIVENESS_S) as lease:
            first = await one.publish(b"address")
            await until(lambda: (value := two.published()) is not None and value.epoch == first, "it is seen")
            assert await asyncio.gather(*(one.journal.append(b"%d" % i) for i in range(20))) == [*range(1, 21)]
            assert lease.valid
        async with two.lead(timeout=LIVENESS_S) as after:
            assert after.token > lease.token
    async with aio.Node.resume(s3, one.id, settings=settings) as again:
        assert await again.journal.replay(lambda _, data: seen.append(data)) == 20
    assert seen == [b"%d" % i for i in range(20)]


# --- losing the lease -----------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_blocked_event_loop_loses_no_lease(nodes: Start) -> None:
    """The loop stands still for more than two ttls; renewals go on, on the runtime's own thread (rule 5)."""
    node, other = aio.Node(nodes()), aio.Node(nodes())
    await other.campaign()
    await until(lambda: other.role == "leader", "the other leads")
    await other.withdraw()
    async with node.lead(timeout=LIVENESS_S) as lease:
        before = lease.epoch
        # This waits on the loop's own thread.
        block_until(lambda: lease.epoch >= before + 7, "renewals go on for two ttls")
        assert lease.valid
        await asyncio.sleep(0)
        assert lease.valid


@on_a_loop
async def test_a_lost_lease_cancels_the_body(nodes: Start) -> None:
    """`LeadershipLost` comes out, not the cancellation, and the task is as good as before."""
    clock, ended = ShiftedClock(), asyncio.Event()
    node = aio.Node(nodes(clock=clock))

    async def work() -> None:
        async with node.lead(timeout=LIVENESS_S) as lease:
            clock.suspend(60.0)
            assert not lease.valid
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    async def body() -> int:
        with pytest.raises(LeadershipLost, match=f"node {node.id} lost the leadership of term 1 .expired.") as lost:
            await work()
        assert lost.value.reason == Reason.EXPIRED.value
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    assert await asyncio.create_task(body()) == 0
    assert ended.is_set()


@on_a_loop
async def test_a_cancellation_from_outside_stays_one(nodes: Start, store: MemoryStore) -> None:
    """The body is cancelled, the lease released, and `CancelledError` comes out; also where the lease is lost too."""
    clock, leading = ShiftedClock(), asyncio.Event()
    node = aio.Node(nodes(clock=clock))

    async def body() -> None:
        async with node.lead(timeout=LIVENESS_S):
            leading.set()
            await asyncio.Event().wait()

    for lost in (False, True):
        leading.clear()
        task = asyncio.create_task(body())
        await leading.wait()
        lease = node.lease
        assert lease is not None
        if lost:
            clock.suspend(60.0)
            assert not lease.valid
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        if not lost:
            assert last(store).kind == "release"


@on_a_loop
async def test_everything_within_the_body_is_cancelled_with_it(nodes: Start) -> None:
    """The tasks of a `TaskGroup` too, and a timeout around it all is not mistaken for the lease, nor the other way."""
    clock, ended = ShiftedClock(), []
    node = aio.Node(nodes(clock=clock))

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def body() -> None:
        async with asyncio.timeout(LIVENESS_S), node.lead() as lease, asyncio.TaskGroup() as group:
            group.create_task(work("a"))
            group.create_task(work("b"))
            await asyncio.sleep(0)
            clock.suspend(60.0)
            assert not lease.valid

    with pytest.raises(LeadershipLost):
        await body()
    assert sorted(ended) == ["a", "b"]
    with pytest.raises(TimeoutError) as late:
        async with node.lead(timeout=LIVENESS_S), asyncio.timeout(0.01):
            await work("c")
    assert not isinstance(late.value, LeadTimeout)


@on_a_loop
async def test_what_a_body_does_with_its_end_is_left_to_it(nodes: Start) -> None:
    """One that finishes all the same raises nothing, and an error of its own comes out as it is."""
    node = aio.Node(nodes())
    async with node.lead(timeout=LIVENESS_S) as lease:
        stepping = asyncio.create_task(node.step_down())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert lease.reason is Reason.RELEASED
    await stepping

    async def raises() -> None:
        async with node.lead(timeout=LIVENESS_S):
            asking = asyncio.create_task(node.step_down())
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError(asking.get_name())

    with pytest.raises(LookupError):
        await raises()


@on_a_loop
async def test_a_release_waits_for_the_body_to_end(nodes: Start, store: MemoryStore) -> None:
    """A body that cleans up after its cancellation does so before anybody may follow (rule 9)."""
    node = aio.Node(nodes(settings=Settings(ttl_s=1.0, drain_s=LIVENESS_S)))
    kinds: list[str] = []
    heard = Heard()
    node.subscribe(heard)

    async def body(give_up: Callable[[], Awaitable[None]]) -> None:
        async with node.lead(timeout=LIVENESS_S):
            try:
                await give_up()
            finally:
                # Whoever writes the release has told of the end before, and would not wait for anything else.
                ended = len(kinds) + 1
                await until(lambda: len(heard.all(Deposed)) == ended, "the end was told")
                kinds.append(last(store).kind)

    for give_up in (node.step_down, node.withdraw, node.stop):
        with pytest.raises(LeadershipLost, match="released"):
            await body(give_up)
        await until(lambda: last(store).kind == "release", "it is released")
    assert kinds == ["lease"] * 3
    assert await node.wait(LIVENESS_S)


@on_a_loop
async def test_run_begins_again_after_a_loss(nodes: Start) -> None:
    """Work is cancelled with its lease and done again under the next; its result is the call's (rule 6)."""
    node = aio.Node(nodes())
    terms: list[int] = []

    async def work(lease: Lease) -> str:
        terms.append(lease.token)
        if len(terms) == 1:
            await node.step_down()
        return "done"

    assert await node.run(work, timeout=LIVENESS_S) == "done"
    assert len(terms) == 2
    assert terms[1] > terms[0]

    async def of_another(lease: Lease) -> None:
        raise LeadershipLost("another node's", Reason.EXPIRED.value)

    with pytest.raises(LeadershipLost, match="another node's"):
        await node.run(of_another)


# --- waiting for it -------------------------------------------------------------------------------------------------


@on_a_loop
async def test_who_no_longer_waits_leaves_no_ghost(nodes: Start) -> None:
    """A `lead` that is cancelled or late stands no more, and never leads after all when its turn would have come."""
    leader, waits = aio.Node(nodes()), nodes()
    heard = Heard()
    waits.subscribe(heard)

    async def lead(node: aio.Node) -> None:
        async with node.lead():
            raise AssertionError("it leads")

    async with leader.lead(timeout=LIVENESS_S):
        task = asyncio.create_task(lead(aio.Node(waits)))
        await until(lambda: waits._engine.election.standing, "it stands")
        await until(lambda: waits.leader() is not None, "it knows who leads")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not waits._engine.election.standing, "it stands no more")
        with pytest.raises(LeadTimeout, match=f"did not become leader within 0.05 s; node {leader.id} leads"):
            async with aio.Node(waits).lead(timeout=0.05):
                pass
        await until(lambda: not waits._engine.election.standing, "it stands no more")
        assert waits._leadership._waiting == []
    await until(lambda: waits.leader() is None, "it has seen the release")
    async with leader.lead(timeout=LIVENESS_S):
        pass
    assert heard.names(Elected) == []


@on_a_loop
async def test_a_hundred_tasks_wait_without_a_thread(nodes: Start) -> None:
    """Waiting takes no thread, others get their answers meanwhile, and each has the lease in the end."""
    holder, node = aio.Node(nodes()), aio.Node(nodes())
    # Threads for requests come and go.
    before = threading.active_count() - threads("holocron-io")
    tokens: list[int] = []
    everyone = asyncio.Barrier(100)

    async def lead() -> None:
        async with node.lead(timeout=LIVENESS_S) as lease:
            tokens.append(lease.token)
            await everyone.wait()

    async with holder.lead(timeout=LIVENESS_S):
        await until(lambda: node.leader() is not None, "it knows who leads")
        tasks = [asyncio.create_task(lead()) for _ in range(100)]
        await until(lambda: len(node._leadership._waiting) == 100, "all wait")
        assert threading.active_count() - threads("holocron-io") <= before
        assert len(await node.history()) == 1
    await asyncio.gather(*tasks)
    assert len(tokens) == 100
    assert len(set(tokens)) == 1


@on_a_loop
async def test_a_stopped_node_ends_every_wait(nodes: Start) -> None:
    """Who waits for leadership is told that it never will come; who waits for the end is told that it came."""
    leader, node = aio.Node(nodes()), aio.Node(nodes())
    async with leader.lead(timeout=LIVENESS_S):
        lead = asyncio.create_task(node.lead().__aenter__())
        ends = asyncio.create_task(node.wait())
        await until(lambda: node.role == "candidate" or bool(node._leadership._waiting), "it waits")
        assert not await node.wait(timeout=0.01)
        await node.stop(timeout=LIVENESS_S)
        with pytest.raises(NodeStopped):
            await lead
        assert await ends


@on_a_loop
async def test_a_start_that_is_cancelled_leaves_no_node(place: str, store: MemoryStore) -> None:
    """The node that comes too late is stopped, and says goodbye to the cluster."""
    meddler, go_on = Meddler(store), threading.Event()
    rule = meddler.rule(on("PUT", "identity"), hold(go_on), times=1)
    before = threads("holocron-scheduler")

    async def start() -> None:
        async with aio.Node.start(meddler, settings=SETTINGS):
            raise AssertionError("it was started")

    task = asyncio.create_task(start())
    await asyncio.to_thread(rule.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await until(lambda: bool(keys(store, "members/")), "it has come")
    await until(lambda: threads("holocron-scheduler") == before, "it has gone")
    (key,) = keys(store, "members/")
    body = get(store, key)
    assert body is not None
    assert decode(Beacon, body, key).stopped


# --- publishing, and state ------------------------------------------------------------------------------------------


@on_a_loop
async def test_who_no_longer_waits_for_a_value_leaves_it_alone(nodes: Start, store: MemoryStore) -> None:
    """A timeout ends the wait with an unknown outcome, a cancellation as one; the value is published (I10)."""
    meddler, go_on = Meddler(store), threading.Event()
    node = aio.Node(nodes(location=meddler))
    async with node.lead(timeout=LIVENESS_S) as lease:
        rule = meddler.rule(on("PUT", "epochs/"), hold(go_on), times=1)
        with pytest.raises(OutcomeUnknown, match=f"publishing in term {lease.token} was not settled in time"):
            await node.publish(b"slow", timeout=0.05)
        task = asyncio.create_task(node.publish(b"unseen"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(rule.wait)
        go_on.set()
        await until(lambda: (value := node.published()) is not None and value.value == b"unseen", "it is published")
        assert lease.valid


@on_a_loop
async def test_a_journal_is_awaited(nodes: Start) -> None:
    """Entries keep the order of the calls, come back with the node, and begin at the newest checkpoint (I9)."""
    node = aio.Node(nodes())
    assert await node.journal.replay() == 0
    positions = await asyncio.gather(*(node.journal.append(b"%d" % i) for i in range(200)))
    assert positions == [*range(1, 201)]
    await node.journal.checkpoint(b"first half", 100)
    task = asyncio.create_task(node.journal.append(b"last"))
    await asyncio.sleep(0)
    await node.journal.flush(timeout=LIVENESS_S)
    assert (await task, node.journal.position) == (201, 201)
    with pytest.raises(SettingsError):
        await node.journal.append(bytes(5 << 20))
    again = aio.Node(nodes(node.id))
    restored: list[tuple[bytes, int]] = []
    applied: list[tuple[int, bytes]] = []
    position = await again.journal.replay(
        lambda at, data: applied.append((at, data)), lambda snapshot, at: restored.append((snapshot, at))
    )
    assert position == 201
    assert restored == [(b"first half", 100)]
    assert applied == [*((i + 1, b"%d" % i) for i in range(100, 200)), (201, b"last")]
    with pytest.raises(Superseded):
        await node.journal.append(b"from the past", timeout=LIVENESS_S)


@on_a_loop
async def test_an_entry_that_is_not_settled_in_time_is_unknown(nodes: Start, store: MemoryStore) -> None:
    """The wait for an entry ends with `OutcomeUnknown`, and the entry may be there all the same (I10)."""
    meddler, go_on = Meddler(store), threading.Event()
    node = aio.Node(nodes(location=meddler))
    await node.journal.replay()
    meddler.rule(on("PUT", "journal/"), hold(go_on), times=1)
    with pytest.raises(OutcomeUnknown, match="may yet become durable"):
        await node.journal.append(b"slow", timeout=0.05)
    with pytest.raises(OutcomeUnknown):
        await node.journal.flush(timeout=0.05)
    go_on.set()
    assert await node.journal.append(b"next", timeout=LIVENESS_S) == 2


class Counter:
    """Counts, in units that it is given."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes) -> bytes:
        """One more number."""
        self.total += int(command)
        return b"%d" % self.total


@on_a_loop
async def test_a_service_is_hosted(place: str) -> None:
    """`submit` is awaited, many at once; resumed, the service stands where its last acknowledged command left it."""
    async with aio.host(Counter(), place, node_id="counter", settings=SETTINGS) as node:
        answers = await asyncio.gather(*(node.submit(b"1", key=f"k{i}") for i in range(50)))
        assert answers == [b"%d" % i for i in range(1, 51)]
        assert await node.submit(b"1", key="k0") == b"1"
        with pytest.raises(ValueError, match="invalid literal"):
            await node.submit(b"many")
    async with aio.Node.resume(place, "counter", settings=SETTINGS) as again:
        with pytest.raises(SettingsError, match="hosts no service"):
            await again.submit(b"1")
        assert await again.host(Counter()) == 51
        assert await again.submit(b"1", timeout=LIVENESS_S) == b"51"


# --- events ---------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_events_are_iterated_over_until_the_node_stops(nodes: Start) -> None:
    """Each in order, from the call of `events` on, and the loop over them ends with the node."""
    node = aio.Node(nodes())
    told, heard = node.events(), Heard()
    node.subscribe(heard)
    async with node.lead(timeout=LIVENESS_S) as lease:
        pass
    await node.stop()
    events = [event async for event in told]
    assert events == heard.all(Event)
    (elected,) = (event for event in events if isinstance(event, Elected))
    assert elected.lease is lease
    assert sum(isinstance(event, Deposed) for event in events) == 1
    assert [event async for event in told] == []
    assert [event async for event in node.events()] == []


@on_a_loop
async def test_a_loop_over_events_that_is_left_is_told_no_more(nodes: Start) -> None:
    """Whoever breaks out of it has unsubscribed."""
    threaded = nodes()
    node = aio.Node(threaded)
    told = node.events()
    await node.campaign()
    async for event in told:
        if isinstance(event, Elected):
            break
    assert len(threaded._told._callbacks) == 1
    del told
    gc.collect()
    assert threaded._told._callbacks == []


# --- beside the loop ------------------------------------------------------------------------------------------------


@on_a_loop
async def test_the_default_executor_is_not_used(place: str) -> None:
    """A program whose default executor is full, or has none, is none the worse for it."""
    loop = asyncio.get_running_loop()

    def refused(*_: object) -> None:
        raise AssertionError("the default executor was used")

    loop.run_in_executor = refused  # type: ignore[method-assign,assignment]
    async with aio.Node.start(place, settings=SETTINGS) as node:
        async with node.lead(timeout=LIVENESS_S):
            await node.publish(b"value")
            await node.journal.append(b"entry")
            await node.history()
        await node.withdraw()


@on_a_loop
async def test_a_crew_is_bounded_keeps_order_and_goes_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more threads than its limit; calls begin in order; one cancelled before that is never done."""
    monkeypatch.setattr(crew, "_IDLE_S", 0.01)
    go_on, begun, most, lock = threading.Event(), list[int](), 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal most
        with lock:
            begun.append(number)
            most = max(most, workers._threads)
        assert go_on.wait(LIVENESS_S)
        return number

    workers = Crew(2)
    tasks = [asyncio.create_task(workers.call(functools.partial(work, number))) for number in range(6)]
    await until(lambda: len(begun) == 2, "two are at work")
    tasks[4].cancel()
    await asyncio.sleep(0)
    go_on.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done.pop(4), asyncio.CancelledError)
    assert done == [0, 1, 2, 3, 5]
    assert sorted(begun[:2]) == [0, 1]
    assert sorted(begun) == [0, 1, 2, 3, 5]
    assert most <= 2
    await until(lambda: workers._threads == 0, "nobody stays")
    assert await workers.call(lambda: "again") == "again"
    with pytest.raises(ZeroDivisionError):
        await workers.call(lambda: 1 // 0)
