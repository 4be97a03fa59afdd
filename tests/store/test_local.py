"""`file://`: the contract, crashes, races between processes, and a disk that refuses."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from holocron.store import local as local_module
from holocron.store.base import Absent, Clash, Delete, Denied, Found, Get, List, Put, Store, Unclear, Written
from holocron.store.local import LocalStore
from holocron.store.local_names import name_segment, path_of
from tests.store.contract import ODD_KEYS, PATHLESS_KEYS, StoreContract, ask, create, names, page, read


class TestLocal(StoreContract):
    """The store in a directory keeps the contract."""

    rounds = 10

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(str(tmp_path / "not yet" / "there"))


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A child that runs `code` with this interpreter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=environment,
    )


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


WRITER = """
    import sys
    from holocron.store.base import Found, Get, Put, Written
    from holocron.store.local import LocalStore
    store = LocalStore(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    number = 0
    while True:
        number += 1
        body = b"%08d" % number * 4096
        found = store.perform(Get("register"), 10)
        etag = found.etag if isinstance(found, Found) else None
        assert isinstance(store.perform(Put("register", body, match=etag), 10), Written)
        store.perform(Put("chain/%s-%08d" % (sys.argv[2], number), body), 10)
        print(number, flush=True)
"""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """A writer killed with SIGKILL at any instant leaves whole objects only, and no lock that blocks the next one."""
    root = tmp_path / "store"
    store = LocalStore(str(root))
    acknowledged = 0
    for life in range(12):
        child = run_python(WRITER, str(root), str(life))
        assert line_of(child) == "ready"
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        # Some lives end in their first write, some after a few.
        for _ in range(life % 4):
            acknowledged = int(line_of(child))
        time.sleep(0.0007 * (life % 5))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        for entry in page(store, "").entries:
            body = read(store, entry.key).body
            assert len(body) == entry.size == 8 * 4096
            assert body == body[:8] * 4096
        # What was acknowledged is there: a next writer takes over from it at once.
        found = ask(store, Get("register"))
        if isinstance(found, Found):
            assert isinstance(store.perform(Put("register", found.body, match=found.etag), 5), Written)
    assert acknowledged > 0
    assert names(page(store, "chain/").entries)


def test_processes_race_to_create(tmp_path: Path) -> None:
    """Of several processes that create one key exactly one wins, every round (I3)."""
    code = """
        import sys
        from holocron.store.base import Put, Written
        from holocron.store.local import LocalStore
        store = LocalStore(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(200):
            if isinstance(store.perform(Put(f"epochs/{number:016d}", sys.argv[2].encode()), 10), Written):
                print(number, flush=True)
    """
    children = [run_python(code, str(tmp_path / "s"), str(number)) for number in range(4)]
    for child in children:
        assert line_of(child) == "ready"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    wins = [[int(word) for word in child.communicate()[0].split()] for child in children]
    assert sorted(number for won in wins for number in won) == list(range(200))
    store = LocalStore(str(tmp_path / "s"))
    for winner, won in enumerate(wins):
        assert all(read(store, f"epochs/{number:016d}").body == str(winner).encode() for number in won)


def test_processes_count_together(tmp_path: Path) -> None:
    """A counter that processes raise by compare-and-swap loses nothing (design section 3)."""
    code = """
        import sys
        from holocron.store.base import Get, Put, Written
        from holocron.store.local import LocalStore
        store = LocalStore(sys.argv[1])
        for _ in range(60):
            while True:
                found = store.perform(Get("counter"), 10)
                raised = Put("counter", b"%d" % (int(found.body) + 1), match=found.etag)
                if isinstance(store.perform(raised, 10), Written):
                    break
    """
    store = LocalStore(str(tmp_path / "s"))
    create(store, "counter", b"0")
    children = [run_python(code, str(tmp_path / "s")) for _ in range(4)]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert read(store, "counter").body == b"240"


def test_equal_bytes_new_etag(tmp_path: Path) -> None:
    """Each write has a new ETag even for equal bytes and a clock that stands still or goes back (no blind swap)."""
    now = [1000.0]
    store = LocalStore(str(tmp_path), clock=lambda: now[0])
    seen = {create(store, "k", b"same")}
    for _ in range(200):
        etag = read(store, "k").etag
        answer = ask(store, Put("k", b"same", match=etag))
        assert isinstance(answer, Written)
        assert answer.etag not in seen
        seen.add(answer.etag)
        now[0] -= 0.001
    for _ in range(50):
        ask(store, Delete("k"))
        seen.add(create(store, "k", b"same"))
    assert len(seen) == 251


def test_lock_held_by_another(tmp_path: Path) -> None:
    """A process that is stopped while it holds a lock costs others their time limit for that one key, and no more."""
    store = LocalStore(str(tmp_path))
    etag = create(store, "k", b"1")
    other = create(store, "other", b"1")
    holder = os.open(tmp_path.joinpath(*path_of("k")), os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        for request in (Put("k", b"2", match=etag), Delete("k")):
            answer = store.perform(request, 0.1)
            assert isinstance(answer, Unclear)
            assert not answer.sent
        assert read(store, "k").body == b"1"
        assert isinstance(ask(store, Put("other", b"2", match=other)), Written)
    finally:
        os.close(holder)
    assert isinstance(ask(store, Put("k", b"2", match=etag)), Written)


def test_leftovers_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What killed writers left half-written is no object, and goes away after an hour; a fresh one is left alone."""
    room = tmp_path / ".writing"
    room.mkdir()
    (room / "1-dead").write_bytes(b"half")
    store = LocalStore(str(tmp_path))
    create(store, "k", b"1")
    assert [path.name for path in room.iterdir()] == ["1-dead"]
    assert names(page(store, "").entries) == ["k"]
    monkeypatch.setattr(local_module, "_LEFTOVER_S", -1.0)
    create(LocalStore(str(tmp_path)), "k2", b"1")
    assert list(room.iterdir()) == []
    assert names(page(store, "").entries) == ["k", "k2"]


def test_strangers_are_no_objects(tmp_path: Path) -> None:
    """Files that were not written by the store are not listed, and a pipe or a link in an object's place is refused."""
    store = LocalStore(str(tmp_path))
    create(store, "a/k.json", b"1")
    (tmp_path / "README").write_text("no dot, no object")
    (tmp_path / "Upper.JSON").write_text("spelled as no key is")
    (tmp_path / "%zz.json").write_text("no byte")
    (tmp_path / "%ff.").write_text("no UTF-8")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "a" / "k.json")
    (tmp_path / "folder.json").mkdir()
    assert names(page(store, "").entries) == ["a/k.json"]
    for key in ("link.json", "folder.json"):
        assert isinstance(ask(store, Get(key)), Denied)
        assert isinstance(ask(store, Put(key, b"1")), Clash)
    answer = ask(store, Get("pipe.json"))
    assert isinstance(answer, Denied)
    assert "not a regular file" in answer.error


def test_root_is_a_file(tmp_path: Path) -> None:
    """A path that is a file and not a directory is refused with a line that says so."""
    (tmp_path / "file").write_text("x")
    store = LocalStore(str(tmp_path / "file"))
    for request in (Get("k"), Put("k", b"1"), List(""), Delete("k")):
        answer = ask(store, request)
        assert isinstance(answer, Denied), answer
        assert "directory" in answer.error
        assert "\n" not in answer.error


@pytest.mark.parametrize(
    ("number", "denied", "says"),
    [
        (errno.EACCES, True, "the right to read and write"),
        (errno.EROFS, True, "the right to read and write"),
        (errno.ENOSPC, False, "free some room"),
        (errno.EDQUOT, False, "free some room"),
        (errno.EIO, False, "Input/output error"),
    ],
)
def test_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, denied: bool, says: str) -> None:
    """A disk that is closed to us is denied, one that is full or ill is unclear: one line each, nothing written."""
    store = LocalStore(str(tmp_path))
    etag = create(store, "k", b"1")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "somewhere"))

    for name in ("link", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            answer = ask(store, Put("new", b"2") if name == "link" else Put("k", b"2", match=etag))
        assert isinstance(answer, Denied if denied else Unclear), answer
        assert says in answer.error
        assert "\n" not in answer.error
    assert isinstance(ask(store, Get("new")), Absent)
    assert read(store, "k").body == b"1"
    assert list((tmp_path / ".writing").iterdir()) == []


def test_fsync_of_the_name_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write whose name could not be made durable is unclear and not lost: it is there, and may be gone tomorrow."""
    store = LocalStore(str(tmp_path))
    create(store, "k", b"1")

    def fail(path: str) -> None:
        raise OSError(errno.EACCES, "nothing doing", path)

    with monkeypatch.context() as patch:
        patch.setattr(local_module, "_sync_directory", fail)
        answer = ask(store, Put("k2", b"1"))
    assert isinstance(answer, Unclear)
    assert answer.sent
    assert read(store, "k2").body == b"1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    """A directory that is closed to us is refused with a line that says what to do."""
    tmp_path.chmod(0o500)
    try:
        answer = ask(LocalStore(str(tmp_path / "s")), Put("k", b"1"))
    finally:
        tmp_path.chmod(0o700)
    assert isinstance(answer, Denied)
    assert "the right to read and write" in answer.error


@pytest.mark.parametrize("key", [*ODD_KEYS, *PATHLESS_KEYS, "x" * 900, "ü" * 500, "." * 700, "a." * 400, "%" * 300])
def test_names_round_trip(key: str) -> None:
    """Every key has one path whose names any file system takes, and the path gives the key back."""
    parts = path_of(key)
    assert all(0 < len(part) <= 205 and part.isascii() and part == part.lower() for part in parts)
    assert all("." not in part or part.endswith("+") for part in parts[:-1])
    assert "." in parts[-1]
    assert not parts[-1].startswith(".")
    segments, piece = [], ""
    for number, part in enumerate(parts):
        if part.endswith("+"):
            piece += part[:-1]
            continue
        segments.append(name_segment(piece + part, is_object=number == len(parts) - 1))
        piece = ""
    assert "/".join(str(segment) for segment in segments) == key


def test_readable_names(tmp_path: Path) -> None:
    """Holocron's own keys are kept under their own names, so that a person can look with cat."""
    store = LocalStore(str(tmp_path))
    create(store, "epochs/0000000000000001.json", b"{}")
    assert (tmp_path / "epochs" / "0000000000000001.json").read_bytes() == b"{}"
    assert store.uri == f"file://{tmp_path}"
