"""`holocron server`: an S3 for trying things."""

from __future__ import annotations

import signal
import socket

from tests.cli.program import clean_environment, holocron, running


def test_the_server_says_how_to_use_it_and_ends_with_a_signal() -> None:
    """What it prints on stdout is all that a node in another shell needs."""
    with running("server", "--port", "0", "--bucket", "first", "--bucket", "second") as server:
        assert server.popen.stdout is not None
        told = {}
        while "HOLOCRON_BUCKET" not in told:
            line = server.popen.stdout.readline()
            assert line.startswith("export "), (line, server.lines)
            name, _, value = line.removeprefix("export ").strip().partition("=")
            told[name] = value
        assert told["HOLOCRON_BUCKET"] == "first"
        with running("node", "start", "--ttl", "1s", "--log-format", "json", env=clean_environment(**told)) as node:
            node.heard("Acquired cluster leadership.")
            node.signal(signal.SIGTERM)
            assert node.ended() == 0
        server.signal(signal.SIGTERM)
        assert server.ended() == 0


def test_a_port_that_is_taken_is_one_line() -> None:
    """A taken port is a usage error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = holocron("server", "--port", str(taken.getsockname()[1]))
    assert done.code == 2
    assert done.err.startswith("holocron: cannot listen on 127.0.0.1:")
