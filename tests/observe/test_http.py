"""A node's HTTP endpoints, asked over real connections."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

import holocron
from holocron import Node
from holocron.errors import SettingsError
from tests.observe.asking import ask
from tests.runtime.conftest import SETTINGS
from tests.runtime.waiting import until

Nodes = Callable[..., Node]


def test_only_the_leader_says_that_it_leads(nodes: Nodes) -> None:
    """For a load balancer: 200 from the leader alone, and everyone else names it; after a hand-over as well (I1)."""
    one, two = nodes(name="one", address="10.0.0.1:80"), nodes(name="two", address="10.0.0.2:80")
    with holocron.serve(one) as first, holocron.serve(two) as second:
        one.campaign()
        until(lambda: ask(first.url, "/leader").code == 200, "the first node leads")
        two.campaign()
        until(lambda: ask(second.url, "/leader").json["leader"] is not None, "the second node knows who leads")
        told = ask(second.url, "/leader")
        assert told.code == 503
        expected = {"node": one.id, "name": "one", "address": "10.0.0.1:80", "incarnation": 1}
        assert (told.json["leads"], told.json["leader"]) == (False, expected)
        until(lambda: any(m.node == two.id and m.standing for m in one.members()), "the leader has seen its heir")
        before = ask(first.url, "/leader").json
        one.step_down(to=two.id)
        assert ask(first.url, "/leader").code == 503
        until(lambda: ask(second.url, "/leader").code == 200, "the second node leads")
        after = ask(second.url, "/leader").json
        assert after["leader"]["address"] == "10.0.0.2:80"
        assert after["term"] > before["term"]
        assert 0 < after["remaining_s"] <= SETTINGS.belief_s
        until(lambda: _leader_named(first.url) == two.id, "the first node knows of the second")
        assert ask(first.url, "/leader").code == 503


def _leader_named(url: str) -> object:
    leader = ask(url, "/leader").json["leader"]
    return None if leader is None else leader["node"]


def test_a_leader_that_drains_its_work_is_no_leader(nodes: Nodes) -> None:
    """The lease itself is asked at each request: belief ends before the work does, and traffic with it (rule 9)."""
    node = nodes()
    with holocron.serve(node) as endpoints, node.lead(timeout=30) as lease:
        assert ask(endpoints.url, "/leader").code == 200
        # The body that runs is the work that is waited for, so the hand-over stands still while this asks.
        node.withdraw(timeout=60)
        assert lease.lost.wait(30)
        told = ask(endpoints.url, "/leader")
        assert (told.code, told.json["leads"]) == (503, False)


def test_health_is_good_until_the_node_has_stopped(nodes: Nodes) -> None:
    """For whoever keeps the process alive: a follower is as healthy as a leader, a superseded node is not (rule 11)."""
    node = nodes()
    with holocron.serve(node) as endpoints:
        assert ask(endpoints.url, "/health").code == 200
        newer = nodes(node.id)
        assert node.wait(30)
        told = ask(endpoints.url, "/health")
        assert (told.code, told.json["role"], told.json["incarnation"]) == (503, "stopped", 1)
        assert f"incarnation {newer.incarnation}" in told.json["error"]
        assert ask(endpoints.url, "/leader").code == 503
        with holocron.serve(newer) as others:
            assert ask(others.url, "/health").json["incarnation"] == 2


def test_a_node_that_was_stopped_has_no_error(nodes: Nodes) -> None:
    """A node that was told to stop is no longer healthy, and nothing is wrong with it."""
    node = nodes()
    with holocron.serve(node) as endpoints:
        node.stop()
        told = ask(endpoints.url, "/health")
        assert (told.code, told.json["error"]) == (503, None)


def test_before_there_is_a_node(nodes: Nodes) -> None:
    """A start takes its time: alive already, and neither leader nor able to say who else is."""
    with holocron.serve() as endpoints:
        assert ask(endpoints.url, "/health").json == {"role": "starting"}
        assert ask(endpoints.url, "/leader").code == 503
        assert (ask(endpoints.url, "/topology").code, ask(endpoints.url, "/topology").json) == (503, None)
        assert ask(endpoints.url, "/metrics").code == 200
        node = nodes()
        endpoints.show(node)
        assert ask(endpoints.url, "/health").json["node"] == node.id


def test_the_topology_is_the_leaders_view(nodes: Nodes) -> None:
    """Each node serves the view that it last read, a follower as well as the leader."""
    one, two = nodes(labels={"zone": "a"}), nodes()
    one.campaign()
    with holocron.serve(two) as endpoints:
        until(lambda: len(two.members()) == 2, "the follower has read a view of both")
        told = ask(endpoints.url, "/topology")
        assert told.code == 200
        assert told.json["leader"]["node"] == one.id
        rows = {row["node"]: row for row in told.json["members"]}
        assert set(rows) == {one.id, two.id}
        assert rows[one.id]["labels"] == {"zone": "a"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_check_without_a_body(nodes: Nodes, method: str) -> None:
    """Load balancers ask with HEAD or OPTIONS: the code is the same, and no body comes."""
    node = nodes()
    with holocron.serve(node) as endpoints:
        for path, code in (("/health", 200), ("/leader", 503), ("/nothing", 404), ("/health?verbose=1", 200)):
            reply = ask(endpoints.url, path, method)
            assert (reply.code, reply.body) == (code, b"")
            assert reply.headers["Cache-Control"] == "no-store"


def test_nothing_can_be_changed_and_nothing_else_is_there(nodes: Nodes) -> None:
    """The endpoints only tell: other methods are refused, other paths name those that are there."""
    with holocron.serve(nodes()) as endpoints:
        for method in ("POST", "PUT", "DELETE"):
            assert ask(endpoints.url, "/leader", method).code == 501
        assert ask(endpoints.url, "/../etc/passwd").code == 404
        assert "/leader" in ask(endpoints.url, "/").json["error"]


def test_a_client_that_goes_away_or_talks_nonsense_hurts_nobody(
    nodes: Nodes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever arrives on the port, the next one is answered, and nothing is printed."""
    with holocron.serve(nodes()) as endpoints:
        where = urlsplit(endpoints.url)
        for words in (b"", b"\x16\x03\x01\x00\xff", b"GET /health HTTP/1.1\r\nHost", b"GET\r\n\r\n", b"\xff" * 70000):
            with socket.create_connection((str(where.hostname), where.port or 0), timeout=30) as client:
                client.sendall(words)
        assert ask(endpoints.url, "/health").code == 200
    assert capfd.readouterr() == ("", "")


def test_a_silent_client_keeps_nobody_waiting(nodes: Nodes) -> None:
    """Each connection has a thread of its own, so one that says nothing holds up no check."""
    with holocron.serve(nodes()) as endpoints:
        where = urlsplit(endpoints.url)
        with socket.create_connection((str(where.hostname), where.port or 0), timeout=30):
            assert ask(endpoints.url, "/health").code == 200


def test_a_place_where_nobody_can_listen(nodes: Nodes) -> None:
    """A port that is taken, or no port at all, is one line that says what to change."""
    with holocron.serve() as endpoints:
        port = urlsplit(endpoints.url).port or 0
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}.*choose another"):
            holocron.serve(port=port)
    for host, number in (("127.0.0.1", 70000), ("no such host", 0), ("x" * 300, 0)):
        with pytest.raises(SettingsError, match="cannot listen"):
            holocron.serve(host=host, port=number)


def test_closing_frees_the_port_and_leaves_the_node(nodes: Nodes) -> None:
    """The endpoints can be closed twice, and their port can be had again at once; the node runs on."""
    node = nodes()
    endpoints = holocron.serve(node)
    ask(endpoints.url, "/health")
    endpoints.close()
    endpoints.close()
    with pytest.raises(OSError, match="refused"):
        ask(endpoints.url, "/health")
    with holocron.serve(node, port=urlsplit(endpoints.url).port or 0) as again:
        assert ask(again.url, "/health").code == 200
    assert node.role != "stopped"


def test_the_ipv6_loopback(nodes: Nodes) -> None:
    """An IPv6 address is served as such, and its URL can be used as it is."""
    if not socket.has_ipv6 or not _has_v6_loopback():
        pytest.skip("this machine has no ::1")
    with holocron.serve(nodes(), host="::1") as endpoints:
        assert endpoints.url.startswith("http://[::1]:")
        assert ask(endpoints.url, "/health").code == 200


def _has_v6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_without_prometheus_client_the_rest_is_served(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `metrics` is for /metrics alone, which names it; a load balancer needs nothing more."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with holocron.serve(nodes()) as endpoints:
        told = ask(endpoints.url, "/metrics")
        assert told.code == 501
        assert "holocron-runtime[metrics]" in told.json["error"]
        assert ask(endpoints.url, "/health").code == 200
