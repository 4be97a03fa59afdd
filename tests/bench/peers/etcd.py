"""etcd as Debian has it, through the client etcd3."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.peers.base import Candidate, Job, Peer, daemon, free_port, lacking, scratch

__all__ = ["Etcd"]


class _Candidate:
    """What the client's own Lock does: a key that is created if absent under a lease, and watched while it is there.

    Lock itself fails on its second attempt with any tenacity of the last years, so its steps are taken here, by the
    client's documented transaction, lease and watch; the watch begins at the revision that was read, so that it misses
    nothing.
    """

    def __init__(self, client: Any, key: str, ttl_s: float) -> None:
        self._etcd = client
        self._key = f"/locks/{key}"
        self._me = secrets.token_bytes(16)
        self._ttl_s = ttl_s
        self._over = threading.Event()

    def lead(self) -> None:
        transactions = self._etcd.transactions
        while True:
            lease = self._etcd.lease(int(self._ttl_s))
            won, answers = self._etcd.transaction(
                compare=[transactions.create(self._key) == 0],
                success=[transactions.put(self._key, self._me, lease=lease)],
                failure=[transactions.get(self._key)],
            )
            if won:
                break
            self._wait(answers[0][0][1].response_header.revision + 1)
        self._over = threading.Event()
        threading.Thread(target=self._refresh, args=(lease, self._over), daemon=True).start()

    def _wait(self, revision: int) -> None:
        """Return when the key was deleted at `revision` or later."""
        deleted = importlib.import_module("etcd3.events").DeleteEvent
        events, cancel = self._etcd.watch(self._key, start_revision=revision)
        try:
            next(event for event in events if isinstance(event, deleted))
        finally:
            cancel()

    def _refresh(self, lease: Any, over: threading.Event) -> None:
        while not over.wait(self._ttl_s / 3):
            lease.refresh()

    def leads(self) -> bool:
        value, _ = self._etcd.get(self._key)
        return bool(value == self._me)

    def release(self) -> None:
        self._over.set()
        transactions = self._etcd.transactions
        self._etcd.transaction(
            compare=[transactions.value(self._key) == self._me],
            success=[transactions.delete(self._key)],
            failure=[],
        )


class Etcd(Peer):
    """A key under a lease, refreshed from a thread, as the client's documentation leaves it to the caller."""

    name = "etcd"
    client = "etcd3"
    notes = (
        "the steps of etcd3's Lock (create a key under a lease, watch it, refresh every ttl/3) by its transaction, "
        "lease and watch: Lock itself raises on its second attempt with today's tenacity; leads: the key is ours, a "
        "request, as in Lock.is_acquired; PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python, as protobuf proposes for its "
        "generated code; one client per process"
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
