"""A FastAPI app in three uvicorn workers, of which exactly one runs the scheduler; the others say who does.

Each worker is a node. The one that leads publishes where it is reached; a follower answers 503 with that address. Which
of them a request reaches is the operating system's choice, for they share one port.

python examples/web_workers.py s3://my-bucket/web    (needs fastapi and uvicorn)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Response

import holocron
from holocron.testing.server import spawn

WORKERS = 3
SETTINGS = holocron.Settings(ttl_s=2.0)


class Scheduler:
    """Ticks while this worker leads."""

    def __init__(self, node: holocron.Node) -> None:
        self.node = node
        self.ticks = 0

    async def run(self) -> None:
        """Wait for leadership, tick for as long as it lasts, and so on until cancelled."""
        while True:
            lease = self.node.lease
            if lease is not None and lease.valid:
                if self.ticks == 0:
                    await asyncio.to_thread(self.node.publish, f"worker {os.getpid()}".encode())
                self.ticks += 1
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A node for as long as the worker lives; its own threads renew the lease, so a busy event loop loses nothing."""
    node = await asyncio.to_thread(holocron.Node.start, os.environ["EXAMPLE_STORE"], settings=SETTINGS)
    node.campaign()
    app.state.scheduler = Scheduler(node)
    running = asyncio.create_task(app.state.scheduler.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.to_thread(node.stop)


app = FastAPI(lifespan=lifespan)


@app.get("/scheduler")
def scheduler(response: Response) -> dict[str, str | int]:
    """The scheduler's state from the worker that runs it; from any other, 503 and where that is."""
    mine: Scheduler = app.state.scheduler
    lease = mine.node.lease
    if lease is not None and lease.valid and mine.ticks:
        return {"worker": os.getpid(), "ticks": mine.ticks}
    published = mine.node.published()
    response.status_code = 503
    return {"worker": os.getpid(), "leader": published.value.decode() if published is not None else ""}


def ask(url: str) -> tuple[int, dict[str, str | int]]:
    """One request on a connection of its own: its status and what it says."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main(location: str) -> None:
    """Start the workers at `location` and ask until every one of them has answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{Path(__file__).stem}:app", "--workers", str(WORKERS)]
    command += ["--port", str(port), "--log-level", "error", "--app-dir", str(Path(__file__).parent)]
    with subprocess.Popen(command, env={**os.environ, "EXAMPLE_STORE": location}) as server:
        try:
            runs: set[str | int] = set()
            points: dict[str | int, str | int] = {}
            until = time.monotonic() + 60
            while len(runs) + len(points) < WORKERS and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    status, said = ask(f"http://127.0.0.1:{port}/scheduler")
                    if status == 200:
                        runs.add(said["worker"])
                    elif said["leader"]:
                        points[said["worker"]] = said["leader"]
                time.sleep(0.02)
            print(f"{len(runs)} of {WORKERS} workers runs the scheduler")
            print(f"{len(points)} answer 503 and name it: {set(points.values()) == {f'worker {pid}' for pid in runs}}")
        finally:
            server.terminate()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with spawn() as s3:
            os.environ.update(s3.environment())
            main("s3://holocron/web")
