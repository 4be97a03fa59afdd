"""Guardians of real processes, on S3 over HTTP and on files: killed, frozen, cut off and outlived (rule 15)."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holocron import Cluster, Node, Settings, open_store
from holocron.records import Epoch
from holocron.testing.server import SpawnedServer, spawn
from tests.runtime.made import begun
from tests.runtime.processes import LIVENESS_S, Line

# So long that whoever follows before it is over has been let, and so short that what has to be waited out can be.
LONG_S, SHORT_S = 30.0, 2.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + LIVENESS_S
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def guardians(pid: int) -> list[int]:
    """The guardians of process `pid` that run, by what they were started as, whoever is their parent now."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            if words[-3:] == [b"holocron.runtime.guarding", str(pid).encode(), b""] and alive(int(path.name)):
                found.append(int(path.name))
    return found


def ready(pid: int) -> int:
    """The guardian of `pid`, once it watches: it has a pidfd, and that comes when all that it needs is imported."""
    until(lambda: len(guardians(pid)) == 1, f"process {pid} has a guardian")
    guardian = guardians(pid)[0]

    def watching() -> bool:
        with contextlib.suppress(OSError):
            return any("pidfd" in os.readlink(one) for one in Path(f"/proc/{guardian}/fd").iterdir())
        return False

    until(watching, f"guardian {guardian} watches")
    return guardian


class Program:
    """guarded.py, at work on `locations`."""

    def __init__(self, ttl_s: float, locations: list[str], env: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HOLOCRON_"))}
        root = Path(__file__).resolve().parents[2]
        self.popen = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("guarded.py")), str(ttl_s), *locations],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, **env, "PYTHONPATH": str(root)},
            start_new_session=True,
        )
        self.ids: list[str] = self.hear("aboard")["ids"]

    @property
    def pid(self) -> int:
        """Its number."""
        return self.popen.pid

    def hear(self, what: str) -> Line:
        """The next line that says `what`."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            said: Line = json.loads(line)
            if said["say"] == what:
                return said
        raise AssertionError(f"it ended without {what!r}")

    def do(self, word: str, answer: str = "done") -> Line:
        """Have it do `word`; what it answers."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(word + "\n")
        self.popen.stdin.flush()
        return self.hear(answer)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.popen.kill()
        self.popen.wait()

    def end(self) -> None:
        """Make sure that it is gone, and its guardian with it."""
        self.kill()
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        until(lambda: not guardians(self.pid), "the guardian has gone too")


@pytest.fixture(scope="module")
def server() -> Iterator[SpawnedServer]:
    """A server in a process of its own, so that nothing done to the nodes is done to the store."""
    with spawn() as made:
        yield made


@pytest.fixture(autouse=True)
def _nowhere_else(server: SpawnedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["s3", "file"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A cluster that has begun."""
    place = f"s3://holocron/g-{secrets.token_hex(6)}" if request.param == "s3" else f"file://{tmp_path}/store"
    with contextlib.closing(open_store(place)) as store:
        begun(store)
    return place


Begin = Callable[..., Program]


@pytest.fixture
def begin(server: SpawnedServer) -> Iterator[Begin]:
    """Begin a program; all are gone at the end."""
    programs: list[Program] = []

    def one(ttl_s: float, *locations: str) -> Program:
        programs.append(Program(ttl_s, list(locations), server.environment()))
        return programs[-1]

    yield one
    for program in programs:
        program.end()


def chain(location: str) -> list[Epoch]:
    """Every lock file, oldest first."""
    with Cluster.open(location) as cluster:
        return list(reversed(cluster.epochs(10_000)))


def follow(location: str, ttl_s: float) -> tuple[Epoch, Epoch]:
    """Stand for election in this process until it leads: the epoch that it followed, and its own."""
    settings = Settings(ttl_s=ttl_s, renew_every_s=0.2)
    with Node.start(location, settings=settings, guardian=False) as node, node.lead(timeout=LIVENESS_S) as lease:
        before, own = (one for one in chain(location) if one.epoch in (lease.token - 1, lease.token))
        return before, own


def test_a_killed_process_is_released_at_once(begin: Begin, location: str) -> None:
    """SIGKILL, the host alive: whoever follows need not wait for the lease, and no guardian stays (rule 15)."""
    leader = begin(LONG_S, location)
    ready(leader.pid)
    leader.kill()
    killed_s = time.monotonic()
    before, own = follow(location, LONG_S)
    assert time.monotonic() - killed_s < LONG_S / 2
    assert (before.kind, before.cause, before.leader.node) == ("release", "released", leader.ids[0])
    assert own.cause == "released"
    assert [one.kind for one in chain(location)].count("release") >= 1
    until(lambda: not guardians(leader.pid), "the guardian has gone")


def test_one_guardian_releases_for_every_node_of_its_process(begin: Begin, tmp_path: Path) -> None:
    """Two clusters led from one process: one guardian, and both are released."""
    locations = [f"file://{tmp_path}/one", f"file://{tmp_path}/two"]
    leader = begin(LONG_S, *locations)
    ready(leader.pid)
    until(lambda: leader.do("epochs", "epochs")["leading"] == [True, True], "it leads both")
    until(lambda: all(one > 3 for one in leader.do("epochs", "epochs")["epochs"]), "both were renewed")
    assert len(guardians(leader.pid)) == 1
    leader.kill()
    for place in locations:
        until(lambda place=place: chain(place)[-1].kind == "release", "it is released")  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_frozen_process_is_not_released(begin: Begin, location: str) -> None:
    """SIGSTOP is no death: the lease is waited out, and then taken (I1, I8)."""
    leader = begin(SHORT_S, location)
    guardian = ready(leader.pid)
    leader.popen.send_signal(signal.SIGSTOP)
    before, own = follow(location, SHORT_S)
    assert (before.kind, own.cause) == ("lease", "expired")
    assert alive(guardian)
    leader.popen.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("location", ["file"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_guardian_a_death_is_followed_by_the_lease(
    begin: Begin, location: str, number: signal.Signals
) -> None:
    """A guardian that is dead or frozen costs its process nothing, and the next leader a lease."""
    leader = begin(SHORT_S, location)
    guardian = ready(leader.pid)
    os.kill(guardian, number)
    known = chain(location)[-1].epoch
    until(lambda: chain(location)[-1].epoch > known + 3, "it leads on")
    leader.kill()
    before, own = follow(location, SHORT_S)
    assert (before.kind, before.leader.node, own.cause) == ("lease", leader.ids[0], "expired")
    if number is signal.SIGSTOP:
        # It finds out now, and that another has followed.
        os.kill(guardian, signal.SIGCONT)
        until(lambda: not alive(guardian), "the guardian has gone")
        assert [one.kind for one in chain(location) if one.leader.node == leader.ids[0]].count("release") == 0


@pytest.mark.parametrize("location", ["file"], indirect=True)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_clean_stop_leaves_no_guardian(begin: Begin, location: str, frozen: bool) -> None:
    """`stop` ends the guardian, one that stands still too, while the process goes on."""
    leader = begin(LONG_S, location)
    guardian = ready(leader.pid)
    if frozen:
        os.kill(guardian, signal.SIGSTOP)
    leader.do("stop")
    assert guardians(leader.pid) == []
    assert leader.popen.poll() is None


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_process_that_closes_all_its_descriptors_is_not_released(begin: Begin, location: str) -> None:
    """A closed line is no death: the process leads on; and when it dies, that is one (I1)."""
    leader = begin(LONG_S, location)
    ready(leader.pid)
    leader.do("close")
    known = chain(location)[-1].epoch
    until(lambda: chain(location)[-1].epoch > known + 5, "it leads on")
    assert all(one.kind == "lease" for one in chain(location))
    leader.kill()
    until(lambda: chain(location)[-1].kind == "release", "it is released")


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_fork_that_lives_on_hides_no_death(begin: Begin, location: str) -> None:
    """A fork has no part in leadership, and what it keeps open keeps nothing from the guardian."""
    leader = begin(LONG_S, location)
    ready(leader.pid)
    forked = leader.do("fork", "forked")
    assert forked["roles"] == ["leader"]
    child = int(forked["pid"])
    try:
        leader.kill()
        until(lambda: chain(location)[-1].kind == "release", "it is released")
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_fork_that_dies_releases_nothing(begin: Begin, location: str) -> None:
    """It is the process that counts, and not those that it has brought forth."""
    leader = begin(LONG_S, location)
    ready(leader.pid)
    os.kill(int(leader.do("fork", "forked")["pid"]), signal.SIGKILL)
    known = chain(location)[-1].epoch
    until(lambda: chain(location)[-1].epoch > known + 5, "it leads on")
    assert all(one.kind == "lease" for one in chain(location))
    assert len(guardians(leader.pid)) == 1


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_process_that_becomes_another_program_is_not_released(begin: Begin, location: str) -> None:
    """After `exec` the process lives on, whatever it is now: the lease is waited out."""
    leader = begin(SHORT_S, location)
    ready(leader.pid)
    leader.do("exec", "exec")
    before, own = follow(location, SHORT_S)
    assert (before.kind, own.cause) == ("lease", "expired")


def test_a_store_out_of_reach_is_given_up(begin: Begin) -> None:
    """The guardian of a process whose store has gone too ends by itself, within a lease's time."""
    with spawn() as own:
        place = f"s3://holocron/g-{secrets.token_hex(6)}"
        leader = Program(SHORT_S, [place], own.environment())
        try:
            guardian = ready(leader.pid)
        except BaseException:
            leader.end()
            raise
    leader.kill()
    until(lambda: not alive(guardian), "the guardian has given up")
    leader.end()


def test_a_guardian_that_dies_is_noticed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, and the node leads on; with the next tenure there is another guardian."""
    location = f"file://{tmp_path}/store"
    settings = Settings(ttl_s=SHORT_S, renew_every_s=0.1)
    with Node.start(location, settings=settings) as node:
        with node.lead(timeout=LIVENESS_S) as lease:
            os.kill(ready(os.getpid()), signal.SIGKILL)
            until(lambda: "guardian" in caplog.text, "it is noticed")
            known = node.epoch
            until(lambda: node.epoch > known + 5, "it leads on")
            assert lease.valid
        assert sum("guardian" in one.getMessage() for one in caplog.records) == 1
        with node.lead(timeout=LIVENESS_S):
            ready(os.getpid())
    assert guardians(os.getpid()) == []


@pytest.mark.parametrize("executable", ["", "/usr/bin/uwsgi", "/nonexistent/python3"])
def test_where_no_guardian_can_be_started_the_node_leads_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    """A program with an interpreter inside is none, and one that is not there starts nothing: one line, and no harm."""
    monkeypatch.setattr(sys, "executable", executable)
    settings = Settings(ttl_s=SHORT_S, renew_every_s=0.1)
    location = f"file://{tmp_path}/store"
    with Node.start(location, settings=settings) as node, node.lead(timeout=LIVENESS_S) as lease:
        until(lambda: "could not be started" in str([one.__dict__ for one in caplog.records]), "it is said")
        known = node.epoch
        until(lambda: node.epoch > known + 5, "it leads on")
        assert lease.valid
    assert sum("guardian" in one.getMessage() for one in caplog.records) == 1


@pytest.mark.parametrize(("place", "guardian"), [("memory://guarding-none", True), ("file", False)])
def test_a_node_may_have_none(tmp_path: Path, place: str, guardian: bool) -> None:
    """Whoever does not want one has none, and no other process could reach a store in memory."""
    location = place if "://" in place else f"file://{tmp_path}/store"
    settings = Settings(ttl_s=SHORT_S, renew_every_s=0.1)
    with Node.start(location, settings=settings, guardian=guardian) as node, node.lead(timeout=LIVENESS_S):
        known = node.epoch
        until(lambda: node.epoch > known + 5, "it leads on")
        assert guardians(os.getpid()) == []


@pytest.mark.parametrize("location", ["file"], indirect=True)
def test_a_nodes_next_incarnation_leads_at_once(begin: Begin, location: str) -> None:
    """Killed and resumed: the former self's lease was released for it, so there is nothing to wait out (rule 11)."""
    leader = begin(LONG_S, location)
    ready(leader.pid)
    leader.kill()
    settings = Settings(ttl_s=LONG_S)
    until(lambda: chain(location)[-1].kind == "release", "it is released")
    with (
        Node.resume(location, leader.ids[0], settings=settings, guardian=False) as node,
        node.lead(timeout=LONG_S / 2) as lease,
    ):
        assert lease.token > 1
