"""Signals, `--for` and a node's own end, on a node that only pretends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.program import PATIENCE_S

SCRIPT = """
import os, signal, sys, threading, time
from holocron.errors import StoreUnfit, Superseded
from holocron_cli.exits import tell
from holocron_cli.running import run_node

case, for_s = sys.argv[1], float(sys.argv[2]) or None
say = lambda words: print(words, flush=True)

class Node:
    failure = None
    def __init__(self):
        self.over = threading.Event()
    def campaign(self):
        say("campaign")
        if case == "superseded":
            self.failure = Superseded("incarnation 3 runs on host b")
            self.over.set()
    def wait(self, timeout=None):
        return self.over.wait(timeout)
    def stop(self, timeout=None):
        if case == "deaf":
            # What a signal meets that comes just before the main thread sleeps: it is not woken.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        say("stop")
        if case in ("stuck", "deaf"):
            time.sleep(3600)
        self.over.set()

def start():
    say("start")
    if case == "slow":
        time.sleep(1.5)
    if case == "hangs":
        time.sleep(3600)
    if case == "unfit":
        raise StoreUnfit("conditions are ignored")
    return Node()

if case == "forks":
    campaigned = Node.campaign
    def campaign(self):
        child = os.fork()
        if not child:
            say(os.getpid())
            os.close(1)
            os.close(2)
            time.sleep(3600)
        os.waitpid(child, 0)
        campaigned(self)
    Node.campaign = campaign

if case == "hangs":
    import holocron_cli.running as module
    module.START_GRACE_S = 0.3
try:
    run_node(start, for_s)
except Exception as error:
    sys.exit(tell(error))
say("end")
"""


@contextmanager
def _run(case: str, for_s: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, case, str(for_s)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_node_and_ends_with_0(number: signal.Signals) -> None:
    """SIGTERM and SIGINT release, then stop."""
    with _run("fine") as process:
        assert [_line(process), _line(process)] == ["start", "campaign"]
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "stop\nend\n", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(number: signal.Signals, code: int) -> None:
    """A node that does not manage to stop is left by the second signal."""
    with _run("stuck") as process:
        assert [_line(process), _line(process)] == ["start", "campaign"]
        process.send_signal(number)
        assert _line(process) == "stop"
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == code


def test_a_signal_is_heard_though_the_main_thread_is_deaf() -> None:
    """A signal need not wait for the main thread to run Python again, which one that falls asleep does not do."""
    with _run("deaf") as process:
        assert [_line(process), _line(process)] == ["start", "campaign"]
        process.send_signal(signal.SIGTERM)
        assert _line(process) == "stop"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 143


def test_what_a_forked_child_is_told_is_its_own() -> None:
    """A child of the application dies of its own SIGTERM, and the node that forked it goes on."""
    with _run("forks") as process:
        assert _line(process) == "start"
        os.kill(int(_line(process)), signal.SIGTERM)
        assert _line(process) == "campaign"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "stop\nend\n", "")


def test_a_signal_during_a_start_stops_the_node_once_it_has_started() -> None:
    """A start is not torn in two: the node stands, is stopped, and never asks for leadership."""
    with _run("slow") as process:
        assert _line(process) == "start"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "stop\nend\n", "")


def test_a_signal_during_a_start_that_hangs_ends_with_0() -> None:
    """A start that gets nowhere holds nothing, and is left behind."""
    with _run("hangs") as process:
        assert _line(process) == "start"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "", "")


def test_for_stops_by_itself() -> None:
    """`--for` ends like a signal does."""
    with _run("fine", 0.5) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "start\ncampaign\nstop\nend\n", "")


def test_a_node_that_was_superseded_ends_the_command_with_3() -> None:
    """A newer incarnation has taken its place: this process is the past (rule 11)."""
    with _run("superseded") as process:
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (3, "holocron: incarnation 3 runs on host b\n")


def test_a_start_that_fails_ends_with_its_code() -> None:
    """An unfit store is exit code 5."""
    with _run("unfit") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (5, "start\n", "holocron: conditions are ignored\n")
