"""What makes no sense is a usage error, wherever it was said: exit code 2, one line that names the place, no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run

START = ("node", "start")
IDS = ("Upper", "with space", "../up", "a/b", "-dash", "_under", "new\nline", "tail\n", "x" * 64, "ü", "a\x00b", "")
PREFIXES = ("../up", "a//b", "a b", ".hidden", "leader\n", "/", "", " ", "x" * 513, "ü", "a/./b", "a\x00b")
STORES = ("bucket", "/var/lib", "http://h/b", "s3://", "s3:///p", "s3://b?x", "file://host/p", "s3://a@b")
DURATIONS = ("soon", "nan", "inf", "-1s", "1e3s", "1h30m", "10 s", "1w", "", " ", "0x10", "٣s", "9" * 400 + "s")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working directory of its own and no variable of ours, so that the flags alone are at fault."""
    monkeypatch.chdir(tmp_path)
    for name in ("STORE", "BUCKET", "PREFIX", "TTL", "LABELS", "PRIORITY"):
        monkeypatch.delenv(f"HOLOCRON_{name}", raising=False)


def _usage(told: tuple[int, str, str], *words: str) -> None:
    """It ended with 2, without data, and with one printable line in which all `words` are."""
    code, out, err = told
    assert (code, out) == (2, ""), told
    assert re.fullmatch(r"holocron: [^\n]{10,400}\n", err), told
    assert err.rstrip("\n").isprintable(), told
    assert all(word in err for word in words), told


@pytest.mark.parametrize("node_id", IDS, ids=repr)
@pytest.mark.parametrize(
    "command",
    [
        ("node", "start", "--node-id={}"),
        ("node", "resume", "--node-id={}"),
        ("node", "show", "--", "{}"),
        ("node", "forget", "--", "{}"),
        ("leader", "step-down", "--to={}"),
    ],
    ids=" ".join,
)
def test_ids(run: Run, command: tuple[str, ...], node_id: str) -> None:
    """An id that cannot name a node reaches no store."""
    words = [word.format(node_id) for word in command]
    at = words.index("--") if "--" in words else len(words)
    _usage(run(*words[:at], "--store", "memory://usage", *words[at:]), "cannot name a node")


@pytest.mark.parametrize("prefix", PREFIXES, ids=repr)
def test_prefixes(run: Run, prefix: str) -> None:
    """A prefix that cannot hold a cluster is named with its flag."""
    _usage(run("node", "list", "--store", "memory://usage", f"--prefix={prefix}"), "--prefix: ")


@pytest.mark.parametrize("store", STORES, ids=repr)
@pytest.mark.parametrize(("flag", "command"), [("--store", ("node", "list")), ("--home", START)])
def test_uris(run: Run, flag: str, command: tuple[str, ...], store: str) -> None:
    """A URI that names no store is named with its flag, be it the cluster's or a node's own home."""
    more = () if flag == "--store" else ("--store", "memory://usage")
    _usage(run(*command, *more, f"{flag}={store}"), f"{flag}: ")


@pytest.mark.parametrize("text", DURATIONS, ids=repr)
@pytest.mark.parametrize(
    ("flag", "command"),
    [
        ("--ttl", START),
        ("--for", START),
        ("--for", ("node", "list", "--watch")),
        ("--for", ("topology", "--watch")),
        ("--wait", ("leader", "step-down")),
    ],
)
def test_durations(run: Run, flag: str, command: tuple[str, ...], text: str) -> None:
    """A duration that is none is named with its flag, and says which would do."""
    _usage(run(*command, "--store", "memory://usage", f"{flag}={text}"), f"{flag}: ", "is not a duration: say 10s")


@pytest.mark.parametrize("ttl", ["0s", "1ms", "999ms", "10.1m", "7d"])
def test_leases_too_short_or_too_long(run: Run, ttl: str) -> None:
    """A ttl is between a second and ten minutes, whoever says otherwise."""
    _usage(run(*START, "--store", "memory://usage", f"--ttl={ttl}"), "--ttl: ", "between 1 and 600")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE", "bucket"),
        ("BUCKET", "s3://b"),
        ("PREFIX", "../up"),
        ("TTL", "soon"),
        ("TTL", "1ms"),
        ("PRIORITY", "-1"),
        ("PRIORITY", "high"),
        ("LABELS", "zone"),
        ("HOME", "nowhere"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_variables(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A variable that makes no sense is named, even for a command that could do without it."""
    monkeypatch.setenv(f"HOLOCRON_{name}", value)
    _usage(run("leader", "show", "--store", "memory://usage"), f"HOLOCRON_{name}: ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"stroe = 's3://b'\n", "did you mean store?"),
        (b"prefix = '../up'\n", "holocron.toml: prefix: "),
        (b"ttl = '1ms'\n", "holocron.toml: ttl: "),
        (b"ttl = nan\n", "holocron.toml: ttl: "),
        (b"home = 7\n", "holocron.toml: home: "),
        (b"[store]\nuri = 's3://b'\n", "holocron.toml: store: "),
        (b"store = \n", "not TOML"),
        (b"\x00\x01\x02", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x = " + b"[" * 100_000, "not TOML"),
        (b"#" * 2_000_000, "larger than"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_files(run: Run, tmp_path: Path, body: bytes, words: str) -> None:
    """A holocron.toml that makes no sense stops every command, with its name and the key at fault."""
    (tmp_path / "holocron.toml").write_bytes(body)
    _usage(run("leader", "show", "--store", "memory://usage"), "holocron.toml: ", words)


def test_a_directory_in_place_of_the_file(run: Run, tmp_path: Path) -> None:
    """Only a file that is not there may be passed over."""
    (tmp_path / "holocron.toml").mkdir()
    _usage(run("leader", "show", "--store", "memory://usage"), "holocron.toml: cannot be read")
