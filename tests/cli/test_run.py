"""`holocron run`: a command under a lease, which it never outlives."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests.cli.program import PATIENCE_S, Running, clean_environment, command, holocron, running

# Says who it is, writes its process id where it is told, and stays.
STAYS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
path = sys.argv[1]
with open(path + ".new", "w") as file:
    print(os.getpid(), *(os.environ["HOLOCRON_" + name] for name in ("NODE_ID", "TERM", "EPOCH")), file=file)
os.rename(path + ".new", path)
while True:
    time.sleep(0.05)
"""

# Reads a line from its terminal, and stays. No shell: one that is just starting a program may lose a Ctrl-C.
READS = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("got:" + input(), flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, ...]:
    """Flags that lead to a cluster of this test's own."""
    return ("--store", f"file://{tmp_path}/store", "--ttl", "2s", "--log-format", "json")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Charge:
    """The command under `holocron run`, as it has written itself down."""

    def __init__(self, path: Path) -> None:
        until(path.exists, "the command runs")
        pid, self.node, self.term, self.epoch = path.read_text().split()
        self.pid = int(pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return alive(self.pid)


@contextmanager
def staying(store: tuple[str, ...], path: Path, *more: str, deaf: bool = False) -> Iterator[tuple[Running, Charge]]:
    """`holocron run` with a command that stays."""
    words = (sys.executable, "-c", STAYS, str(path), *(["--deaf"] if deaf else []))
    with running("run", *store, *more, "--", *words) as one:
        charge = Charge(path)
        try:
            yield one, charge
        finally:
            if charge.alive:
                os.kill(charge.pid, signal.SIGKILL)


def test_the_commands_exit_code_is_passed_on_with_the_token_in_its_environment(store: tuple[str, ...]) -> None:
    """It runs while leader, knows its node, term and epoch, and its code is holocron's."""
    done = holocron("run", *store, "--", "sh", "-c", "echo $HOLOCRON_NODE_ID $HOLOCRON_TERM $HOLOCRON_EPOCH; exit 7")
    assert done.code == 7
    node, term, epoch = done.out.split()
    assert (len(node), term, epoch) == (12, "1", "1")
    again = holocron("run", *store, "--", "sh", "-c", "echo $HOLOCRON_TERM")
    assert again.code == 0
    assert int(again.out) > 1


def test_what_is_no_command_is_one_line(store: tuple[str, ...]) -> None:
    """A program that is not there ends with 1 and leaves no lease behind to be waited out."""
    done = holocron("run", *store, "--", "/nonexistent/program")
    assert done.code == 1
    assert "/nonexistent/program" in done.err
    assert holocron("run", *store, "--wait", "1s", "--", "true").code == 0


def test_one_runs_and_the_other_waits(store: tuple[str, ...], tmp_path: Path) -> None:
    """Two of them never run at once (I1); a wait that is over ends with 75, naming who leads."""
    with staying(store, tmp_path / "one") as (_, charge):
        second = holocron("run", *store, "--wait", "1s", "--", "true")
        assert second.code == 75
        assert charge.node in second.err
        assert charge.alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_forwarded_and_its_code_passed_on(
    store: tuple[str, ...], tmp_path: Path, number: signal.Signals
) -> None:
    """Whoever stops holocron stops the command, and leadership is released at once (rule 9)."""
    with staying(store, tmp_path / "one") as (one, charge):
        one.signal(number)
        assert one.ended() == 128 + number
        assert not charge.alive
        assert one.said("Released cluster leadership.")


def test_a_command_that_will_not_end_is_killed_before_its_lease_is_over(store: tuple[str, ...], tmp_path: Path) -> None:
    """Asked to hand over, it gets SIGTERM, then SIGKILL; only then can anyone follow, and holocron says 3."""
    with staying(store, tmp_path / "one", deaf=True) as (one, charge):
        with running("run", *store, "--", sys.executable, "-c", STAYS, str(tmp_path / "two")) as follower:
            stepped = holocron("leader", "step-down", *store[:2])
            second = Charge(tmp_path / "two")
            assert not charge.alive
            assert one.ended() == 3
            assert int(second.term) > int(charge.term)
            follower.signal(signal.SIGTERM)
            follower.ended()
        assert stepped.code == 0, stepped.err


def test_the_command_dies_with_a_holocron_that_is_killed(store: tuple[str, ...], tmp_path: Path) -> None:
    """SIGKILL leaves nobody to renew the lease; the guardian ends the command at once, a deaf one too."""
    with staying(store, tmp_path / "one", deaf=True) as (one, charge):
        one.signal(signal.SIGKILL)
        until(lambda: not charge.alive, "the command is dead")


def test_a_holocron_that_is_killed_is_not_released(store: tuple[str, ...], tmp_path: Path) -> None:
    """Its command may outlive it by a moment, so whoever follows waits the lease out, and finds it dead (I1)."""
    with staying(store, tmp_path / "one", deaf=True) as (one, charge):
        until(lambda: int(holocron("leader", "show", *store[:2], "-o", "json").json["epoch"]) > 1, "it has renewed")
        one.signal(signal.SIGKILL)
        assert holocron("run", *store, "--", "true").code == 0
        assert not charge.alive
    epochs = holocron("history", *store[:2], "--epochs", "-o", "json").json
    assert [each["cause"] for each in epochs if each["leader"]["node"] != charge.node][-1] == "expired"
    assert not any(each["kind"] == "release" and each["leader"]["node"] == charge.node for each in epochs)


def test_the_command_dies_before_the_lease_of_a_holocron_that_is_frozen(store: tuple[str, ...], tmp_path: Path) -> None:
    """SIGSTOP stops every check inside holocron; whoever follows finds the command dead already (I1)."""
    words = (sys.executable, "-c", STAYS, str(tmp_path / "two"))
    with (
        staying(store, tmp_path / "one", deaf=True) as (one, charge),
        running("run", *store, "--", *words) as follower,
    ):
        one.signal(signal.SIGSTOP)
        second = Charge(tmp_path / "two")
        assert not charge.alive
        one.signal(signal.SIGCONT)
        assert one.ended() == 3
        assert int(second.term) > int(charge.term)
        follower.signal(signal.SIGTERM)
        follower.ended()


def test_restart_waits_for_leadership_again(store: tuple[str, ...], tmp_path: Path) -> None:
    """Where leadership was lost the command is run again in the next term, instead of an exit with 3."""
    path = tmp_path / "one"
    with staying(store, path, "--restart") as (one, first):
        path.unlink()
        one.signal(signal.SIGSTOP)
        until(lambda: not first.alive, "the guardian has ended the command")
        one.signal(signal.SIGCONT)
        second = Charge(path)
        assert second.node == first.node
        assert int(second.term) > int(first.term)
        one.signal(signal.SIGTERM)
        assert one.ended() == 143


def test_a_command_reads_the_terminal_and_ctrl_c_reaches_it(store: tuple[str, ...]) -> None:
    """On a terminal the command is in the foreground, as under a shell."""
    words = command("run", *store, "--log-level", "error", "--", sys.executable, "-c", READS)
    child = pexpect.spawn(words[0], words[1:], env=clean_environment(), timeout=PATIENCE_S)
    try:
        child.sendline("hello")
        child.expect("got:hello")
        child.sendcontrol("c")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 130
    finally:
        child.close(force=True)


def test_a_node_keeps_its_id_from_run_to_run(store: tuple[str, ...]) -> None:
    """`--node-id` resumes the node, or starts it the first time."""
    for _ in range(2):
        done = holocron("run", *store, "--node-id", "cron", "--", "sh", "-c", "echo $HOLOCRON_NODE_ID")
        assert (done.code, done.out.strip()) == (0, "cron")
