"""The program `holocron` as a user runs it: a process of its own, in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pexpect

__all__ = [
    "PATIENCE_S",
    "Event",
    "Result",
    "Running",
    "clean_environment",
    "command",
    "first_to_end",
    "holocron",
    "running",
    "terminal",
]

# How long a test waits for something that should happen soon: the machine may be busy.
PATIENCE_S = 45.0

Event = dict[str, Any]


class Result(NamedTuple):
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout says, which must be one JSON value."""
        return json.loads(self.out)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what Holocron and the SDK would read from it, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLOCRON_", "AWS_", "COV_"))}
    kept |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "COLUMNS": "200"}
    kept |= {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "NO_COLOR": "1"}
    return kept | more


def command(*arguments: str) -> list[str]:
    """The words that start the program: the script that installing Holocron has put beside the interpreter."""
    return [str(Path(sys.executable).with_name("holocron")), *arguments]


def holocron(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout_s: float = PATIENCE_S
) -> Result:
    """Run the program to its end. Whatever it was told, it never answers with a traceback."""
    done = subprocess.run(
        command(*arguments),
        env=dict(clean_environment() if env is None else env),
        cwd=cwd or "/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


class Running:
    """The program while it runs, and the log events it has written so far."""

    def __init__(self, arguments: tuple[str, ...], env: Mapping[str, str], cwd: Path | None) -> None:
        self.popen = subprocess.Popen(
            command(*arguments),
            env=dict(env),
            cwd=cwd or "/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._heard:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()

    def heard(self, words: str, wanted: Callable[[Event], bool] = lambda _: True) -> Event:
        """The first event `words` that is `wanted`, waited for; an assertion fails if it does not come."""
        until = time.monotonic() + PATIENCE_S
        with self._heard:
            while True:
                for event in self.events:
                    if event.get("event") == words and wanted(event):
                        return event
                assert time.monotonic() < until, f"no {words!r} in {self.events} {self.lines}"
                assert self._reader.is_alive(), f"ended without {words!r}: {self.events} {self.lines}"
                self._heard.wait(0.2)

    def said(self, words: str) -> bool:
        """Whether an event `words` has come so far."""
        with self._heard:
            return any(event.get("event") == words for event in self.events)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def ended(self) -> int:
        """The exit code, waited for; everything that it said has been read by then."""
        code = self.popen.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert not any("Traceback" in line for line in self.lines), self.lines
        return code

    @property
    def out(self) -> str:
        """All of stdout, once it has ended."""
        assert self.popen.stdout is not None
        return self.popen.stdout.read()


def first_to_end(several: Sequence[Running]) -> Running:
    """Whichever of them ends first, waited for; an assertion fails if none does."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for one in several:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.popen.wait(0.1)
                return one
    raise AssertionError(f"none of {len(several)} ended: {[one.lines for one in several]}")


def terminal(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> pexpect.spawn[str]:
    """The program in a terminal of 220 columns, started."""
    first, *rest = command(*arguments)
    return pexpect.spawn(
        first,
        rest,
        cwd=cwd,
        env=dict(clean_environment() if env is None else env) | {"TERM": "xterm-256color"},
        dimensions=(40, 220),
        encoding="utf-8",
        timeout=PATIENCE_S,
        # Whoever runs the tests in the background of a script has had SIGINT ignored for all of them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@contextmanager
def running(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Iterator[Running]:
    """The program, started; killed at the end of the `with` if it still runs."""
    one = Running(arguments, clean_environment() if env is None else env, cwd)
    try:
        yield one
    finally:
        if one.popen.poll() is None:
            one.popen.kill()
        one.popen.wait()
        for pipe in (one.popen.stdout, one.popen.stderr):
            if pipe is not None:
                one._reader.join(5)
                pipe.close()
