"""A FastAPI app in three uvicorn workers, of which exactly one runs the scheduler; the others say where it is reached.

Each worker is a node. All of them share one port, where the operating system chooses who answers; so each listens on a
port of its own as well, and the one that leads publishes that address. A follower answers 503 with it.

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
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

import holocron
import holocron.aio
from holocron.testing.server import spawn

WORKERS = 3
SETTINGS = holocron.Settings(ttl_s=2.0)


class Scheduler:
    """Ticks while this worker leads, once everyone can read where that is."""

    def __init__(self, node: holocron.aio.Node, address: str) -> None:
        self.node = node
        self.ticks = 0
        self._address = address

    async def run(self) -> None:
        """Lead and tick whenever it is this worker's turn, until cancelled."""
        while True:
            # Whatever became of the address, the next term publishes it again.
            with contextlib.suppress(holocron.LeadershipLost, holocron.OutcomeUnknown):
                async with self.node.lead():
                    await self.node.publish(self._address.encode())
                    while True:
                        self.ticks += 1
                        await asyncio.sleep(0.05)


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The same app on a port of this worker's own; the address. In production, one that the others can reach."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))
        # Signals are for the main thread, where the worker listens for them.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A node for as long as the worker lives; its own threads renew the lease, so a busy event loop loses nothing."""
    async with holocron.aio.Node.start(os.environ["EXAMPLE_STORE"], settings=SETTINGS) as node:
        with served(app) as address:
            app.state.scheduler = Scheduler(node, address)
            running = asyncio.create_task(app.state.scheduler.run())
            try:
                yield
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


app = FastAPI(lifespan=lifespan)


@app.get("/scheduler")
def scheduler(response: Response) -> dict[str, str | int]:
    """The scheduler's state from the worker that runs it; from any other, 503 and where that is."""
    mine: Scheduler = app.state.scheduler
    lease = mine.node.lease
    if lease is not None and lease.valid:
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
    """Start the workers at `location`, ask until every one of them has answered, and go where the followers point."""
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
            there = [ask(f"{address}/scheduler") for address in points.values()]
            found = all(status == 200 and said["worker"] in runs for status, said in there)
            print(f"{len(points)} answer 503 with an address, where it is found: {found}")
        finally:
            server.terminate()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with spawn() as s3:
            os.environ.update(s3.environment())
            main("s3://holocron/web")
