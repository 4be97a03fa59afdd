"""`--http`: a node's process as a load balancer, a supervisor and Prometheus see it."""

from __future__ import annotations

import signal
import socket
from contextlib import closing

import pytest

from holocron_cli.config import listen
from tests.cli.conftest import Place
from tests.cli.program import clean_environment, holocron, running
from tests.observe.asking import ask, scrape

START = ("node", "start", "--ttl", "1s", "--log-format", "json", "--http", "127.0.0.1:0")


def test_a_node_is_served_from_its_start_to_its_end(place: Place) -> None:
    """The leader answers 200 while it leads; once the process has ended, nothing listens any more."""
    with running(*START, "--address", "10.0.0.1:80", env=place.env) as node:
        served = node.heard("Serving HTTP.")
        url = served["url"]
        won = node.heard("Acquired cluster leadership.")
        assert {"node", "epoch", "term", "role"} <= set(served)
        told = ask(url, "/leader")
        assert (told.code, told.json["leader"]["address"]) == (200, "10.0.0.1:80")
        assert told.json["term"] == won["term"]
        assert ask(url, "/health").code == 200
        assert scrape(url)[("holocron_is_leader",)] == 1
        assert holocron("node", "list", env=place.env).code == 0
        node.signal(signal.SIGTERM)
        assert node.ended() == 0
        with pytest.raises(OSError, match="refused"):
            ask(url, "/health")


def test_a_resumed_node_is_served_as_what_it_is_now(place: Place) -> None:
    """The same node under its new incarnation; the address to serve it at may come from the environment."""
    with running(*START, env=place.env) as first:
        node = str(first.heard("Starting node")["node"])
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
    resume = ("node", "resume", "--ttl", "1s", "--log-format", "json", "--node-id", node)
    with running(*resume, env=place.env | {"HOLOCRON_HTTP": "127.0.0.1:0"}) as second:
        url = second.heard("Serving HTTP.")["url"]
        told = ask(url, "/health").json
        assert (told["node"], told["incarnation"]) == (node, 2)
        second.signal(signal.SIGTERM)
        assert second.ended() == 0


def test_a_port_that_is_taken_leaves_nothing_behind(place: Place) -> None:
    """A supervisor that tries again and again must not found a cluster or write a node each time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = holocron(*START[:-1], f"127.0.0.1:{port}", env=place.env)
    assert done.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.err
    assert holocron("node", "list", "-o", "json", env=place.env).json == []


@pytest.mark.parametrize(
    "text", ["", "8008", ":8008", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "::1:8008", "[]:80", "h:70000", "h:-1"]
)
def test_an_address_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """What is given by a variable is named by it, and the right form is shown ("Bad input")."""
    done = holocron("node", "start", "--store", "memory://x", f"--http={text}")
    assert done.code == 2
    assert "--http: " in done.err
    if text:
        said = holocron("node", "start", "--store", "memory://x", env=clean_environment(HOLOCRON_HTTP=text))
        assert (said.code, "HOLOCRON_HTTP: " in said.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:8008", "127.0.0.1", 8008), ("[::1]:0", "::1", 0), ("web-1:80", "web-1", 80)]
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    """IPv6 stands in brackets, as in a URL."""
    assert listen(text) == (host, port)
