"""etcd as Debian has it, through the client etcd3."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.peers.base import Candidate, Job, Peer, daemon, free_port, lacking, scratch

__all__ = ["Etcd"]


class _Candidate:
    def __init__(self, client: Any, key: str, ttl_s: float) -> None:
        self._lock = client.lock(key, ttl=int(ttl_s))
        self._every_s = ttl_s / 3
        self._over = threading.Event()

    def lead(self) -> None:
        # Its own bound of ten seconds for each attempt: what it watches for may have happened before it looked.
        while not self._lock.acquire():
            pass
        self._over.clear()
        threading.Thread(target=self._refresh, daemon=True).start()

    def _refresh(self) -> None:
        while not self._over.wait(self._every_s):
            self._lock.refresh()

    def leads(self) -> bool:
        return bool(self._lock.is_acquired())

    def release(self) -> None:
        self._over.set()
        self._lock.release()


class Etcd(Peer):
    """A lock whose lease is refreshed from a thread, as the client's documentation leaves it to the caller."""

    name = "etcd"
    client = "etcd3"
    notes = (
        "etcd3's Lock, refreshed by the caller every ttl/3; leads: Lock.is_acquired, a request; its generated code is "
        "older than today's protobuf, so it runs with PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python, as protobuf's own "
        "message proposes; one client per process"
    )
    protocol = "grpc"
    environment = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}  # noqa: RUF012 - as the base has it, read only

    def missing(self) -> str:
        """The server and the client."""
        return lacking("etcd3", "etcd3", "etcd", "etcd-server")

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """One member, its defaults kept."""
        with scratch() as folder:
            port, peer_port = free_port(), free_port()
            clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
            command = ["etcd", "--data-dir", str(folder / "data")]
            command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
            command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
            command += ["--initial-cluster", f"default={peers}"]
            with daemon(command, port, folder) as address:
                yield address

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """A lock for each, over one connection."""
        host, port = job.address.split(":")
        client = importlib.import_module("etcd3").client(host=host, port=int(port))
        return [_Candidate(client, job.key, job.ttl_s) for _ in range(job.count)]

    def cold(self, job: Job) -> str:
        """Connect and take the lock."""
        host, port = job.address.split(":")
        return f"""
import etcd3
with etcd3.client(host={host!r}, port={port}).lock({job.key!r}, ttl={int(job.ttl_s)}):
    print("led", flush=True)
    input()
"""
