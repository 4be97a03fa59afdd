"""`node start` and `node resume` with an app, with many nodes, and with a command at each change of role."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pexpect
import pytest

from tests.cli.program import PATIENCE_S, clean_environment, holocron, running, terminal

APP = """
class Counter:
    def __init__(self):
        self.count = 0
    def apply(self, command):
        self.count += int(command)
        return str(self.count).encode()
    def snapshot(self):
        return str(self.count).encode()
    def restore(self, snapshot):
        self.count = int(snapshot)
    def on_elected(self, lease):
        print(f"elected with {self.count}", flush=True)
    def stop(self):
        print(f"stops with {self.count}", flush=True)

class NoService:
    pass

def broken():
    pass
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with a module in it."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "needy.py").write_text("import surely_not_installed\n")
    return tmp_path


def flags(room: Path) -> tuple[str, ...]:
    """What leads to a cluster of this test's own."""
    return ("--store", f"file://{room}/store", "--ttl", "2s", "--log-format", "json")


def test_an_app_is_hosted_and_comes_back_where_it_was(room: Path) -> None:
    """Its commands are in the node's journal; killed and resumed, it stands where the last one left it (I9)."""
    import holocron as library

    sys_path_module = (room / "shop.py").read_text()
    scope: dict[str, type] = {}
    exec(sys_path_module, scope)
    with library.host(scope["Counter"](), f"file://{room}/store/leader", node_id="shop") as node:
        assert node.submit(b"40") == b"40"
        assert node.submit(b"2") == b"42"
    arguments = ("node", "resume", "--node-id", "shop", *flags(room), "--app", "shop:Counter")
    with running(*arguments, cwd=room) as one:
        one.heard("Acquired cluster leadership.")
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
        assert one.out.splitlines() == ["elected with 42", "stops with 42"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("shop", "package.module:Class"),
        ("shop:Nobody", "has no class Nobody"),
        ("shop:NoService", "no method apply"),
        ("nowhere:Counter", "no module nowhere"),
        ("needy:Counter", "surely_not_installed"),
        ("shop:9", "package.module:Class"),
    ],
)
def test_what_is_no_app_is_one_line_and_starts_nothing(room: Path, spec: str, says: str) -> None:
    """A usage error, before anything is written to the store."""
    done = holocron("node", "start", *flags(room), "--app", spec, cwd=room)
    assert done.code == 2
    assert says in done.err
    assert not (room / "store").exists()


def test_a_long_replay_shows_its_progress_on_a_terminal(room: Path) -> None:
    """How many slots of the journal were read of how many, in a bar that is gone when the node starts to work; where
    stderr is no terminal there is none of it.
    """
    import holocron as library

    scope: dict[str, type] = {}
    exec((room / "shop.py").read_text(), scope)
    with library.host(scope["Counter"](), f"file://{room}/store/leader", node_id="shop", checkpoint_every=0) as node:
        for _ in range(120):
            node.submit(b"1")
    resume = ("node", "resume", "--node-id", "shop", "--app", "shop:Counter", "--checkpoint-every", "0", *flags(room))
    with running(*resume, cwd=room) as one:
        one.heard("Acquired cluster leadership.")
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
        assert one.lines == []
    shown = terminal(*resume, cwd=room)
    try:
        # The fences of three incarnations, and a slot for each command, for each was waited for.
        shown.expect(r"Replaying the journal.*?\d+/123")
        shown.expect("elected with 120")
        # The bar's line was cleared.
        assert "\x1b[2K" in shown.before
        shown.sendintr()
        shown.expect(pexpect.EOF)
        shown.close()
        assert (shown.exitstatus, shown.signalstatus) == (0, None)
    finally:
        shown.close(force=True)


@pytest.mark.parametrize(("every", "taken"), [("1000", 1), ("64MiB", 1), ("0", 0)])
def test_checkpoints_go_by_number_or_by_size(room: Path, every: str, taken: int) -> None:
    """A node that may take checkpoints takes one as it stops; 0 is never."""
    import holocron as library

    scope: dict[str, type] = {}
    exec((room / "shop.py").read_text(), scope)
    place = f"file://{room}/store/leader"
    with library.host(scope["Counter"](), place, node_id="shop", checkpoint_every=0) as node:
        node.submit(b"40")
    arguments = ("node", "resume", "--node-id", "shop", *flags(room), "--app", "shop:Counter")
    with running(*arguments, "--checkpoint-every", every, cwd=room) as one:
        one.heard("Acquired cluster leadership.")
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
    assert len([one for one in (room / "store").rglob("checkpoint/*") if one.is_file()]) == taken


@pytest.mark.parametrize("every", ["often", "-1", "64MiBs", "1.5GiB", ""])
def test_what_is_neither_a_number_nor_a_size_is_one_line(room: Path, every: str) -> None:
    """A usage error, before anything is written to the store."""
    done = holocron("node", "start", *flags(room), "--app", "shop:Counter", "--checkpoint-every", every, cwd=room)
    assert done.code == 2
    assert "--checkpoint-every wants a number of commands (1000), or a size (64MiB, 500kB)" in done.err
    assert not (room / "store").exists()


def test_a_command_runs_at_each_change_of_role(room: Path) -> None:
    """Told by its environment which role it is, in which term, and why it ended; in order, the last one included."""
    told = room / "told"
    script = f"sh -c 'echo $HOLOCRON_ROLE $HOLOCRON_NODE_ID $HOLOCRON_TERM $HOLOCRON_REASON >> {told}'"
    with running("node", "start", *flags(room), "--node-id", "n1", "--on-role-change", script) as one:
        until = time.monotonic() + PATIENCE_S
        while not told.exists() and time.monotonic() < until:
            time.sleep(0.02)
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
    assert told.read_text().splitlines() == ["leader n1 1", "follower n1 1 released"]


def test_a_command_that_cannot_be_run_hurts_nobody(room: Path) -> None:
    """One line each time, and the node goes on."""
    with running("node", "start", *flags(room), "--on-role-change", "/nonexistent") as one:
        one.heard("Acquired cluster leadership.")
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
        assert any("/nonexistent cannot be run" in line for line in one.lines)


def test_many_nodes_in_one_process(room: Path) -> None:
    """`--count` starts so many; one of them leads, and all of them say goodbye."""
    with running("node", "start", *flags(room), "--count", "12") as one:
        one.heard("Acquired cluster leadership.")
        listed = holocron("node", "list", *flags(room)[:2], "-o", "json").json
        assert len(listed) == 12
        one.signal(signal.SIGTERM)
        assert one.ended() == 0
        assert sum(event["event"] == "Stopped node" for event in one.events) == 12


@pytest.mark.parametrize(
    ("flag", "value"), [("--node-id", "n1"), ("--on-role-change", "true"), ("--http", "127.0.0.1:0")]
)
def test_what_is_for_one_node_is_refused_for_many(room: Path, flag: str, value: str) -> None:
    """A usage error that names the flag."""
    done = holocron("node", "start", *flags(room), "--count", "2", flag, value, env=clean_environment())
    assert done.code == 2
    assert flag in done.err
