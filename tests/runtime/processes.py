"""Workers (worker.py) as processes of their own, heard and signalled by a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["LIVENESS_S", "Line", "Worker"]

LIVENESS_S = 45.0

Line = dict[str, Any]


class Worker:
    """One process with one node."""

    def __init__(self, location: str, ttl_s: float, what: str, env: Mapping[str, str]) -> None:
        root = Path(__file__).resolve().parents[2]
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "HOLOCRON_")) and not name.lower().endswith("_proxy")
        }
        self.popen = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), location, str(ttl_s), what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **env, "PYTHONPATH": str(root)},
            start_new_session=True,
        )
        self._lines: list[Line] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._heard:
                self._lines.append(json.loads(line))
                self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def lines(self, what: str) -> list[Line]:
        """What it said so far of `what`."""
        with self._heard:
            return [line for line in self._lines if line["say"] == what]

    def hear(self, what: str, nth: int = 1, wanted: Callable[[Line], bool] = lambda _: True) -> Line:
        """The `nth` line of `what` that is `wanted`, waited for."""
        end = time.monotonic() + LIVENESS_S
        with self._heard:
            while True:
                found = [line for line in self._lines if line["say"] == what and wanted(line)]
                if len(found) >= nth:
                    return found[nth - 1]
                left_s = end - time.monotonic()
                assert left_s > 0, f"no {what!r} number {nth} in {self._lines}"
                assert self._reader.is_alive(), f"ended without {what!r}: {self._lines} {self.errors()}"
                self._heard.wait(min(left_s, 0.5))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def errors(self) -> str:
        """What it wrote to stderr; waits for its end."""
        assert self.popen.stderr is not None
        return self.popen.stderr.read()

    def leave(self) -> None:
        """Have it stop in order, and wait for that."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        assert self.popen.wait(LIVENESS_S) == 0, self.errors()

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._reader.join(LIVENESS_S)
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()
