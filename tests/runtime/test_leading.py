"""Leading as an application does it: lead, run, campaign, hand over, publish (rules 5, 6, 8 and 9; I1, I2, I10)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from holocron import Lease, Node, Reason, Settings
from holocron.errors import (
    LeadershipLost,
    LeadTimeout,
    NotLeader,
    OutcomeUnknown,
    SettingsError,
)
from holocron.events import Deposed, Elected
from holocron.records import Epoch, decode
from holocron.settings import VALUE_LIMIT_BYTES
from holocron.store.memory import MemoryStore
from tests.runtime.clocks import ShiftedClock
from tests.runtime.conftest import SETTINGS
from tests.runtime.made import get, keys
from tests.runtime.stores import Meddler, anything, hang, hold, lose, on, refuse
from tests.runtime.waiting import LIVENESS_S, Heard, until

Start = Callable[..., Node]


def epochs(store: MemoryStore) -> list[Epoch]:
    """The whole chain."""
    found = []
    for key in keys(store, "epochs/"):
        body = get(store, key)
        assert body is not None
        found.append(decode(Epoch, body, key))
    return found


def together(*works: Callable[[], None]) -> None:
    """Each on a thread of its own, all at once, waited for; a failure in one is a failure of the test."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIVENESS_S)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


# --- lead -----------------------------------------------------------------------------------------------------------


def test_lead_waits_holds_and_releases(nodes: Start, store: MemoryStore) -> None:
    """Within the body the lease is held and renewed; at its end it is released and over (rules 5, 9)."""
    node = nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        assert lease.valid
        assert node.role == "leader"
        first = lease.epoch
        until(lambda: lease.epoch >= first + 2, "it is renewed")
        assert lease.token == first
    assert not lease.valid
    assert lease.reason is Reason.RELEASED
    assert (node.role, node.term) == ("follower", None)
    chain = epochs(store)
    assert [one.kind for one in chain][-2:] == ["lease", "release"]
    assert {one.term for one in chain} == {1}
    assert [one.previous for one in chain][1:] == [one.nonce for one in chain][:-1]


def test_lead_gives_up_in_time_and_says_who_leads(nodes: Start) -> None:
    """`LeadTimeout` names the leader, is a `TimeoutError`, and leaves the node a follower that no longer stands."""
    leader, other = nodes(), nodes()
    with leader.lead(timeout=LIVENESS_S) as lease:
        until(lambda: other.leader() is not None, "the other knows who leads")
        with pytest.raises(LeadTimeout, match=f"did not become leader within 0.1 s; node {leader.id} leads") as late:
            other.lead(timeout=0.1).__enter__()
        assert isinstance(late.value, TimeoutError)
        until(lambda: not other._engine.election.standing, "it stands no more")
        assert lease.valid
    with pytest.raises(LeadTimeout, match="nobody is known to lead"), nodes(priority=0).lead(timeout=0.1):
        pass


def test_priority_0_never_leads(nodes: Start) -> None:
    """Not even where nobody else would (rule 8)."""
    with pytest.raises(LeadTimeout), nodes(priority=0).lead(timeout=0.5):
        pass


def test_a_body_that_raises_releases_all_the_same(nodes: Start, store: MemoryStore) -> None:
    """The error goes on as it is, after the release."""
    node = nodes()
    with pytest.raises(LookupError), node.lead(timeout=LIVENESS_S):
        raise LookupError
    assert epochs(store)[-1].kind == "release"
    assert node.role == "follower"


def test_lead_within_lead_is_one_lease(nodes: Start, store: MemoryStore) -> None:
    """The inner body holds what the outer holds, and only the outer one's end releases it."""
    node = nodes()
    with node.lead(timeout=LIVENESS_S) as outer:
        with node.lead(timeout=LIVENESS_S) as inner:
            assert inner is outer
        assert outer.valid
        before = outer.epoch
        until(lambda: outer.epoch > before, "renewals go on")
    assert not outer.valid
    assert [one.kind for one in epochs(store)].count("release") == 1


def test_threads_of_one_process_lead_together(nodes: Start, store: MemoryStore) -> None:
    """All bodies hold one lease, whoever leaves first ends it for nobody, and the last one out releases it."""
    node = nodes()
    inside = threading.Barrier(4)
    gone = [threading.Event() for _ in range(5)]
    gone[0].set()
    leases: list[Lease] = []

    def work(place: int) -> Callable[[], None]:
        def body() -> None:
            with node.lead(timeout=LIVENESS_S) as lease:
                leases.append(lease)
                inside.wait(LIVENESS_S)
                assert gone[place].wait(LIVENESS_S)
                assert lease.valid
            gone[place + 1].set()

        return body

    together(*(work(place) for place in range(4)))
    assert len({id(lease) for lease in leases}) == 1
    assert [one.kind for one in epochs(store)].count("release") == 1


def test_leaving_and_joining_never_hands_out_a_lease_that_is_over(nodes: Start) -> None:
    """Bodies that begin while others end get a lease that is held, each time (no lease is given out to be lost)."""
    node = nodes(settings=Settings(ttl_s=1.0, stagger_s=0.01))
    stillborn: list[Lease] = []

    def work() -> None:
        for _ in range(2):
            with node.lead(timeout=LIVENESS_S) as lease:
                if lease.reason is not None:
                    stillborn.append(lease)

    together(*[work] * 3)
    assert stillborn == []


def test_a_body_that_outlives_its_lease_keeps_nothing_from_the_next(nodes: Start) -> None:
    """A body that does not notice its loss keeps its lost lease; another thread gets the new one and releases it."""
    clock = ShiftedClock()
    node = nodes(clock=clock)
    let_go, lost = threading.Event(), threading.Event()
    tokens: list[int] = []

    def sleeper() -> None:
        with node.lead(timeout=LIVENESS_S) as lease:
            tokens.append(lease.token)
            assert lease.lost.wait(LIVENESS_S)
            lost.set()
            assert let_go.wait(LIVENESS_S)
            assert not lease.valid

    def next_one() -> None:
        until(lambda: len(tokens) == 1, "the first leads")
        clock.suspend(60.0)
        assert node.term is None
        assert lost.wait(LIVENESS_S)
        with node.lead(timeout=LIVENESS_S) as lease:
            tokens.append(lease.token)
            assert lease.valid
        assert not lease.valid
        until(lambda: node.role != "leader", "it leads no more, though the sleeper is still in its body")
        let_go.set()

    together(sleeper, next_one)
    assert tokens == sorted(set(tokens))


def test_a_lost_lease_is_followed_by_a_new_term(nodes: Start) -> None:
    """Whoever leads again after a lapse does so under a higher token, never under the one it was stopped with (6)."""
    clock, heard = ShiftedClock(), Heard()
    node = nodes(clock=clock)
    node.subscribe(heard)
    with node.lead(timeout=LIVENESS_S) as first:
        clock.suspend(60.0)
        with pytest.raises(LeadershipLost, match="expired"):
            first.check()
        with pytest.raises(NotLeader):
            node.publish(b"too late")
    assert heard.wait(Deposed).reason is Reason.EXPIRED
    with node.lead(timeout=LIVENESS_S) as second:
        assert second.token > first.token
        assert not first.valid
    assert heard.wait(Deposed, 2).reason is Reason.RELEASED
    assert heard.names(Elected, Deposed) == ["Elected", "Deposed"] * 2


def test_a_lease_that_nobody_wants_any_more_is_given_back(nodes: Start, store: MemoryStore) -> None:
    """A node whose caller gave up while its claim was under way wins, and releases at once: nobody leads idly."""
    meddler, go_on = Meddler(store), threading.Event()
    node, heard = nodes(location=meddler), Heard()
    node.subscribe(heard)
    rule = meddler.rule(on("PUT", "epochs/"), hold(go_on), times=1)
    with pytest.raises(LeadTimeout), node.lead(timeout=0.2):
        pass
    rule.wait()
    go_on.set()
    assert heard.wait(Deposed).reason is Reason.RELEASED
    until(lambda: epochs(store)[-1].kind == "release", "it is released")
    assert heard.names(Elected, Deposed) == ["Elected", "Deposed"]


def test_a_body_that_lost_its_lease_does_not_keep_the_node_standing(nodes: Start) -> None:
    """Work that goes on after its lease lapsed wins no second term that nobody would hold."""
    clock = ShiftedClock()
    node, other = nodes(clock=clock), nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        until(lambda: other.leader() is not None, "the other follows")
        clock.suspend(60.0)
        assert lease.lost.wait(0) or not lease.valid
        with other.lead(timeout=LIVENESS_S) as taken:
            assert taken.token > lease.token
            assert node.role != "leader"


# --- run ------------------------------------------------------------------------------------------------------------


def test_run_is_lead_and_returns_what_the_work_does(nodes: Start, store: MemoryStore) -> None:
    """One run under one lease, released at its end."""
    node = nodes()
    assert node.run(lambda lease: ("done", lease.valid)) == ("done", True)
    assert epochs(store)[-1].kind == "release"


def test_run_begins_again_after_every_loss(nodes: Start) -> None:
    """Work that lost its lease, whether it returned or raised, runs again from the start under a new token."""
    clock = ShiftedClock()
    node = nodes(clock=clock)
    tokens: list[int] = []

    def work(lease: Lease) -> str:
        tokens.append(lease.token)
        if len(tokens) == 1:
            clock.suspend(60.0)
            return "lost"
        if len(tokens) == 2:
            clock.suspend(60.0)
            lease.check()
        return "kept"

    assert node.run(work) == "kept"
    assert len(tokens) == 3
    assert tokens == sorted(set(tokens))


def test_run_passes_on_what_is_not_a_loss_of_its_own(nodes: Start, store: MemoryStore) -> None:
    """Other errors end the run, and so does a `LeadershipLost` of some other lease while this one is held."""
    node = nodes()

    def fail(lease: Lease) -> None:
        raise LookupError("own fault")

    def mistaken(lease: Lease) -> None:
        raise LeadershipLost("some other node's", Reason.EXPIRED.value)

    with pytest.raises(LookupError):
        node.run(fail)
    with pytest.raises(LeadershipLost, match="some other"):
        node.run(mistaken)
    assert epochs(store)[-1].kind == "release"
    with nodes().lead(timeout=LIVENESS_S), pytest.raises(LeadTimeout):
        node.run(lambda lease: None, timeout=0.1)


# --- campaign, withdraw, step down ----------------------------------------------------------------------------------


def test_campaign_leads_in_the_background_until_withdrawn(nodes: Start, store: MemoryStore) -> None:
    """What follows is a release, and the node does not stand again by itself (rule 9)."""
    node, heard = nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    assert lease.valid
    node.withdraw()
    assert not lease.valid
    assert epochs(store)[-1].kind == "release"
    assert heard.wait(Deposed).reason is Reason.RELEASED
    with pytest.raises(LeadTimeout), nodes(priority=0).lead(timeout=1.2 * SETTINGS.ttl_s):
        pass
    assert node.role == "follower"
    assert len(heard.all(Elected)) == 1
    node.withdraw()


def test_withdraw_lets_the_work_finish_before_the_release(nodes: Start, store: MemoryStore) -> None:
    """Belief ends first, then the work, and the release is written last (rule 9)."""
    node = nodes(settings=Settings(ttl_s=1.5, renew_every_s=0.25, drain_s=LIVENESS_S))
    leading, order = threading.Event(), []

    def work() -> None:
        with node.lead(timeout=LIVENESS_S) as lease:
            leading.set()
            assert lease.lost.wait(LIVENESS_S)
            # The lease that this work held is over by its time too, and still nothing has been released.
            until(lambda: epochs(store)[-1].kind == "lease", "no release yet")
            order.append("work")

    def withdraw() -> None:
        assert leading.wait(LIVENESS_S)
        node.withdraw()
        order.append("withdrawn")

    together(work, withdraw)
    assert order == ["work", "withdrawn"]
    assert epochs(store)[-1].kind == "release"


def test_work_that_does_not_finish_is_not_released_over(nodes: Start, store: MemoryStore) -> None:
    """After `drain_s` nothing is released: the lease lapses, so that nobody follows at once (rule 9)."""
    node = nodes(settings=Settings(ttl_s=1.5, renew_every_s=0.25, drain_s=0.1))
    other = nodes()
    leading, let_go = threading.Event(), threading.Event()

    def work() -> None:
        with node.lead(timeout=LIVENESS_S):
            leading.set()
            assert let_go.wait(LIVENESS_S)

    def withdraw() -> None:
        assert leading.wait(LIVENESS_S)
        node.withdraw()
        last = epochs(store)[-1]
        assert last.kind == "lease"
        with other.lead(timeout=LIVENESS_S) as lease:
            taken = next(one for one in epochs(store) if one.epoch == lease.token)
        assert taken.cause == "expired"
        let_go.set()

    together(work, withdraw)


def test_leadership_is_handed_to_the_heir_that_is_named(nodes: Start, store: MemoryStore) -> None:
    """Of several that stand, the named heir goes first, whatever its rank (rule 9)."""
    three = [nodes() for _ in range(3)]
    for node in three:
        node.campaign()
    until(lambda: any(node.role == "leader" for node in three), "a leader")
    leader = next(node for node in three if node.role == "leader")
    heir = [node for node in three if node is not leader][-1]
    until(lambda: sum(m.standing for m in leader.members()) == 3, "the leader knows everyone")
    term = leader.term
    leader.step_down(to=heir.id)
    until(lambda: heir.role == "leader", "the heir leads")
    assert heir.term is not None
    assert term is not None
    assert heir.term > term
    release = next(one for one in epochs(store) if one.kind == "release")
    assert release.heir is not None
    assert release.heir.node == heir.id
    assert [one.cause for one in epochs(store) if one.epoch == heir.term] == ["handover"]


def test_who_steps_down_stands_again_after_everyone_else(nodes: Start) -> None:
    """The releaser waits a whole ttl; where nobody else comes, it leads again under a new term (rule 9)."""
    node, heard = nodes(), Heard()
    node.subscribe(heard)
    node.campaign()
    first = heard.wait(Elected).lease
    began = time.monotonic()
    node.step_down()
    second = heard.wait(Elected, 2).lease
    assert time.monotonic() - began > SETTINGS.ttl_s * 0.9
    assert second.token > first.token


def test_an_heir_that_never_comes_holds_nobody_up_for_long(nodes: Start, store: MemoryStore) -> None:
    """Others give a named heir 1.25 renewal periods and then follow by themselves (rule 9)."""
    leader, other = nodes(), nodes()
    leader.campaign()
    until(lambda: leader.role == "leader", "it leads")
    other.campaign()
    until(lambda: any(m.node == other.id and m.standing for m in leader.members()), "the leader knows the other")
    leader.step_down(to="nobody")
    until(lambda: other.role == "leader", "the other leads")
    assert [one.cause for one in epochs(store) if one.epoch == other.term] == ["released"]


def test_the_work_may_hand_over_itself(nodes: Start, store: MemoryStore) -> None:
    """Within a body `step_down` ends the lease at once and returns; the release follows when the body has ended."""
    node, other = nodes(), nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        node.step_down(to=other.id)
        assert lease.lost.wait(LIVENESS_S)
        assert not lease.valid
        assert epochs(store)[-1].kind == "lease"
    with other.lead(timeout=LIVENESS_S) as taken:
        assert [one.cause for one in epochs(store) if one.epoch == taken.token] == ["handover"]


def test_only_a_leader_can_hand_over(nodes: Start) -> None:
    """`NotLeader` from anyone else, and an heir that cannot be a node is refused."""
    node = nodes()
    with pytest.raises(NotLeader, match="does not lead"):
        node.step_down()
    with node.lead(timeout=LIVENESS_S) as lease:
        with pytest.raises(SettingsError, match="cannot name a node"):
            node.step_down(to="No/Such Id")
        assert lease.valid


# --- publish --------------------------------------------------------------------------------------------------------


def test_a_published_value_rides_in_the_next_epoch_and_stays(nodes: Start, store: MemoryStore) -> None:
    """It is acknowledged with its epoch, repeated by every later epoch, and survives its leader (section 6)."""
    node, other = nodes(), nodes()
    with node.lead(timeout=LIVENESS_S) as lease:
        before = lease.epoch
        epoch = node.publish(b"\x00value\xff")
        assert epoch > before
        (one,) = [one for one in epochs(store) if one.epoch == epoch]
        assert one.published is not None
        assert (one.published.value, one.published.epoch, one.published.term) == (b"\x00value\xff", epoch, lease.token)
        assert node.publish(b"") > epoch
        assert node.publish(b"\x00value\xff") > epoch + 1
    with other.lead(timeout=LIVENESS_S):
        value = other.published()
        assert value is not None
        assert (value.value, value.term) == (b"\x00value\xff", lease.token)


def test_values_that_wait_together_are_all_acknowledged_and_the_last_stands(nodes: Start, store: MemoryStore) -> None:
    """Publishers do not queue for epochs: those that wait ride in one, and each is told which (I2)."""
    node = nodes()
    acknowledged: list[int] = []

    def publish(number: int) -> Callable[[], None]:
        return lambda: acknowledged.append(node.publish(b"%d" % number, timeout=LIVENESS_S))

    with node.lead(timeout=LIVENESS_S) as lease:
        together(*(publish(number) for number in range(24)))
        assert lease.valid
    assert len(acknowledged) == 24
    written = {one.epoch: one.published for one in epochs(store)}
    for epoch in acknowledged:
        value = written[epoch]
        assert value is not None
        assert value.epoch == epoch


def test_only_a_leader_publishes_and_not_too_much(nodes: Start, store: MemoryStore) -> None:
    """`NotLeader` names who leads; more than 64 KiB is refused before anything is sent."""
    leader, other = nodes(), nodes()
    with leader.lead(timeout=LIVENESS_S):
        until(lambda: other.leader() is not None, "the other knows who leads")
        with pytest.raises(NotLeader, match=f"node {other.id} does not lead, .* node {leader.id} leads"):
            other.publish(b"not mine to say")
        with pytest.raises(SettingsError, match="at most 65536 bytes"):
            leader.publish(b"x" * (VALUE_LIMIT_BYTES + 1))
        leader.publish(b"x" * VALUE_LIMIT_BYTES)
    with pytest.raises(NotLeader):
        leader.publish(b"no more")
    assert all(one.published is None or one.published.value != b"no more" for one in epochs(store))


def test_what_was_refused_is_never_published(nodes: Start, store: MemoryStore) -> None:
    """A value that waits while another takes over is refused, and no epoch ever carries it (I2, I10)."""
    meddler = Meddler(store)
    node, other = nodes(location=meddler), nodes()
    with node.lead(timeout=LIVENESS_S):
        until(lambda: other.leader() is not None, "the other follows")
        # The store lets nothing of this node's through from here on.
        meddler.rule(anything, refuse)
        with pytest.raises(LeadershipLost, match="it never will be"):
            node.publish(b"never", timeout=LIVENESS_S)
        with other.lead(timeout=LIVENESS_S):
            meddler.clear()
            until(lambda: (led := node.leader()) is not None and led.node == other.id, "it sees who leads now")
    assert all(one.published is None for one in epochs(store))


def test_a_publish_that_nobody_answers_is_unknown(nodes: Start, store: MemoryStore) -> None:
    """Neither done nor refused: it was sent and not settled, and the lease is over (I10)."""
    meddler = Meddler(store)
    node = nodes(location=meddler)
    with node.lead(timeout=LIVENESS_S) as lease:
        meddler.rule(on("PUT", "epochs/"), hang)
        with pytest.raises(OutcomeUnknown, match="read before you repeat"):
            node.publish(b"into silence", timeout=LIVENESS_S)
        assert lease.lost.wait(LIVENESS_S)
        meddler.clear()


def test_a_publish_whose_answer_was_lost_is_acknowledged_once(nodes: Start, store: MemoryStore) -> None:
    """Won, told late: the node knows its own nonce and goes on under the same term (section 3)."""
    meddler = Meddler(store)
    node = nodes(location=meddler)
    with node.lead(timeout=LIVENESS_S) as lease:
        rule = meddler.rule(on("PUT", "epochs/"), lose, times=1)
        epoch = node.publish(b"once", timeout=LIVENESS_S)
        rule.wait()
        assert lease.valid
    carrying = [one for one in epochs(store) if one.published is not None and one.published.epoch == one.epoch]
    assert [one.epoch for one in carrying] == [epoch]


def test_a_caller_that_waits_no_longer_is_told_so(nodes: Start, store: MemoryStore) -> None:
    """A timeout of the caller's own ends its wait with an unknown outcome and hurts neither lease nor value (I10)."""
    meddler, go_on = Meddler(store), threading.Event()
    node = nodes(location=meddler)
    with node.lead(timeout=LIVENESS_S) as lease:
        rule = meddler.rule(on("PUT", "epochs/"), hold(go_on), times=1)
        with pytest.raises(OutcomeUnknown, match=f"publishing in term {lease.token} was not settled in time"):
            node.publish(b"slow", timeout=0.05)
        rule.wait()
        go_on.set()
        until(lambda: (value := node.published()) is not None and value.value == b"slow", "it was published after all")
        assert lease.valid


def test_a_write_that_arrives_after_the_next_term_began_is_never_acknowledged(nodes: Start, store: MemoryStore) -> None:
    """A publish held up on its way until another leads ends unknown or refused, and stands nowhere (I2, rule 1)."""
    meddler, go_on = Meddler(store), threading.Event()
    node, other = nodes(location=meddler), nodes()
    failed: list[BaseException] = []

    def publish() -> None:
        with node.lead(timeout=LIVENESS_S):
            until(lambda: other.leader() is not None, "the other follows")
            meddler.rule(on("PUT", "epochs/"), hold(go_on, answered=False))
            try:
                node.publish(b"from the past", timeout=LIVENESS_S)
            except (LeadershipLost, OutcomeUnknown) as error:
                failed.append(error)

    def take_over() -> None:
        until(lambda: bool(meddler.trips("PUT", "epochs/")), "the first leads")
        with other.lead(timeout=LIVENESS_S) as lease:
            go_on.set()
            meddler.clear()
            before = lease.epoch
            until(lambda: lease.epoch > before + 1, "the new leader leads on")

    together(publish, take_over)
    assert len(failed) == 1
    assert all(one.published is None for one in epochs(store))


def test_publishers_that_wait_when_the_node_stops_are_told(nodes: Start, store: MemoryStore) -> None:
    """Nobody waits for ever: what is under way when a node stops ends as unknown or refused (I10)."""
    meddler, go_on = Meddler(store), threading.Event()
    node = nodes(location=meddler)
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    rule = meddler.rule(on("PUT", "epochs/"), hold(go_on, answered=False))
    ended: list[type[BaseException]] = []

    def publish() -> None:
        try:
            node.publish(b"in between")
        except (OutcomeUnknown, LeadershipLost) as error:
            ended.append(type(error))

    def stop() -> None:
        rule.wait()
        node.stop(timeout=0.1)
        go_on.set()

    together(publish, publish, stop)
    assert len(ended) == 2
