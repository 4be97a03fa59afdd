"""ZooKeeper as Debian has it, through kazoo."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.peers.base import Candidate, Job, Peer, daemon, free_port, lacking, scratch

__all__ = ["ZooKeeper"]

_JAR = "/usr/share/java/zookeeper.jar"
# A session may not be shorter than two ticks, and ends at a whole tick: the smaller, the better for ZooKeeper.
_CONFIGURATION = """
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
"""


class _Candidate:
    def __init__(self, job: Job, number: int) -> None:
        client = importlib.import_module("kazoo.client")
        self._lost = False
        self._zookeeper: Any = client.KazooClient(hosts=job.address, timeout=job.ttl_s)
        self._zookeeper.add_listener(self._listen)
        self._zookeeper.start(timeout=30)
        self._lock = self._zookeeper.Lock(f"/{job.key}", f"candidate-{number}")

    def _listen(self, state: str) -> None:
        # Its documentation: neither SUSPENDED nor LOST may be taken for holding a lock.
        self._lost = self._lost or state in {"SUSPENDED", "LOST"}

    def lead(self) -> None:
        self._lost = False
        self._lock.acquire()

    def leads(self) -> bool:
        return bool(self._lock.is_acquired) and not self._lost

    def release(self) -> None:
        self._lock.release()


class ZooKeeper(Peer):
    """The lock that kazoo's own Election is made of, so that it can be held from outside; a session per candidate."""

    name = "zookeeper"
    client = "kazoo"
    notes = (
        "kazoo's Lock (its Election is a Lock and a callback), session timeout = ttl, tickTime 500 ms; leads: "
        "is_acquired, and the state listener has not heard SUSPENDED or LOST; a client per candidate"
    )
    protocol = "zookeeper"

    def missing(self) -> str:
        """The server's jar, java, and the client."""
        return lacking("kazoo", "kazoo", _JAR, "zookeeper") or lacking("kazoo", "kazoo", "java", "default-jre-headless")

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """One standalone server."""
        with scratch() as folder:
            port = free_port()
            (folder / "zoo.cfg").write_text(_CONFIGURATION.format(folder=folder, port=port))
            main = "org.apache.zookeeper.server.ZooKeeperServerMain"
            classes = f"/etc/zookeeper/conf:{_JAR}"
            command = ["java", "-Dlog4j.rootLogger=OFF", "-Dzookeeper.admin.enableServer=false", "-cp", classes, main]
            with daemon([*command, str(folder / "zoo.cfg")], port, folder) as address:
                yield address

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """A client, and so a session, for each."""
        return [_Candidate(job, number) for number in range(job.count)]

    def cold(self, job: Job) -> str:
        """Connect and take the lock."""
        return f"""
from kazoo.client import KazooClient
client = KazooClient(hosts={job.address!r}, timeout={job.ttl_s})
client.start()
with client.Lock({"/" + job.key!r}, "cold"):
    print("led", flush=True)
    input()
client.stop()
"""
