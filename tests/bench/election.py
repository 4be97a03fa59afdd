"""The bench's side of its workers: begun, heard, killed, frozen, and ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.bench.peers.all import PEERS
from tests.bench.peers.base import Job, Unavailable, worker_environment

__all__ = ["Moved", "Silent", "Worker", "again", "pair", "settle"]

_T = TypeVar("_T")

# A hundred clients of the slowest peer on a busy machine come aboard in half a minute.
BOARD_S = 90.0


class Silent(Exception):
    """A worker did not say in time what was waited for."""


class Moved(Exception):
    """Leadership had moved by itself before anything was done to the leader: the machine was too busy for the lease."""


def again(measure: Callable[[], _T]) -> _T:
    """What `measure` gives, tried once more where leadership had moved by itself."""
    try:
        return measure()
    except Moved:
        return measure()


class Worker:
    """One worker process. Ended at the end of a `with`, by force."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._said: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.worker", job.text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=worker_environment(PEERS[job.peer]),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # A peer's client may print too.
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                with self._news:
                    self._said.append(said)
                    self._news.notify_all()
        with self._news:
            self._said.append({"what": "ended", "at": time.monotonic_ns()})
            self._news.notify_all()

    def wait(self, what: str, timeout_s: float, after: int = 0) -> dict[str, Any]:
        """The first line that says `what` after `after` ns. `Silent` if none came, `RuntimeError` if none can."""
        until_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                for said in self._said:
                    if said["what"] == what and said["at"] > after:
                        return said
                for said in self._said:
                    if said["what"] in {"failed", "ended"}:
                        why = said.get("why") or self._last_words()
                        raise (Unavailable if why.startswith("Unavailable: ") else RuntimeError)(
                            why.removeprefix("Unavailable: ")
                        )
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise Silent(f"{self.job.peer} did not say {what!r} in {timeout_s:g} s")
                self._news.wait(left_s)

    def said(self, what: str) -> bool:
        """Whether it has said `what` so far."""
        with self._news:
            return any(said["what"] == what for said in self._said)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended: {lines[-1][:300]}" if lines else "its process ended"

    def say(self, command: str) -> None:
        """Give a command: `release` or `watch`."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def kill(self) -> int:
        """SIGKILL; when, in nanoseconds."""
        at = time.monotonic_ns()
        self.process.send_signal(signal.SIGKILL)
        return at

    def freeze(self) -> int:
        """SIGSTOP; when, in nanoseconds."""
        at = time.monotonic_ns()
        self.process.send_signal(signal.SIGSTOP)
        return at

    def thaw(self) -> int:
        """SIGCONT; when, in nanoseconds."""
        at = time.monotonic_ns()
        self.process.send_signal(signal.SIGCONT)
        return at

    def end(self) -> None:
        """Kill it if it runs, and forget it. Idempotent."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()


@contextlib.contextmanager
def pair(leader: Job, follower: Job) -> Iterator[tuple[Worker, Worker]]:
    """A process that leads, and one that follows."""
    with Worker(leader) as first:
        first.wait("led", BOARD_S)
        with Worker(follower) as second:
            second.wait("ready", BOARD_S)
            yield first, second


def settle(ttl_s: float, phase: float) -> None:
    """Let two ttl pass, in which everyone comes to know everyone, and then `phase` (0 to 1) of another.

    Two, because Holocron's leader looks for newcomers once a ttl, and tells of them with its next renewal.
    """
    time.sleep(ttl_s * (2 + phase))
