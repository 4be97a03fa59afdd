"""Places where no cluster can be: one clear line each, and never a traceback."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Place
from tests.cli.program import Result, clean_environment, holocron, running

COMMANDS = [
    ("node", "start", "--ttl", "1s"),
    ("node", "resume", "--node-id", "0123456789ab"),
    ("node", "list"),
    ("node", "show", "0123456789ab"),
    ("node", "forget", "0123456789ab"),
    ("leader", "show"),
    ("leader", "step-down"),
    ("topology",),
    ("history",),
    ("epoch", "gc"),
    ("doctor",),
]


def _one_line(done: Result, code: int) -> str:
    told = [line for line in done.err.splitlines() if line.startswith("holocron: ")]
    assert (done.code, len(told)) == (code, 1), done
    return told[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_bucket_that_is_not_there(place: Place, command: tuple[str, ...]) -> None:
    """A missing bucket is named, and is never taken for an empty one ("The stores")."""
    env = place.env | {"HOLOCRON_BUCKET": "nobody-made-this"}
    assert "nobody-made-this" in _one_line(holocron(*command, env=env), 1)


@pytest.mark.parametrize("command", [("node", "start", "--ttl", "1s"), ("node", "list"), ("doctor",)], ids=" ".join)
def test_no_credentials(place: Place, command: tuple[str, ...]) -> None:
    """Without credentials the one line says so, and the standard chain is what it looked through."""
    env = {
        name: value for name, value in place.env.items() if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    assert "credential" in _one_line(holocron(*command, env=env), 1).lower()


def test_a_profile_that_is_not_there(place: Place) -> None:
    """A profile that no file knows is named."""
    assert "nobody" in _one_line(holocron("node", "list", "--profile", "nobody", env=place.env), 1)


@pytest.mark.parametrize("command", [("node", "start", "--ttl", "1s"), ("leader", "show")], ids=" ".join)
def test_an_endpoint_where_nobody_listens(place: Place, command: tuple[str, ...]) -> None:
    """A refused connection ends with one line that names the store."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    env = place.env | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    assert str(port) in _one_line(holocron(*command, env=env, timeout_s=90), 1)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("leader", "show"), 4),
        (("leader", "step-down"), 4),
        (("topology",), 4),
    ],
    ids=str,
)
def test_a_place_where_no_cluster_ever_was(place: Place, command: tuple[str, ...], code: int) -> None:
    """Where nothing was ever written there is no leader: exit code 4, and looking creates nothing."""
    _one_line(holocron(*command, env=place.env), code)
    _one_line(holocron(*command, env=place.env), code)


def test_an_unreadable_record_is_named_and_not_taken_for_absent(place: Place) -> None:
    """Foreign bytes in cluster.json stop a start with one line, and stay as they are (I12)."""
    place.objects.put("cluster.json", b'{"format": 99, "x": [[[')
    for command in (("node", "start", "--ttl", "1s"), ("leader", "show"), ("history",)):
        assert "cluster.json" in _one_line(holocron(*command, env=place.env), 1)
    assert place.objects.all() == {"cluster.json": b'{"format": 99, "x": [[['}


def test_a_directory_that_cannot_be_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`file://` where a file stands in the way is one line."""
    way = tmp_path_factory.mktemp("store") / "file"
    way.write_text("in the way")
    done = holocron("node", "start", "--ttl", "1s", "--store", f"file://{way}", env=clean_environment())
    assert _one_line(done, 1)


def test_a_reader_of_stdout_that_goes_away_ends_it_quietly(place: Place) -> None:
    """`holocron ... | head -1` leaves no traceback behind."""
    with running("node", "list", "--watch", "-o", "json", env=place.env) as watching:
        assert watching.popen.stdout is not None
        watching.popen.stdout.close()
        watching.popen.terminate()
        watching.popen.wait(30)
        assert not any("Traceback" in line for line in watching.lines)
