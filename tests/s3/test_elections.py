"""Elections on the embedded S3 over HTTP, with and without a fault proxy in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from holocron import Node, events
from holocron.errors import OutcomeUnknown
from holocron.events import Reason
from holocron.testing.server import Server, serve
from tests.s3.elections import LIVENESS_S, ElectionSuite, until
from tests.s3.faults import FaultProxy, conflict, deny, fail_after, hang, lose_response, on, reset, storm

Start = Callable[..., Node]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as made:
        yield made


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as made:
        yield made


@pytest.mark.usefixtures("aws")
class TestElections(ElectionSuite):
    """The suite on the embedded S3, and what happens to a leader when its requests go wrong."""

    @pytest.fixture
    def endpoint(self, server: Server) -> str:
        return server.url

    @pytest.mark.parametrize("fault", [lose_response, fail_after, conflict, reset, storm])
    def test_leader_outlives_a_passing_fault(self, nodes: Start, proxy: FaultProxy, fault: Callable[..., None]) -> None:
        """A renewal whose answer is lost, refused or unclear once or twice keeps its term (section 3, rule 6)."""
        node = nodes(url=proxy.url)
        with node.lead(timeout=LIVENESS_S) as lease:
            rule = proxy.rule(on("PUT", "/epochs/"), fault, times=2)
            assert rule.wait(2)
            before = lease.epoch
            until(lambda: lease.epoch > before + 1, "renewals go on")
            assert lease.valid
            assert lease.token == lease.term
        assert lease.reason is Reason.RELEASED

    def test_published_exactly_once_though_the_answer_was_lost(self, nodes: Start, proxy: FaultProxy) -> None:
        """A publish whose answer was lost is known by its nonce and acknowledged: won, told late (I10)."""
        node = nodes(url=proxy.url)
        with node.lead(timeout=LIVENESS_S):
            rule = proxy.rule(on("PUT", "/epochs/"), lose_response, times=1)
            epoch = node.publish(b"once")
            assert rule.wait(1)
            published = node.published()
            assert published is not None
            assert (published.value, published.epoch) == (b"once", epoch)

    @pytest.mark.parametrize("fault", [hang, deny])
    def test_cut_off_leader_steps_down_before_anyone_follows(
        self, nodes: Start, proxy: FaultProxy, fault: Callable[..., None]
    ) -> None:
        """A leader whose store hangs or denies stops believing in time; only then another leads (I1, rules 3, 4)."""
        cut_off, other = nodes(url=proxy.url), nodes()
        told: list[events.Event] = []
        cut_off.subscribe(told.append)
        cut_off.campaign()
        until(lambda: cut_off.role == "leader", "the first leads")
        until(lambda: any(isinstance(event, events.Elected) for event in told), "it was told so")
        lease = next(event.lease for event in told if isinstance(event, events.Elected))
        other.campaign()
        until(lambda: other.leader() is not None, "the other follows")
        proxy.rule(lambda _: True, fault)
        until(lambda: other.role == "leader", "the other takes over")
        assert not lease.valid
        until(lambda: any(isinstance(event, events.Deposed) for event in told), "Deposed was told")
        deposed = next(event for event in told if isinstance(event, events.Deposed))
        assert deposed.reason in {Reason.EXPIRED, Reason.STORE_UNREACHABLE}
        until(lambda: any(isinstance(event, events.StoreUnreachable) for event in told), "StoreUnreachable was told")
        proxy.clear()
        until(lambda: any(isinstance(event, events.StoreBack) for event in told), "StoreBack was told")
        until(lambda: (known := cut_off.leader()) is not None and known.node == other.id, "it follows the new leader")

    def test_publish_into_silence_is_unknown(self, nodes: Start, proxy: FaultProxy) -> None:
        """A publish that could not be settled is neither done nor refused, and the lease is over (I10)."""
        node = nodes(url=proxy.url)
        with node.lead(timeout=LIVENESS_S) as lease:
            proxy.rule(on("PUT", "/epochs/"), hang)
            with pytest.raises(OutcomeUnknown):
                node.publish(b"into silence")
            until(lambda: not lease.valid, "the lease is over")
            proxy.clear()
