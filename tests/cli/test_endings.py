"""How the program ends, on a real store: the second signal, time limits, and the exit codes that scripts rely on."""

from __future__ import annotations

import signal
import time

import pytest

from tests.cli.conftest import Place
from tests.cli.program import PATIENCE_S, holocron, running
from tests.s3.faults import FaultProxy

START = ("node", "start", "--log-format", "json")
ACQUIRED = "Acquired cluster leadership."


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_does_not_wait_for_the_store(place: Place, number: signal.Signals, code: int) -> None:
    """A leader that cannot release, because nothing answers, still ends at once with the second signal."""
    with FaultProxy(place.env["AWS_ENDPOINT_URL_S3"]) as proxy:
        env = place.env | {"AWS_ENDPOINT_URL_S3": proxy.url}
        # With a lease of ten minutes, nothing but the signal can be what ends it.
        with running(*START, "--ttl", "10m", env=env) as node:
            node.heard(ACQUIRED)
            proxy.partition()
            node.signal(number)
            node.heard("Lost cluster leadership.")
            node.signal(number)
            assert node.ended() == code
            assert node.lines == []
    assert holocron("leader", "show", env=place.env).code == 0


def test_a_release_that_cannot_be_written_is_given_up_with_the_lease(place: Place) -> None:
    """Without an answer from the store, one signal ends the node once its lease is over, and nothing was released."""
    with FaultProxy(place.env["AWS_ENDPOINT_URL_S3"]) as proxy:
        env = place.env | {"AWS_ENDPOINT_URL_S3": proxy.url}
        with running(*START, "--ttl", "2s", env=env) as node:
            node.heard(ACQUIRED)
            proxy.partition()
            node.signal(signal.SIGTERM)
            assert node.ended() == 0
            assert not node.said("Released cluster leadership.")
            node.heard("Stopped node")
    newest = holocron("history", "--epochs", "--limit", "1", "-o", "json", env=place.env).json
    assert [one["kind"] for one in newest] == ["lease"]


def test_nobody_follows_and_that_is_75(place: Place) -> None:
    """A leader that was killed cannot hand over: the wait for the next one ends with 75, which says "ask again"."""
    with running(*START, "--ttl", "60s", env=place.env) as node:
        name = str(node.heard(ACQUIRED)["node"])
        node.signal(signal.SIGKILL)
        node.ended()
    done = holocron("leader", "step-down", "--wait", "1s", env=place.env)
    assert (done.code, done.out) == (75, "")
    assert done.err == f"holocron: {name} was asked to hand over, and no other leader came within 1s\n"


def test_a_leader_that_is_alone_leads_again_and_that_is_75_too(place: Place) -> None:
    """Where nobody else can take over, nothing was handed over; an heir that is not there is refused outright."""
    with running(*START, "--ttl", "1s", env=place.env) as node:
        name = str(node.heard(ACQUIRED)["node"])
        done = holocron("leader", "step-down", "--to", "feedfeedfeed", env=place.env)
        assert (done.code, done.out) == (1, "")
        assert "feedfeedfeed" in done.err
        assert not node.said("Lost cluster leadership.")
        done = holocron("leader", "step-down", env=place.env)
        assert (done.code, done.out) == (75, "")
        assert f"{name} stepped down and leads again" in done.err


def test_a_lease_that_is_over_is_no_leader(place: Place) -> None:
    """By the store's own clock: 4 for who asks who leads, and 4 for who asks it to hand over (rule 11)."""
    with running(*START, "--ttl", "1s", env=place.env) as node:
        name = str(node.heard(ACQUIRED)["node"])
        node.signal(signal.SIGKILL)
        node.ended()
    done = holocron("leader", "show", "-o", "json", env=place.env)
    until = time.monotonic() + PATIENCE_S
    while done.code == 0 and time.monotonic() < until:
        done = holocron("leader", "show", "-o", "json", env=place.env)
    assert done.code == 4
    assert done.json["expired"] is True
    assert f"the lease of {name} is over" in done.err
    assert holocron("leader", "step-down", env=place.env).code == 4


def test_for_ends_what_goes_on(place: Place) -> None:
    """`--for` ends a resume as it ends a start, and a look that goes on."""
    started = holocron(*START, "--ttl", "1s", "--node-id", "alpha", "--for", "3s", env=place.env)
    resumed = holocron(
        "node", "resume", "--node-id", "alpha", "--ttl", "1s", "--log-format", "json", "--for", "3s", env=place.env
    )
    for done, began in ((started, "Starting node"), (resumed, "Resumed node")):
        assert (done.code, done.out) == (0, "")
        assert began in done.err
        assert "Stopped node" in done.err
    watched = holocron("node", "list", "--watch", "--for", "1s", env=place.env)
    assert (watched.code, watched.err) == (0, "")
    assert "stopped" in watched.out
