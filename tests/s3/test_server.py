"""The embedded S3 server: atomic, quick to start, countable, and gone when it is told to go."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from holocron.errors import HolocronError, MissingExtra, SettingsError
from holocron.store.base import Absent, Answer, Clash, Delete, Deleted, Found, Get, List, Listed, Put, Unclear, Written
from holocron.store.s3 import S3Store
from holocron.testing import server as embedded
from holocron.testing.server import Server, serve, spawn


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
def store(server: Server, request: pytest.FixtureRequest, aws: None) -> Iterator[S3Store]:
    made = S3Store("holocron", request.node.name, endpoint_url=server.url)
    yield made
    made.close()


def test_it_answers_every_request_of_a_store(store: S3Store) -> None:
    """Create, read, list and delete work over HTTP, and answers carry the server's Date (design section 3)."""
    written = store.perform(Put("a", b"one"), 10)
    assert isinstance(written, Written)
    assert written.date_s is not None
    found = store.perform(Get("a"), 10)
    assert isinstance(found, Found)
    assert (found.body, found.etag) == (b"one", written.etag)
    assert isinstance(store.perform(Put("a", b"two"), 10), Clash)
    assert isinstance(store.perform(Put("a", b"two", written.etag), 10), Written)
    listed = store.perform(List(""), 10)
    assert isinstance(listed, Listed)
    assert [entry.key for entry in listed.entries] == ["a"]
    assert isinstance(store.perform(Delete("a"), 10), Deleted)
    assert isinstance(store.perform(Get("a"), 10), Absent)


def test_one_of_many_writers_wins(store: S3Store) -> None:
    """Of sixteen threads that create one key, one is told that it won, round after round (I3)."""
    for number in range(30):
        start = threading.Barrier(16)

        def write(body: int, number: int = number, start: threading.Barrier = start) -> Answer:
            start.wait(30)
            return store.perform(Put(f"race/{number}", b"%d" % body), 30)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(write, range(16)))
        assert sum(isinstance(answer, Written) for answer in answers) == 1
        assert sum(isinstance(answer, Clash) for answer in answers) == 15


def test_it_counts_requests_by_kind(store: S3Store, server: Server) -> None:
    """Budgets are measured by counting, so each kind of request is counted once (I14)."""
    before = server.requests()
    store.perform(Put("counted", b"1"), 10)
    store.perform(Get("counted"), 10)
    store.perform(Get("counted"), 10)
    store.perform(List(""), 10)
    store.perform(Delete("counted"), 10)
    after = server.requests()
    grown = {kind: count - before.get(kind, 0) for kind, count in after.items() if count != before.get(kind, 0)}
    assert grown == {"PUT": 1, "GET": 2, "LIST": 1, "DELETE": 1}


def test_a_slow_sender_holds_nobody_up(store: S3Store, server: Server) -> None:
    """A request whose last byte has not come yet does not keep the server from answering others."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as slow:
        slow.sendall(b"PUT /holocron/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        assert isinstance(store.perform(Put("quick", b"1"), 10), Written)
        slow.sendall(b"b")
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_who_asks_before_sending_is_answered_at_once(server: Server) -> None:
    """A client that sends `Expect: 100-continue` is told to go on before it has sent a byte of its body."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as client:
        client.sendall(b"PUT /holocron/expect HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"a")
        assert client.recv(12) == b"HTTP/1.1 200"


def test_a_stopped_server_answers_nobody(aws: None) -> None:
    """After `stop`, connections that were open are cut and new ones refused."""
    with serve() as short_lived:
        store = S3Store("holocron", "stopped", endpoint_url=short_lived.url)
        assert isinstance(store.perform(Put("a", b"1"), 10), Written)
    assert isinstance(store.perform(Get("a"), 10), Unclear)
    short_lived.stop()


def test_a_taken_port_is_one_clear_line(server: Server) -> None:
    """A port that is in use is refused with a message that says what to do, not with an exit of the process."""
    with pytest.raises(SettingsError, match=f"{server.port}.*choose another port"):
        serve(port=server.port)


def test_a_name_that_cannot_be_a_bucket_is_refused() -> None:
    """A bucket that the server does not take is a `SettingsError` that names it."""
    with pytest.raises(SettingsError, match="'b'"):
        serve(buckets=("b",))


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without moto, the error names the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    embedded._application.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'holocron-runtime\[server\]'"):
        serve()


def test_a_process_of_its_own_starts_counts_and_ends(aws: None) -> None:
    """`spawn` gives a server in another process with the buckets asked for, and SIGTERM ends it with 0."""
    with spawn(buckets=("first", "second")) as spawned:
        store = S3Store("second", "", endpoint_url=spawned.url)
        assert isinstance(store.perform(Put("a", b"1"), 10), Written)
        assert spawned.requests() == {"PUT": 1}
        assert spawned.stop() == 0
    assert isinstance(store.perform(Get("a"), 10), Unclear)


def test_a_process_that_does_not_start_says_why(server: Server) -> None:
    """When the process cannot listen, `spawn` raises with the process's own words."""
    with pytest.raises(HolocronError, match="choose another port"):
        spawn(port=server.port)


def test_the_program_prints_its_url_first_and_ends_on_a_signal() -> None:
    """`python -m holocron.testing.server` prints its URL once it answers, and exits with 0 on SIGTERM."""
    command = [sys.executable, "-m", "holocron.testing.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(30) == 0


def test_it_ends_with_its_parent() -> None:
    """A spawned server does not outlive a parent that is killed."""
    script = """
import signal
from holocron.testing.server import spawn
print(spawn().process.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
    if watch is None:
        pytest.skip("this system cannot wait for a process that is not a child")
    readable, _, _ = select.select([watch], [], [], 30)
    os.close(watch)
    assert readable, Path(f"/proc/{child}/cmdline").read_text()


def test_reset_empties_the_buckets_and_the_counts(aws: None) -> None:
    """After `reset` there are the buckets asked for, with nothing in them, and no request was counted."""
    script = """
from holocron.store.base import Get, Put, Absent
from holocron.store.s3 import S3Store
from holocron.testing.server import serve
with serve() as server:
    store = S3Store("holocron", "x", endpoint_url=server.url)
    print(type(store.perform(Put("a", b"1"), 10)).__name__)
    server.reset()
    print(server.requests(), type(store.perform(Get("a"), 10)).__name__)
"""
    # In a process of its own, because all servers of one process share their buckets.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["Written", "{} Absent"]
