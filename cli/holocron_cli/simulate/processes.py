"""The nodes of a simulation: each a process of its own, known by the log events it writes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

__all__ = ["Event", "NodeProcess", "Troupe"]

# A child outlives us only if we are killed without warning, and then not for long.
LEASH = "180s"
STOP_S = 15.0


class Event:
    """One log event of one process, and when it arrived here (monotonic seconds)."""

    def __init__(self, process: NodeProcess, fields: dict[str, Any], at_s: float) -> None:
        self.process = process
        self.fields = fields
        self.at_s = at_s

    @property
    def words(self) -> str:
        """The sentence that names what happened."""
        return str(self.fields.get("event", ""))


class NodeProcess:
    """A running `holocron node start` or `node resume`."""

    def __init__(self, troupe: Troupe, label: str, arguments: Sequence[str], directory: Path) -> None:
        self.label = label
        self.node: str | None = None
        self.last_words: list[str] = []
        self.directory = directory
        self.popen = subprocess.Popen(  # noqa: S603 - our own module, run with our own interpreter
            [sys.executable, "-m", "holocron_cli", *arguments],
            cwd=directory,
            env=dict(troupe.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # Ctrl-C is for the one who tells the story; it stops the others in its own order.
            start_new_session=True,
        )
        assert self.popen.stderr is not None
        self._reader = threading.Thread(target=troupe.listen, args=(self, self.popen.stderr), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.popen.poll() is None

    def kill(self) -> float:
        """End it by SIGKILL; when that was (monotonic seconds)."""
        at_s = time.monotonic()
        self.popen.kill()
        self.popen.wait()
        return at_s

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)

    def stopped(self, within_s: float) -> int | None:
        """The exit code, or None if it has not ended within `within_s`; all its events have been heard by then."""
        try:
            code = self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(within_s)
        return code


class Troupe:
    """All processes of one simulation and everything they said. Leaving the `with` ends every one of them.

    Args:
        check: called again and again by whoever waits; it raises where the simulation is to end.
    """

    def __init__(
        self,
        store_flags: Sequence[str],
        node_flags: Sequence[str],
        environment: Mapping[str, str],
        check: Callable[[], None],
    ) -> None:
        self.check = check
        self._store_flags = list(store_flags)
        self._node_flags = list(node_flags)
        here = str(Path(__file__).resolve().parents[2])
        library = _library_root()
        path = [here, library, *filter(None, [environment.get("PYTHONPATH")])]
        self.environment = {
            # What is said of holocron in our own environment is not meant for them: they are told by flags.
            **{name: value for name, value in environment.items() if not name.startswith("HOLOCRON_")},
            "PYTHONPATH": os.pathsep.join(path),
        }
        self.processes: list[NodeProcess] = []
        self.events: list[Event] = []
        self._heard = threading.Condition()
        self._rooms = contextlib.ExitStack()

    def start(self, label: str, *flags: str) -> NodeProcess:
        """A new node in a process of its own, in an empty directory of its own."""
        return self._join(label, ["node", "start", "--name", label, *flags])

    def resume(self, label: str, node: str, *flags: str) -> NodeProcess:
        """`node` resumed in a fresh process and an empty directory."""
        return self._join(label, ["node", "resume", "--node-id", node, *flags])

    def run(self, *arguments: str, within_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Another command of the same command line, on the same store, to its end."""
        with tempfile.TemporaryDirectory(prefix="holocron-") as room:
            return subprocess.run(  # noqa: S603 - our own module, run with our own interpreter
                [sys.executable, "-m", "holocron_cli", *arguments, *self._store_flags],
                cwd=room,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=within_s,
                check=False,
            )

    def _join(self, label: str, arguments: list[str]) -> NodeProcess:
        room = Path(
            self._rooms.enter_context(tempfile.TemporaryDirectory(prefix="holocron-", ignore_cleanup_errors=True))
        )
        fixed = ["--log-format", "json", "--for", LEASH, *self._store_flags, *self._node_flags]
        process = NodeProcess(self, label, [*arguments, *fixed], room)
        self.processes.append(process)
        return process

    def listen(self, process: NodeProcess, stream: IO[str]) -> None:
        """Take down what `process` says until it ends."""
        for line in stream:
            at_s = time.monotonic()
            try:
                fields = json.loads(line)
            except ValueError:
                fields = None
            with self._heard:
                if isinstance(fields, dict):
                    if process.node is None and isinstance(fields.get("node"), str):
                        process.node = fields["node"]
                    self.events.append(Event(process, fields, at_s))
                else:
                    process.last_words.append(line.strip())
                self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def heard(self, found: Callable[[list[Event]], Event | None], within_s: float) -> Event | None:
        """The event that `found` picks from all events so far, waiting up to `within_s` for it."""
        until = time.monotonic() + within_s
        with self._heard:
            while True:
                self.check()
                event = found(self.events)
                left = until - time.monotonic()
                if event is not None or left <= 0:
                    return event
                self._heard.wait(min(left, 0.5))

    def by_node(self, node: str) -> NodeProcess:
        """The youngest process that runs `node`."""
        return next(one for one in reversed(self.processes) if one.node == node)

    def stop_all(self) -> list[NodeProcess]:
        """Ask every process to stop and wait for all; those that did not end with code 0, the killed ones aside."""
        running = [process for process in self.processes if process.alive]
        for process in running:
            process.ask_to_stop()
        until = time.monotonic() + STOP_S
        return [one for one in running if one.stopped(max(0.1, until - time.monotonic())) != 0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.alive:
                process.popen.kill()
        for process in self.processes:
            process.popen.wait()
        self._rooms.close()


def _library_root() -> str:
    import holocron

    return str(Path(holocron.__file__).resolve().parents[1])
