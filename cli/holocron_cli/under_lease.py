"""A command that runs while this node leads, and is dead before anyone else can lead.

Everything that can happen arrives in one queue, and the main thread reads it: a signal, leadership, the command's end,
the lease's end. The command has a process group of its own; a `guardian` outside this process kills that group should
this process be killed or frozen.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from holocron_cli.exits import LOST
from holocron_cli.guardian import clock_s
from holocron_cli.signals import heard

if TYPE_CHECKING:
    from holocron import Lease, Node

__all__ = ["run_under_lease"]

Word = tuple[Literal["signal", "started", "failed", "elected", "exited", "lost", "stopped"], object]

# Passed on to the command as they are.
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# These say that the whole thing is to end; the others are the command's own business.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# The part of a lease that must be left when the command is asked to end, and when it is made to.
_TERM_AT = 0.25
_KILL_AT = 0.05


class _Command:
    """One run of the command under one lease.

    Args:
        ttl_s: of the lease, by which the moments of asking and of killing are measured.
        drain_s: how long the command may take to end where leadership is handed over in good order.
    """

    def __init__(self, words: list[str], node: Node, lease: Lease, ttl_s: float, drain_s: float) -> None:
        self.lease = lease
        self._ttl_s = ttl_s
        self._asked_s: float | None = None
        self._drain_s = drain_s
        environment = {
            **os.environ,
            "HOLOCRON_NODE_ID": node.id,
            "HOLOCRON_TERM": str(lease.term),
            "HOLOCRON_EPOCH": str(lease.epoch),
        }
        guardian = Path(__file__).with_name("guardian.py")
        watching = [sys.executable, "-I", str(guardian)]
        self._guardian = subprocess.Popen(watching, stdin=subprocess.PIPE, process_group=0)  # noqa: S603 - our own file
        try:
            self.process = subprocess.Popen(words, env=environment, process_group=0)  # noqa: S603 - it is what was asked
        except OSError:
            self._tell("done")
            raise
        self._tell(str(self.process.pid))
        self._terminal(self.process.pid)
        self.watch()

    def watch(self) -> bool:
        """Look at the lease: ask the command to end, or end it, where it is time. Whether the lease still holds."""
        remaining_s = self.lease.remaining_s
        if remaining_s > 0:
            # Ahead of this process's own kill, for that is the one that says why.
            self._tell(f"{clock_s() + remaining_s - self._ttl_s * _KILL_AT / 2:.6f}")
            if remaining_s <= self._ttl_s * _KILL_AT:
                self.signal(signal.SIGKILL)
            elif remaining_s <= self._ttl_s * _TERM_AT:
                self.ask()
            return True
        if self.lease.reason is not None and self.lease.reason.value == "released":
            # Handed over in good order: nobody can follow before this process says so, or the lease lapses.
            self.ask()
            asked_s = self._asked_s if self._asked_s is not None else clock_s()
            left_s = asked_s + self._drain_s * 0.8 - clock_s()
            self._tell(f"{clock_s() + max(0.0, left_s) + self._ttl_s * _KILL_AT / 2:.6f}")
            if left_s > 0:
                return False
        self.signal(signal.SIGKILL)
        return False

    def ask(self) -> None:
        """Ask the command to end, once."""
        if self._asked_s is None:
            self._asked_s = clock_s()
            self.signal(signal.SIGTERM)

    @property
    def lost(self) -> bool:
        """Whether the command has ended because of its lease: asked to by this process, or, where this process was
        frozen and could not ask any more, by the guardian.
        """
        return self._asked_s is not None or self.lease.remaining_s <= self._ttl_s * _TERM_AT

    def signal(self, number: int) -> None:
        """Send `number` to the command and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self) -> int:
        """The command has ended: what is left of its group goes too. Its exit code, as a shell gives it."""
        code = self.process.wait()
        self._terminal(os.getpgrp())
        self.signal(signal.SIGKILL)
        self._tell("done")
        self._guardian.wait()
        return code if code >= 0 else 128 - code

    def _terminal(self, group: int) -> None:
        """Let `group` read the terminal, if there is one, as a shell does for what it runs."""
        with contextlib.suppress(OSError):
            if os.isatty(0) and os.tcgetpgrp(0) in (os.getpgrp(), self.process.pid):
                # Whoever is not in the foreground may only do this where it ignores the signal for it.
                before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
                try:
                    os.tcsetpgrp(0, group)
                finally:
                    signal.signal(signal.SIGTTOU, before)
                if group == self.process.pid:
                    # It may have asked for input before it was its turn.
                    self.signal(signal.SIGCONT)

    def _tell(self, line: str) -> None:
        assert self._guardian.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guardian.stdin.write(line.encode() + b"\n")
            self._guardian.stdin.flush()


def run_under_lease(
    start: Callable[[], Node], words: list[str], wait_s: float | None, restart: bool, ttl_s: float, drain_s: float
) -> int:
    """Run `words` while leader; the exit code for all of it.

    Args:
        wait_s: how long to wait for leadership (None: for ever).
        restart: wait for leadership again where it was lost, instead of ending.

    Raises:
        LeadTimeout: leadership did not come in time. And what `start` raises, and what stops a node.
    """
    news: queue.SimpleQueue[Word] = queue.SimpleQueue()
    with heard(_FORWARDED, lambda number: news.put(("signal", number))):
        threading.Thread(target=_start, args=(start, news), name="holocron-start", daemon=True).start()
        word, value = news.get()
        if word == "signal":
            # Nothing is led yet, and a start under way holds nothing.
            os._exit(128 + cast("int", value))
        if word == "failed":
            raise cast("BaseException", value)
        node = cast("Node", value)
        try:
            while True:
                code = _one_tenure(node, words, wait_s, news, ttl_s, drain_s)
                if code is not None:
                    return code
                if node.failure is not None:
                    raise node.failure
                if not restart:
                    return LOST
        finally:
            node.stop()


def _one_tenure(
    node: Node, words: list[str], wait_s: float | None, news: queue.SimpleQueue[Word], ttl_s: float, drain_s: float
) -> int | None:
    """The exit code, or None where leadership was lost under the command."""
    over = threading.Event()
    holder = threading.Thread(target=_lead, args=(node, wait_s, over, news), name="holocron-lead", daemon=True)
    holder.start()
    command: _Command | None = None
    ending = 0
    try:
        while True:
            try:
                word, value = news.get(timeout=ttl_s / 50 if command is not None else None)
            except queue.Empty:
                word, value = "lost", None
            if word == "signal":
                number = cast("int", value)
                if command is not None:
                    command.signal(number)
                if number in _ENDING:
                    if command is None or ending:
                        return 128 + number
                    ending = number
            elif word == "elected":
                if ending:
                    return 128 + ending
                command = _Command(words, node, cast("Lease", value), ttl_s, drain_s)
                threading.Thread(target=_await, args=(command, news), name="holocron-command", daemon=True).start()
            elif word == "failed":
                raise cast("BaseException", value)
            elif word == "exited" and command is not None and value is command:
                lost = command.lost
                code = command.end()
                command = None
                return None if lost and not ending else code
            if command is not None:
                command.watch()
    finally:
        if command is not None:
            command.signal(signal.SIGKILL)
            command.end()
        # Only now is the release written: the command is dead.
        over.set()
        holder.join()


def _lead(node: Node, wait_s: float | None, over: threading.Event, news: queue.SimpleQueue[Word]) -> None:
    try:
        with node.lead(wait_s) as lease:
            news.put(("elected", lease))
            over.wait()
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the main thread
        if not over.is_set():
            news.put(("failed", error))


def _await(command: _Command, news: queue.SimpleQueue[Word]) -> None:
    command.process.wait()
    news.put(("exited", command))


def _start(start: Callable[[], Node], news: queue.SimpleQueue[Word]) -> None:
    try:
        news.put(("started", start()))
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the main thread
        news.put(("failed", error))
