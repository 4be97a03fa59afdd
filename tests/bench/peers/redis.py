"""Redis as Debian has it, through python-redis-lock."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.peers.base import Candidate, Job, Peer, daemon, free_port, lacking, scratch

__all__ = ["Redis"]


class _Candidate:
    def __init__(self, client: Any, key: str, ttl_s: float) -> None:
        redis_lock = importlib.import_module("redis_lock")
        self._lock = redis_lock.Lock(client, key, expire=int(ttl_s), auto_renewal=True)

    def lead(self) -> None:
        self._lock.acquire()

    def leads(self) -> bool:
        return bool(self._lock.get_owner_id() == self._lock.id)

    def release(self) -> None:
        self._lock.release()


class Redis(Peer):
    """A lock that renews itself at two thirds of its time."""

    name = "redis"
    client = "python-redis-lock"
    notes = (
        "redis_lock.Lock(expire=ttl, auto_renewal=True); leads: get_owner_id() == id, a request; one connection pool "
        "per process; the server keeps nothing on disk"
    )
    protocol = "redis"

    def missing(self) -> str:
        """The server and the client."""
        return lacking("redis_lock", "python-redis-lock", "redis-server", "redis-server")

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """One server in memory."""
        with scratch() as folder:
            port = free_port()
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
            with daemon(command, port, folder) as address:
                yield address

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """A lock for each; one that waits holds a connection."""
        host, port = job.address.split(":")
        client = importlib.import_module("redis").Redis(host=host, port=int(port))
        return [_Candidate(client, job.key, job.ttl_s) for _ in range(job.count)]

    def cold(self, job: Job) -> str:
        """Connect and take the lock."""
        host, port = job.address.split(":")
        return f"""
import redis, redis_lock
with redis_lock.Lock(redis.Redis({host!r}, {port}), {job.key!r}, expire={int(job.ttl_s)}, auto_renewal=True):
    print("led", flush=True)
    input()
"""
