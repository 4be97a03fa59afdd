"""Places where no cluster can be: one clear line each, and never a traceback."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

import pytest

from holocron.testing.server import CREDENTIALS
from tests.cli.conftest import Place
from tests.cli.program import Result, clean_environment, holocron, running
from tests.s3.ceph import Ceph
from tests.store.canned import answer, canned, error

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

THREE = (("node", "start", "--ttl", "1s"), ("leader", "show"), ("doctor",))
# Credentials and a bucket that make sense, for servers that are not there.
NOWHERE = clean_environment(**CREDENTIALS, HOLOCRON_BUCKET="holocron", HOLOCRON_PREFIX="nowhere")


def _one_line(done: Result, code: int) -> str:
    told = [line for line in done.err.splitlines() if line.startswith("holocron: ")]
    assert (done.code, len(told)) == (code, 1), done
    return told[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_bucket_that_is_not_there(place: Place, command: tuple[str, ...]) -> None:
    """A missing bucket is named, and is never taken for an empty one ("The stores")."""
    env = place.env | {"HOLOCRON_BUCKET": "nobody-made-this"}
    assert "nobody-made-this" in _one_line(holocron(*command, env=env), 1)


def _all_say(env: dict[str, str], *words: str, commands: Sequence[tuple[str, ...]] = THREE) -> None:
    """Each of the commands, run at the same time, ends with 1 and one line in which all `words` are."""
    with contextlib.ExitStack() as stack:
        for one in [stack.enter_context(running(*command, env=env)) for command in commands]:
            assert one.ended() == 1, one.lines
            assert len(one.lines) == 1, one.lines
            assert all(word in one.lines[0] for word in ("holocron: ", *words)), one.lines
            assert one.events == []
            assert one.out == ""


def test_no_credentials() -> None:
    """Without credentials the one line says so, and the standard chain is what it looked through."""
    env = {name: value for name, value in NOWHERE.items() if "KEY" not in name}
    _all_say(env, "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


def test_a_profile_that_is_not_there() -> None:
    """A profile that no file knows is named, whoever names it."""
    assert "nobody" in _one_line(holocron("node", "list", "--profile", "nobody", env=NOWHERE), 1)
    _all_say(NOWHERE | {"AWS_PROFILE": "nobody"}, "nobody")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "InvalidAccessKeyId", "the access key is unknown there: check credentials"),
        (403, "SignatureDoesNotMatch", "check the secret access key"),
        (400, "ExpiredToken", "the credentials have expired: renew them"),
        (403, "AccessDenied", "the credentials need s3:"),
        (403, "RequestTimeTooSkewed", "this machine's clock is too far from the server's"),
    ],
)
def test_credentials_that_the_server_refuses(status: int, code: str, words: str) -> None:
    """Unknown, wrong, expired and insufficient credentials: a line that says which, and what to do ("The stores")."""
    with canned(error(status, code)) as server:
        _all_say(NOWHERE | {"AWS_ENDPOINT_URL_S3": server.url}, words, "holocron")


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AWS_ACCESS_KEY_ID", "the access key is unknown there: check credentials"),
        ("AWS_SECRET_ACCESS_KEY", "check the secret access key"),
    ],
)
def test_credentials_that_a_real_server_refuses(ceph: Ceph, name: str, words: str) -> None:
    """A real object store that checks credentials refuses a wrong key and a wrong secret, each by its name."""
    _all_say(NOWHERE | ceph.environment() | {name: "wrong"}, words)


def test_an_endpoint_where_nobody_listens() -> None:
    """A connection that is refused ends within seconds, with one line that names the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    _all_say(NOWHERE | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}, f":{port}: check --endpoint-url")


def test_an_endpoint_that_keeps_silent() -> None:
    """A server that takes connections and never answers is given up within seconds, with one line that names it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        port = silent.getsockname()[1]
        _all_say(NOWHERE | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}, f":{port} did not answer in time")


def test_an_endpoint_that_no_name_server_knows() -> None:
    """A name that cannot be resolved is named ("The stores"). `.invalid` never resolves anywhere."""
    env = NOWHERE | {"AWS_ENDPOINT_URL_S3": "http://store.invalid"}
    _all_say(env, "the name in http://store.invalid cannot be resolved")


def test_an_endpoint_that_is_no_s3() -> None:
    """A web server that knows nothing of S3 is not taken for an empty bucket."""
    with canned(answer(404, b"<html>nothing here</html>")) as server:
        _all_say(NOWHERE | {"AWS_ENDPOINT_URL_S3": server.url}, "it is not an S3 API, check --endpoint-url")


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
