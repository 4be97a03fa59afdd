"""What every peer is to the bench: a server to start, a client to campaign with, and notes on how both are used."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Candidate", "Job", "Peer", "Unavailable", "daemon", "free_port", "lacking"]

# A JVM on a busy machine takes some seconds; this only bounds a server that hangs.
_START_S = 60.0


class Unavailable(Exception):
    """This cannot be measured here, and why; named as missing in the table."""


class Candidate(Protocol):
    """One contender of an election, in the process of the worker."""

    def lead(self) -> None:
        """Return when it leads, however long that takes."""

    def leads(self) -> bool:
        """What the client answers, in the way that it offers, to whoever asks whether it still leads."""

    def release(self) -> None:
        """Give leadership back."""


@dataclass(frozen=True)
class Job:
    """What a worker process is to do: `count` candidates of `peer` for the election `key`."""

    peer: str
    address: str
    key: str
    ttl_s: float
    count: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))


class Peer:
    """One contender of the bench. Subclasses say how it is served and used.

    Attributes:
        name: what `--peers` takes.
        client: the distribution of the client, as the package index knows it.
        notes: how it is used here, for whoever reads the table.
        token: what it offers as a fencing token; empty if nothing.
        protocol: how requests are told apart on the wire (`tests.bench.proxy`).
    """

    name: str
    client: str
    notes: str
    token: str = ""
    protocol: str = "http"
    # Of the worker's environment.
    environment: Mapping[str, str] = {}

    def missing(self) -> str:
        """What is missing here and how to have it; empty if nothing is."""
        raise NotImplementedError

    def serve(self) -> contextlib.AbstractContextManager[str]:
        """Start the server, give "host:port", and end it."""
        raise NotImplementedError

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """`job.count` contenders; called in the worker."""
        raise NotImplementedError

    def forget(self, address: str, keys: Sequence[str]) -> None:
        """Take what elections have left behind off the server, where that would make it slower for the next."""

    def cold(self, job: Job) -> str:
        """A program as small as can be that leads, prints a line, reads one, and releases. Its environment is ours."""
        raise NotImplementedError

    def version(self) -> str:
        """Of the client."""
        try:
            return importlib.metadata.version(self.client)
        except importlib.metadata.PackageNotFoundError:
            return ""


def lacking(module: str, client: str, program: str | None, package: str) -> str:
    """What of a client module and a server program is not here, in words; empty if nothing."""
    absent = [] if importlib.util.find_spec(module) else [f"{client} from the package index"]
    if program is not None and shutil.which(program) is None and not Path(program).exists():
        absent.append(f"{package} from Debian")
    return f"{' and '.join(absent)}: make bench-peers installs what is missing" if absent else ""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def daemon(command: Sequence[str], port: int, folder: Path) -> Iterator[str]:
    """Run a server until the end of the `with`; it is given once `port` accepts connections."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        until_s = time.monotonic() + _START_S
        while True:
            if process.poll() is not None or time.monotonic() > until_s:
                tail = (folder / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"{Path(command[0]).name} did not start: {' '.join(tail)[:300]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of a server's own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="holocron-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def worker_environment(peer: Peer) -> dict[str, str]:
    """What a process of the bench finds in its environment."""
    environment = {**os.environ, **peer.environment, "PYTHONUNBUFFERED": "1"}
    # What a process imports was compiled once and for all, as it is wherever a program is installed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment
