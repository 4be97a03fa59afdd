"""The tests' own Ceph does not outlive whoever started it, however that ended."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ceph

PATIENCE_S = 60.0
START = """
import tempfile
from tests.s3.ceph import Ceph
made = tempfile.mkdtemp
def told(**more):
    room = made(**more)
    print(room, flush=True)
    return room
tempfile.mkdtemp = told
Ceph.start()
"""


def _within(room: Path) -> list[str]:
    """The command lines of the processes that work in `room`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(room) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("ceph")
def test_a_start_that_is_cut_short_leaves_no_process(number: signal.Signals) -> None:
    """Ctrl-C in the middle of a start, and even SIGKILL, end every daemon that was begun."""
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", START],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        room = Path(starter.stdout.readline().strip())
        try:
            until = time.monotonic() + PATIENCE_S
            while not (room / "mon.a.asok").exists():
                assert time.monotonic() < until, "its monitor never came up"
                assert starter.poll() is None
                time.sleep(0.02)
            starter.send_signal(number)
            assert starter.wait(PATIENCE_S) != 0
            while _within(room):
                assert time.monotonic() < until, _within(room)
                time.sleep(0.02)
            assert number is signal.SIGKILL or not room.exists()
        finally:
            starter.kill()
            shutil.rmtree(room, ignore_errors=True)
