"""The program beside records that nobody can read, and in a prefix that two clusters share."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable

import pytest

from tests.cli.conftest import Place
from tests.cli.program import holocron, running

START = ("node", "start", "--node-id", "beta", "--ttl", "1s", "--log-format", "json")
RESUME = ("node", "resume", "--node-id", "alpha", "--ttl", "1s", "--log-format", "json")
ACQUIRED = "Acquired cluster leadership."
LEFT_ALONE = "Left alone what cannot be read."


@pytest.fixture
def lived_in(place: Place) -> Place:
    """A place in which the node alpha led when it was killed."""
    with running("node", "start", "--node-id", "alpha", "--ttl", "1s", "--log-format", "json", env=place.env) as alpha:
        alpha.heard(ACQUIRED)
    return place


def newer(_: bytes) -> bytes:
    """What a later Holocron may write."""
    return b'{"format": 99, "cluster": "x", "nonce": "n", "what": "nobody knows yet"}'


def strangers(body: bytes) -> bytes:
    """What another cluster has written."""
    start = body.index(b'"cluster": "') + len(b'"cluster": "')
    return body[:start] + str(uuid.uuid4()).encode() + body[start + 36 :]


def _head(place: Place) -> int:
    return max(int(key[7:23]) for key in place.objects.all() if key.startswith("epochs/"))


@pytest.mark.parametrize(
    ("key", "junk", "codes"),
    [
        ("cluster.json", newer, (1, 1)),
        ("epochs.floor.json", newer, (1, 1)),
        ("epochs.floor.json", strangers, (1, 1)),
        ("probe.json", newer, (1, 1)),
        # Who resumes is told that its store is not the one it lived in; who starts, that two clusters are here.
        ("cluster.json", strangers, (1, 5)),
    ],
)
def test_no_node_begins_in_a_place_that_cannot_be_read(
    lived_in: Place, key: str, junk: Callable[[bytes], bytes], codes: tuple[int, int]
) -> None:
    """A start and a resume end with one line that names what stands in the way, and write nothing (I12)."""
    lived_in.objects.put(key, junk(lived_in.objects.get(key)))
    before = lived_in.objects.all()
    with running(*START, env=lived_in.env) as beta, running(*RESUME, env=lived_in.env) as alpha:
        for node, code in zip((beta, alpha), codes, strict=True):
            assert (node.ended(), len(node.lines), node.events) == (code, 1, []), node.lines
            assert node.lines[0].startswith("holocron: ")
            assert key in node.lines[0] or "belongs to cluster" in node.lines[0]
    assert lived_in.objects.all() == before


@pytest.mark.parametrize(("above", "junk"), [(0, strangers), (1, newer)])
def test_an_epoch_that_cannot_be_read_is_held_and_not_free(
    lived_in: Place, above: int, junk: Callable[[bytes], bytes]
) -> None:
    """Nobody leads over it before the longest lease of the cluster is over, and the log says so (I8, I12)."""
    head = _head(lived_in)
    key = f"epochs/{head + above:016d}.json"
    body = junk(lived_in.objects.get(f"epochs/{head:016d}.json"))
    lived_in.objects.put(key, body)
    with (
        running(*START, "--for", "6s", env=lived_in.env) as beta,
        running(*RESUME, "--for", "6s", env=lived_in.env) as alpha,
    ):
        for node in (beta, alpha):
            assert key in node.heard(LEFT_ALONE)["error"]
        for node in (beta, alpha):
            assert node.ended() == 0
            assert not node.said(ACQUIRED)
    assert lived_in.objects.get(key) == body
    assert _head(lived_in) == head + above


@pytest.mark.parametrize("key", ["members/alpha.json", "nodes/alpha/state.json"])
def test_a_record_of_its_own_that_cannot_be_read_is_left_as_it_is(lived_in: Place, key: str) -> None:
    """The node resumes and leads without it, and says once what lies there; that is no unreachable store (I12)."""
    lived_in.objects.put(key, newer(b""))
    with running(*RESUME, env=lived_in.env) as alpha:
        won = alpha.heard(ACQUIRED)
        assert key in alpha.heard(LEFT_ALONE)["error"]
        alpha.signal(signal.SIGTERM)
        assert alpha.ended() == 0
        assert won["term"] > 1
        assert [event["event"] for event in alpha.events].count(LEFT_ALONE) == 1
        assert not alpha.said("Store unreachable.")
    assert lived_in.objects.get(key) == newer(b"")


def test_an_identity_that_cannot_be_read_is_nobody_to_resume(lived_in: Place) -> None:
    """The id is taken by someone we cannot read: neither resumed, nor started anew over it (I12)."""
    lived_in.objects.put("nodes/alpha/identity.json", newer(b""))
    before = lived_in.objects.all()
    done = holocron(*RESUME, env=lived_in.env)
    assert (done.code, len(done.err.splitlines())) == (1, 1), done
    assert "nodes/alpha/identity.json has format 99" in done.err
    done = holocron("node", "start", "--node-id", "alpha", "--ttl", "1s", env=lived_in.env)
    assert (done.code, len(done.err.splitlines())) == (1, 1), done
    assert "alpha" in done.err
    assert lived_in.objects.all() == before
