"""What Prometheus reads of a node, scraped over real HTTP from nodes that elect, lose and replace a leader."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

import holocron
from holocron import Node, Settings
from holocron.errors import MissingExtra
from holocron.records import Member
from holocron.store.base import Answer, Denied, Put, Request, Unclear
from holocron.store.memory import MemoryStore
from tests.observe.asking import ask, samples, scrape
from tests.runtime.waiting import until

Nodes = Callable[..., Node]
# Long enough that no lease lapses on a busy machine, where a test counts how leadership ended.
STEADY = Settings(ttl_s=5.0, heartbeat_every_s=0.25)


class Faulty(MemoryStore):
    """A store in memory that can be told to answer nothing, or to refuse."""

    fault: Answer | None = None

    def perform(self, request: Request, timeout_s: float) -> Answer:
        fault = self.fault
        return super().perform(request, timeout_s) if fault is None else fault


def test_a_change_of_leader_as_a_scraper_sees_it(nodes: Nodes) -> None:
    """Gauges follow the lease and counters say how leadership came and why it went, on both sides of a hand-over."""
    one, two = nodes(settings=STEADY), nodes(settings=STEADY)
    with holocron.serve(one) as first, holocron.serve(two) as second:
        before = scrape(first.url)
        assert before[("holocron_is_leader",)] == 0
        assert before[("holocron_lease_remaining_seconds",)] == 0
        assert before[("holocron_takeovers_total", "first")] == 0
        one.campaign()
        until(lambda: scrape(first.url)[("holocron_is_leader",)] == 1, "the first node leads")
        led = scrape(first.url)
        assert led[("holocron_role", "leader")] == 1
        assert led[("holocron_role", "follower")] == 0
        assert led[("holocron_takeovers_total", "first")] == 1
        assert led[("holocron_term",)] == 1
        assert 0 < led[("holocron_lease_remaining_seconds",)] <= STEADY.belief_s
        two.campaign()
        until(lambda: any(m.node == two.id and m.standing for m in one.members()), "the leader has seen its heir")
        one.step_down(to=two.id)
        until(lambda: scrape(second.url)[("holocron_is_leader",)] == 1, "the second node leads")
        until(lambda: scrape(first.url)[("holocron_leader_changes_seen_total",)] == 2, "the first node has seen both")
        lost, won = scrape(first.url), scrape(second.url)
        assert lost[("holocron_is_leader",)] == 0
        assert lost[("holocron_leadership_losses_total", "released")] == 1
        assert lost[("holocron_leadership_losses_total", "expired")] == 0
        assert won[("holocron_takeovers_total", "handover")] == 1
        assert won[("holocron_takeovers_total", "expired")] == 0
        assert won[("holocron_leadership_losses_total", "released")] == 0
        assert won[("holocron_term",)] > led[("holocron_term",)]
        assert won[("holocron_epoch",)] >= won[("holocron_term",)]
        assert lost[("holocron_has_leader",)] == won[("holocron_has_leader",)] == 1


def test_a_takeover_from_a_silent_leader_is_told_from_a_hand_over(nodes: Nodes, place: str) -> None:
    """`cause="expired"` counts what an operator wants to be woken for; the reason stands at the one who lost it."""
    name, _, prefix = place.removeprefix("memory://").partition("/")
    store = Faulty(name, prefix)
    one, two = nodes(location=store), nodes()
    one.campaign()
    until(lambda: one.role == "leader", "the first node leads")
    two.campaign()
    until(lambda: any(m.node == two.id and m.standing for m in two.members()), "the follower is in the view")
    with holocron.serve(one) as first, holocron.serve(two) as second:
        store.fault = Unclear("cut off", sent=False)
        until(lambda: scrape(second.url)[("holocron_takeovers_total", "expired")] >= 1, "the follower took over")
        cut = scrape(first.url)
        assert cut[("holocron_is_leader",)] == 0
        assert cut[("holocron_leadership_losses_total", "store unreachable")] >= 1
        assert cut[("holocron_store_up",)] == 0
        assert cut[("holocron_store_outages_total",)] == 1
        assert cut[("holocron_store_request_failures_total", "PUT")] >= 1
        assert scrape(second.url)[("holocron_store_up",)] == 1
        store.fault = None
        until(lambda: scrape(first.url)[("holocron_store_up",)] == 1, "the store is back")
        assert scrape(first.url)[("holocron_store_outages_total",)] == 1


def test_requests_and_refusals_are_counted_by_verb(nodes: Nodes, place: str) -> None:
    """A scrape shows what the bucket will charge for, and a refusal counts as a failure (I14)."""
    name, _, prefix = place.removeprefix("memory://").partition("/")
    store = Faulty(name, prefix)
    node = nodes(location=store)
    with holocron.serve(node) as endpoints:
        first = scrape(endpoints.url)
        for verb in ("GET", "PUT", "LIST", "DELETE"):
            assert first[("holocron_store_request_failures_total", verb)] == 0
            assert 0 < first[("holocron_store_requests_total", verb)] <= node.requests[verb]
        node.campaign()
        puts = ("holocron_store_requests_total", "PUT")
        until(lambda: scrape(endpoints.url)[puts] > first[puts], "it writes")
        store.fault = Denied("not allowed")
        until(lambda: scrape(endpoints.url)[("holocron_store_request_failures_total", "PUT")] > 0, "it is refused")
        store.fault = None


def test_the_age_of_the_heartbeat_grows_while_none_comes_through(nodes: Nodes, place: str) -> None:
    """The age is computed at the scrape, so it tells of heartbeats that stopped as well as of those that come."""
    name, _, prefix = place.removeprefix("memory://").partition("/")

    class Mute(MemoryStore):
        muted = threading.Event()

        def perform(self, request: Request, timeout_s: float) -> Answer:
            if self.muted.is_set() and isinstance(request, Put) and request.key.startswith("members/"):
                return Unclear("lost")
            return super().perform(request, timeout_s)

    store = Mute(name, prefix)
    node = nodes(location=store)
    age = ("holocron_heartbeat_age_seconds",)
    with holocron.serve(node) as endpoints:
        until(lambda: age in scrape(endpoints.url), "the first heartbeat")
        store.muted.set()
        until(lambda: scrape(endpoints.url)[age] > 2.0, "no heartbeat for longer than eight intervals")
        store.muted.clear()
        until(lambda: scrape(endpoints.url)[age] < 1.0, "heartbeats come again")


def test_members_are_counted_by_status(nodes: Nodes) -> None:
    """The leader's view in numbers: a node that says goodbye goes from alive to gone."""
    one, two = nodes(), nodes()
    one.campaign()
    with holocron.serve(one) as endpoints:
        until(lambda: scrape(endpoints.url)[("holocron_members", "alive")] == 2, "both are alive")
        two.stop()
        until(lambda: scrape(endpoints.url)[("holocron_members", "gone")] == 1, "one is gone")
        assert scrape(endpoints.url)[("holocron_members", "alive")] == 1


def test_several_nodes_of_one_process_in_a_registry_of_its_own(nodes: Nodes) -> None:
    """Whoever has an exposition already registers one collector for all nodes; samples are told apart by `node`."""
    one, two = nodes(name='o"ne'), nodes()
    registry = CollectorRegistry(auto_describe=True)
    registry.register(holocron.metrics(one, two))
    text = generate_latest(registry).decode()
    assert text.count("# TYPE holocron_is_leader gauge") == 1
    for node in (one, two):
        assert f'holocron_is_leader{{node="{node.id}"}} 0.0' in text
    assert samples(text)[("holocron_node_info", one.cluster, "1", 'o"ne')] == 1


def test_a_scraper_that_wants_openmetrics_gets_it(nodes: Nodes) -> None:
    """The form is the scraper's choice, by its Accept header."""
    node = nodes()
    with holocron.serve(node) as endpoints:
        wanted = "application/openmetrics-text; version=1.0.0"
        reply = ask(endpoints.url, "/metrics", accept=wanted)
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
        parsed = openmetrics(reply.body.decode())  # type: ignore[no-untyped-call]  # which it leaves without types
        families = {family.name: family for family in parsed}
        assert families["holocron_takeovers"].type == "counter"


def test_a_stopped_node_can_still_be_scraped(nodes: Nodes) -> None:
    """The last word of a node is told until its endpoints close, and is that it stopped."""
    node = nodes()
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    with holocron.serve(node) as endpoints:
        node.stop()
        told = scrape(endpoints.url)
        assert told[("holocron_role", "stopped")] == 1
        assert told[("holocron_is_leader",)] == 0
        assert told[("holocron_leadership_losses_total", "released")] == 1


def test_without_the_extra_the_error_names_it(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install, at the call and not at the first scrape."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"pip install 'holocron-runtime\[metrics\]'"):
        holocron.metrics(nodes())


def test_statistics_need_nothing_installed(nodes: Nodes) -> None:
    """The same counts for whoever has another way to tell them; asking costs no request."""
    node = nodes()
    node.campaign()
    until(lambda: node.role == "leader", "it leads")
    counted = node.statistics()
    assert counted.takeovers == {"first": 1, "expired": 0, "released": 0, "handover": 0}
    assert sum(counted.losses.values()) == 0
    assert counted.store_reachable
    assert set(counted.requests) == set(counted.failures) == {"GET", "PUT", "LIST", "DELETE"}


def test_hints_are_counted(nodes: Nodes) -> None:
    """Hints that were sent and heard, and datagrams that were none, are counted from nothing on (rule 16)."""
    node = nodes(hints="127.0.0.1:0")
    with holocron.serve(node) as endpoints:
        first = scrape(endpoints.url)
        assert [first[("holocron_hints_total", what)] for what in ("sent", "heard", "dropped")] == [0, 0, 0]
        rows = [row.hints for row in _known(node)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"noise", ("127.0.0.1", int(str(rows[0]).rpartition(":")[2])))
        until(lambda: scrape(endpoints.url)[("holocron_hints_total", "dropped")] == 1, "noise is counted")


def _known(node: Node) -> tuple[Member, ...]:
    node.campaign()
    until(lambda: len(node.members()) == 1, "it leads, and knows itself")
    return node.members()
