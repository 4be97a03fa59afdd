"""What subscribers are told, in which order, and that nothing they do hurts the node (section 7, rule 13)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from holocron import Node, Reason, Settings, events
from holocron.errors import Superseded
from holocron.events import Deposed, Elected, LeaderChanged, StoreBack, StoreUnreachable, TopologyChanged
from holocron.records import Epoch, decode
from holocron.store.memory import MemoryStore
from tests.runtime.clocks import ShiftedClock
from tests.runtime.made import get, keys
from tests.runtime.stores import Meddler, anything, refuse
from tests.runtime.waiting import LIVENESS_S, Heard, until

Start = Callable[..., Node]


def last(store: MemoryStore) -> Epoch:
    """The newest lock file."""
    key = keys(store, "epochs/")[-1]
    body = get(store, key)
    assert body is not None
    return decode(Epoch, body, key)


def test_a_tenure_is_told_from_its_beginning_to_its_end(nodes: Start) -> None:
    """`Elected` carries the very lease that `lead` gives, and `Deposed` follows each, never alone."""
    node, heard = nodes(), Heard()
    node.subscribe(heard)
    for _ in range(2):
        with node.lead(timeout=LIVENESS_S) as lease:
            told = heard.wait(Elected, wanted=lambda event: event.lease.token == lease.token)
            assert told.lease is lease
    heard.wait(Deposed, 2)
    assert heard.names(Elected, Deposed) == ["Elected", "Deposed"] * 2
    assert {event.reason for event in heard.all(Deposed) if isinstance(event, Deposed)} == {Reason.RELEASED}


@pytest.mark.parametrize("how", ["stop", "lapse", "supersede", "withdraw"])
def test_deposed_comes_once_for_each_elected_however_it_ends(nodes: Start, how: str) -> None:
    """Whatever ends a tenure, it is told once and with its reason (rule 13)."""
    clock, heard = ShiftedClock(), Heard()
    node = nodes(clock=clock)
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    if how == "stop":
        node.stop()
    elif how == "withdraw":
        node.withdraw()
    elif how == "supersede":
        nodes(node.id)
        assert node.wait(LIVENESS_S)
    else:
        clock.suspend(60.0)
        assert not lease.valid
    wanted = {"lapse": Reason.EXPIRED, "supersede": Reason.SUPERSEDED}.get(how, Reason.RELEASED)
    assert heard.wait(Deposed).reason is wanted
    node.stop()
    assert node.wait(LIVENESS_S)
    told = heard.names(Elected, Deposed)
    assert told == ["Elected", "Deposed"] * (len(told) // 2)


def test_followers_are_told_who_leads(nodes: Start) -> None:
    """Each new leader, and that there is none after a release; the same is not told twice (rules 9, 10)."""
    watcher, heard = nodes(), Heard()
    watcher.subscribe(heard)
    terms: list[tuple[str | None, int | None]] = []
    for number, node in enumerate((nodes(), nodes()), start=1):
        with node.lead(timeout=LIVENESS_S) as lease:
            terms.append((node.id, lease.token))
            heard.wait(LeaderChanged, wanted=lambda event: event.term == lease.token)
            renewed = lease.epoch + 2
            heard.wait(TopologyChanged, number)
            while lease.epoch < renewed:
                assert not lease.lost.wait(0.01)
        heard.wait(LeaderChanged, number, wanted=lambda event: event.leader is None)
        terms.append((None, lease.token))
    told = [event for event in heard.all(LeaderChanged) if isinstance(event, LeaderChanged)]
    assert [(one.leader.node if one.leader else None, one.term) for one in told] == terms
    assert [one.epoch for one in told] == sorted({one.epoch for one in told})


def test_a_change_of_the_view_is_told_with_the_view(nodes: Start) -> None:
    """`TopologyChanged` tells a node that comes and one that goes, and carries what `topology()` shows."""
    leader, heard = nodes(), Heard()
    follower = nodes()
    follower.subscribe(heard)
    with leader.lead(timeout=LIVENESS_S):
        both = {leader.id, follower.id}
        heard.wait(TopologyChanged, wanted=lambda event: {m.node for m in event.topology.members} == both)
        third = nodes()
        three = {*both, third.id}
        told = heard.wait(TopologyChanged, wanted=lambda event: {m.node for m in event.topology.members} == three)
        assert told.topology.leader.node == leader.id
        third.stop()
        heard.wait(
            TopologyChanged,
            wanted=lambda event: any(m.node == third.id and m.status == "gone" for m in event.topology.members),
        )


def test_an_unreachable_store_is_told_once_and_so_is_its_return(nodes: Start, store: MemoryStore) -> None:
    """One `StoreUnreachable` for an outage however many requests fail in it, then one `StoreBack`."""
    meddler, heard = Meddler(store), Heard()
    node = nodes(location=meddler)
    node.subscribe(heard)
    until(lambda: node.role == "follower", "it has looked")
    for outage in (1, 2):
        rule = meddler.rule(anything, refuse)
        rule.wait(6)
        assert heard.wait(StoreUnreachable, outage).error == "no route"
        meddler.clear()
        heard.wait(StoreBack, outage)
    assert heard.names(StoreUnreachable, StoreBack) == ["StoreUnreachable", "StoreBack"] * 2


def test_a_superseded_node_says_so_last(nodes: Start) -> None:
    """`Superseded` names the incarnation that took the node's place (rule 11)."""
    node, heard = nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    heard.wait(Elected)
    nodes(node.id)
    assert node.wait(LIVENESS_S)
    assert heard.wait(events.Superseded).incarnation == 2
    assert isinstance(node.failure, Superseded)


# --- what a subscriber may do ---------------------------------------------------------------------------------------


def test_who_has_unsubscribed_is_told_nothing_more(nodes: Start) -> None:
    """Others are, and to unsubscribe again is harmless, also from within the callback itself."""
    node, other, first = nodes(), Heard(), Heard()
    ended: list[events.Event] = []

    def once(event: events.Event) -> None:
        ended.append(event)
        leave_once()
        leave_once()

    leave_once = node.subscribe(once)
    leave = node.subscribe(first)
    node.subscribe(other)
    leave()
    leave()
    with node.lead(timeout=LIVENESS_S):
        other.wait(Elected)
    other.wait(Deposed)
    assert first.all(events.Event) == []
    assert len(ended) == 1


def test_a_callback_that_raises_hurts_nobody(nodes: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged, other subscribers hear all the same, and so does it the next time."""
    node, heard = nodes(), Heard()
    raised: list[str] = []

    def fails(event: events.Event) -> None:
        raised.append(type(event).__name__)
        raise LookupError("the application's own fault")

    node.subscribe(fails)
    node.subscribe(heard)
    with node.lead(timeout=LIVENESS_S) as lease:
        heard.wait(Elected)
        before = lease.epoch
        until(lambda: lease.epoch > before + 3, "renewals go on")
    heard.wait(Deposed)
    until(lambda: raised == heard.names(events.Event), "both have heard the same")
    assert "A subscriber raised." in caplog.text
    assert "the application's own fault" in caplog.text


def test_a_callback_that_blocks_never_hurts_a_renewal(nodes: Start) -> None:
    """For two whole ttls a subscriber hangs in `Elected`; the lease is renewed and no event is lost."""
    node, heard = nodes(), Heard()
    go_on = threading.Event()

    def hangs(event: events.Event) -> None:
        if isinstance(event, Elected):
            assert go_on.wait(LIVENESS_S)

    node.subscribe(hangs)
    node.subscribe(heard)
    with node.lead(timeout=LIVENESS_S) as lease:
        first = lease.epoch
        until(lambda: lease.epoch >= first + 12, "renewals go on for two ttls")
        assert lease.valid
        assert heard.all(Elected) == []
        go_on.set()
        heard.wait(Elected)
    heard.wait(Deposed)


def test_a_release_waits_for_subscribers(nodes: Start, store: MemoryStore) -> None:
    """A subscriber that works on `Deposed` finishes before anybody may follow (rule 9)."""
    node = nodes(settings=Settings(ttl_s=1.5, renew_every_s=0.25, drain_s=LIVENESS_S))
    kinds: list[str] = []

    def works(event: events.Event) -> None:
        if isinstance(event, Deposed):
            kinds.append(last(store).kind)

    node.subscribe(works)
    with node.lead(timeout=LIVENESS_S):
        pass
    assert kinds == ["lease"]
    assert last(store).kind == "release"


def test_a_callback_may_stop_the_node(nodes: Start, store: MemoryStore) -> None:
    """`stop` from a subscriber returns at once, and the node releases and stops when the subscriber has returned."""
    node, heard = nodes(), Heard()
    returned: list[bool] = []

    def stops(event: events.Event) -> None:
        if isinstance(event, Elected):
            node.stop()
            returned.append(node.wait(0))

    node.subscribe(stops)
    node.subscribe(heard)
    node.campaign()
    assert node.wait(LIVENESS_S)
    assert returned == [False]
    assert last(store).kind == "release"
    assert heard.wait(Deposed).reason is Reason.RELEASED


@pytest.mark.parametrize("ending", ["step_down", "withdraw", "lead"])
def test_nothing_that_a_subscriber_calls_waits_for_the_subscriber(
    nodes: Start, store: MemoryStore, ending: str
) -> None:
    """A subscriber may publish, look, and give leadership up: the release follows once it has returned (rule 9)."""
    node, heard = nodes(settings=Settings(ttl_s=1.5, renew_every_s=0.25, drain_s=LIVENESS_S)), Heard()
    done: list[object] = []

    def acts(event: events.Event) -> None:
        if not isinstance(event, Elected):
            return
        done.append(node.publish(b"elected", timeout=LIVENESS_S) > event.lease.token)
        done.append(len(node.history()))
        if ending == "step_down":
            node.step_down()
        elif ending == "withdraw":
            node.withdraw()
        else:
            with node.lead(timeout=LIVENESS_S) as lease:
                done.append(lease is event.lease)
        done.append(last(store).kind)

    leave = node.subscribe(acts)
    node.subscribe(heard)
    node.campaign()
    heard.wait(Deposed)
    leave()
    until(lambda: last(store).kind == "release", "it is released")
    assert done == [True, 1, *([True] if ending == "lead" else []), "lease"]
