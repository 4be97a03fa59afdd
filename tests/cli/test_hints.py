"""`--hints`: where a node hears when to look, from flag, environment and file; and what is no such place (rule 16)."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Place
from tests.cli.program import holocron, running

START = ("node", "start", "--ttl", "1s", "--log-format", "json")
ACQUIRED = "Acquired cluster leadership."


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_a_node_says_where_it_listens(place: Place, tmp_path: Path, how: str) -> None:
    """Port 0 takes a free one, and the beacon has the one that was taken, for everyone to send to."""
    env, flags = dict(place.env), ["--hints", "127.0.0.1:0"] if how == "flag" else []
    if how == "environment":
        env["HOLOCRON_HINTS"] = "127.0.0.1:0"
    if how == "file":
        (tmp_path / "holocron.toml").write_text('hints = "127.0.0.1:0"\n')
    with running(*START, *flags, env=env, cwd=tmp_path) as node:
        started = node.heard(ACQUIRED)["node"]
        shown = holocron("node", "show", str(started), "-o", "json", env=place.env, cwd=tmp_path).json
        node.signal(signal.SIGTERM)
        assert node.ended() == 0
    host, _, port = shown["beacon"]["hints"].rpartition(":")
    assert host == "127.0.0.1"
    assert 0 < int(port) < 65536


def test_without_the_flag_nobody_listens(place: Place) -> None:
    """Hints are off, and a beacon says nothing of them."""
    with running(*START, env=place.env) as node:
        shown = holocron("node", "show", str(node.heard(ACQUIRED)["node"]), "-o", "json", env=place.env).json
        assert "hints" not in shown["beacon"]


def test_nodes_of_one_process_share_one_place(place: Place) -> None:
    """`--count` with one address is one socket, and each of the nodes says that it listens there."""
    with running(*START, "--count", "3", "--hints", "127.0.0.1:0", env=place.env) as node:
        node.heard(ACQUIRED)
        rows = holocron("node", "list", "-o", "json", env=place.env).json
        said = [holocron("node", "show", row["node"], "-o", "json", env=place.env).json for row in rows]
    places = [one["beacon"]["hints"] for one in said]
    assert len(places) == 3
    assert len(set(places)) == 1


def test_a_place_where_nobody_can_listen_is_one_line_and_nothing_is_written(place: Place) -> None:
    """A bad address ends the start before the store has heard of the node."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for bad in ("nonsense", "127.0.0.1:70000", "0.0.0.0:7400", "192.0.2.1:7400", taken):
            done = holocron("node", "start", "--hints", bad, env=place.env)
            assert done.code != 0
            assert len(done.err.strip().splitlines()) == 1, done.err
            assert bad in done.err or "70000" in done.err
    assert place.objects.all() == {}
