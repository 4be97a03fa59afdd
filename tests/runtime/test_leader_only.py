"""A function that runs only while its node leads: before, during and after (rules 6 and 9)."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, assert_type, cast

import pytest

from holocron import Lease, Node, Reason, Settings, aio
from holocron.errors import LeadershipLost, NodeStopped, NotLeader, SettingsError
from holocron.events import Elected
from holocron.store.memory import MemoryStore
from tests.runtime.clocks import ShiftedClock
from tests.runtime.made import get, keys
from tests.runtime.waiting import LIVENESS_S, Heard, until

Start = Callable[..., Node]
KINDS = pytest.mark.parametrize("kind", ["threads", "asyncio"])


def dressed(node: Node, kind: str) -> Node | aio.Node:
    """The node as threads use it, or as asyncio does; both decorate both kinds of functions."""
    return node if kind == "threads" else aio.Node(node)


def leads(node: Node) -> Lease:
    """Stand in the background, and wait until that has led to something."""
    node.campaign()
    until(lambda: node.lease is not None, "it leads")
    lease = node.lease
    assert lease is not None
    return lease


def aside(call: Callable[[], Any]) -> Future[Any]:
    """Call it on a thread of its own."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


# --- before it begins -----------------------------------------------------------------------------------------------


@KINDS
def test_it_is_skipped_where_the_node_does_not_lead(nodes: Start, kind: str) -> None:
    """Nothing runs and None is returned, and the node does not stand for election; while it leads, it runs."""
    node = nodes()
    calls: list[int] = []

    @dressed(node, kind).leader_only()
    def tick(number: int) -> int:
        calls.append(number)
        return number

    @dressed(node, kind).leader_only(otherwise="skip")
    async def atick(number: int) -> int:
        calls.append(number)
        return number

    assert_type(tick(1), int | None)
    assert asyncio.run(atick(2)) is None
    assert not node._engine.election.standing
    leads(node)
    assert tick(3) == 3
    assert asyncio.run(atick(4)) == 4
    assert calls == [3, 4]
    node.stop()
    assert tick(5) is None
    assert asyncio.run(atick(6)) is None
    assert calls == [3, 4]


@KINDS
def test_it_raises_where_the_node_does_not_lead(nodes: Start, kind: str) -> None:
    """`NotLeader` names the node, before and after it leads, and also once it has stopped."""
    node = nodes()

    @dressed(node, kind).leader_only(otherwise="raise")
    def tick() -> str:
        return "done"

    @dressed(node, kind).leader_only("raise")
    async def atick() -> str:
        return "done"

    for lead in (False, True, False):
        if lead:
            leads(node)
            assert_type(tick(), str)
            assert (tick(), asyncio.run(atick())) == ("done", "done")
            node.stop()
        else:
            with pytest.raises(NotLeader, match=f"node {node.id} does not lead"):
                tick()
            with pytest.raises(NotLeader):
                asyncio.run(atick())
    assert not node._engine.election.standing


@KINDS
def test_it_waits_for_leadership(nodes: Start, kind: str) -> None:
    """The call stands for election, runs when it leads, and gives back at the end what nobody else wants."""
    leader, node = nodes(), nodes()

    @dressed(node, kind).leader_only(otherwise="wait")
    def tick() -> int | None:
        return node.term

    @dressed(node, kind).leader_only(otherwise="wait")
    async def atick() -> int | None:
        return node.term

    with leader.lead(timeout=LIVENESS_S) as lease:
        first = aside(tick)
        until(lambda: node._engine.election.standing, "it stands")
        assert not first.done()
    assert first.result(LIVENESS_S) > lease.token
    until(lambda: node.lease is None and not node._engine.election.standing, "it is given back")
    second = asyncio.run(asyncio.wait_for(atick(), LIVENESS_S))
    assert second is not None
    assert second > first.result()
    until(lambda: node.lease is None and not node._engine.election.standing, "it is given back")
    node.stop()
    with pytest.raises(NodeStopped):
        tick()
    with pytest.raises(NodeStopped):
        asyncio.run(atick())


def test_a_call_that_no_longer_waits_leaves_no_ghost(nodes: Start) -> None:
    """Cancelled while it waits for leadership, it stands no more, and never runs."""
    leader, node, heard = nodes(), nodes(), Heard()
    node.subscribe(heard)

    @node.leader_only("wait")
    async def tick() -> None:
        raise AssertionError("it ran")

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tick(), 0.05)

    with leader.lead(timeout=LIVENESS_S):
        until(lambda: node.leader() is not None, "it knows who leads")
        asyncio.run(impatient())
        until(lambda: not node._engine.election.standing, "it stands no more")
    until(lambda: node.leader() is None, "it has seen the release")
    assert heard.names(Elected) == []


# --- what it is given -----------------------------------------------------------------------------------------------


def test_the_lease_is_given_to_whoever_asks_for_it_by_name(nodes: Start) -> None:
    """Wherever the parameter stands; its callers do not see it, and all their own arguments arrive."""
    node = nodes()
    lease = leads(node)

    @node.leader_only("raise")
    def first(lease: Lease, a: int, b: int = 2, *more: int, c: int = 3) -> tuple[Lease, int, int, tuple[int, ...], int]:
        return lease, a, b, more, c

    @node.leader_only("raise")
    async def alone(lease: Lease) -> Lease:
        """Says what it does."""
        return lease

    @node.leader_only("raise")
    def between(a: int, lease: Lease, b: int) -> tuple[int, Lease, int]:
        return a, lease, b

    @node.leader_only("raise")
    def by_name(a: int, *, lease: Lease | None = None) -> tuple[int, Lease | None]:
        return a, lease

    @node.leader_only("raise")
    def without(leash: int) -> int:
        return leash

    assert first(1) == (lease, 1, 2, (), 3)
    assert first(1, 5, 6, 7, c=8) == (lease, 1, 5, (6, 7), 8)
    assert first(a=1) == (lease, 1, 2, (), 3)
    assert asyncio.run(alone()) is lease
    told = cast("Callable[..., Any]", between)
    assert told(1, 2) == (1, lease, 2)
    assert told(1, b=2) == told(b=2, a=1) == (1, lease, 2)
    assert by_name(1) == (1, lease)
    assert without(4) == 4
    assert (alone.__name__, alone.__doc__) == ("alone", "Says what it does.")
    assert [*inspect.signature(first).parameters] == ["a", "b", "more", "c"]
    assert [*inspect.signature(between).parameters] == ["a", "b"]
    with pytest.raises(TypeError):
        told(1)


def test_what_cannot_be_held_for_is_refused(nodes: Start) -> None:
    """A generator runs when the call is over, a nameless lease cannot be given, and no other `otherwise` is known."""
    node = nodes()

    def generates() -> Any:
        yield 1

    async def generates_too() -> Any:
        yield 1

    def nameless(lease: Lease, /) -> None: ...

    def whatever(**lease: Lease) -> None: ...

    for function in (generates, generates_too, nameless, whatever):
        with pytest.raises(SettingsError):
            node.leader_only()(cast("Callable[..., Any]", function))
    with pytest.raises(SettingsError, match="otherwise is 'hope'"):
        node.leader_only("hope")  # type: ignore[call-overload]


# --- while it runs --------------------------------------------------------------------------------------------------


def test_a_sync_function_sees_the_loss_and_ends_by_itself(nodes: Start) -> None:
    """It runs on, `lease.lost` is set under it, and its result is returned; what it raises comes out as it is."""
    clock = ShiftedClock()
    node = nodes(clock=clock)
    leads(node)

    @node.leader_only()
    def sees(lease: Lease) -> Reason | None:
        clock.suspend(60.0)
        assert not lease.valid
        assert lease.lost.wait(LIVENESS_S)
        return lease.reason

    @node.leader_only()
    def checks(lease: Lease) -> None:
        clock.suspend(60.0)
        lease.check()

    assert sees() is Reason.EXPIRED
    leads(node)
    with pytest.raises(LeadershipLost, match="expired"):
        checks()


@KINDS
@pytest.mark.parametrize("otherwise", ["skip", "raise", "wait"])
def test_an_async_function_is_cancelled_by_the_loss(nodes: Start, kind: str, otherwise: Any) -> None:
    """`LeadershipLost` comes out, whatever `otherwise` says, for that is about the beginning alone."""
    clock = ShiftedClock()
    node = nodes(clock=clock)
    leads(node)
    ended: list[bool] = []

    async def works(lease: Lease) -> None:
        clock.suspend(60.0)
        assert not lease.valid
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    call = cast("Callable[[], Awaitable[None]]", dressed(node, kind).leader_only(otherwise)(works))

    async def bounded() -> None:
        await asyncio.wait_for(call(), LIVENESS_S)

    with pytest.raises(LeadershipLost, match="expired"):
        asyncio.run(bounded())
    assert ended == [True]


def test_calls_end_no_tenure_that_others_want(nodes: Start) -> None:
    """A node that campaigns leads on through any number of calls, in one term (rule 6)."""
    node = nodes()
    lease = leads(node)

    @node.leader_only("wait")
    def tick(lease: Lease) -> int:
        return lease.token

    @node.leader_only()
    async def atick(lease: Lease) -> int:
        return lease.token

    for _ in range(5):
        assert tick() == asyncio.run(atick()) == lease.token
    before = lease.epoch
    until(lambda: lease.epoch > before, "renewals go on")
    assert lease.valid
    with node.lead() as same:
        assert same is lease
        assert tick() == lease.token
        assert lease.valid
    assert not lease.valid


@pytest.mark.parametrize("ending", ["step_down", "lead"])
def test_a_release_waits_for_the_function(nodes: Start, store: MemoryStore, ending: str) -> None:
    """It is work that holds the lease: whoever ends the tenure waits for it to return (rule 9)."""
    node = nodes(settings=Settings(ttl_s=1.0, drain_s=LIVENESS_S))
    begun, go_on = threading.Event(), threading.Event()

    @node.leader_only("raise")
    def works(lease: Lease) -> tuple[bool, str]:
        begun.set()
        assert lease.lost.wait(LIVENESS_S)
        assert go_on.wait(LIVENESS_S)
        return lease.valid, (get(store, keys(store, "epochs/")[-1]) or b"").decode()

    def leading() -> None:
        with node.lead(timeout=LIVENESS_S):
            assert begun.wait(LIVENESS_S)

    if ending == "lead":
        ended = aside(leading)
        until(lambda: node.lease is not None, "it leads")
        working = aside(works)
    else:
        leads(node)
        working = aside(works)
        assert begun.wait(LIVENESS_S)
        ended = aside(node.step_down)
    until(lambda: node.lease is None, "the lease is over")
    assert not ended.done()
    go_on.set()
    valid, head = working.result(LIVENESS_S)
    assert not valid
    assert '"kind": "lease"' in head
    ended.result(LIVENESS_S)
