"""Many nodes in one process, watched while nothing happens to them: `python -m tests.bench.crowd WANTED`.

A process of its own, so that what it takes is its own; it prints what it measured as one line of JSON. CPU is that of
the process (`time.process_time`), which a busy machine blurs less than it does the wall; how late a renewal came is by
the wall, for that is what a lease runs by.
"""

from __future__ import annotations

import json
import resource
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from holocron import Node, Settings, StoreOptions, open_store
from holocron.layout import EPOCHS
from holocron.runtime.lane import Lane
from holocron.runtime.loop import Loop
from holocron.store.base import Answer, Put, Request, Store, Written
from holocron.store.memory import MemoryStore
from tests.bench.peers.all import PEERS
from tests.bench.peers.base import worker_environment
from tests.runtime import made

__all__ = ["Found", "Wanted", "watch"]

_IO_THREADS = 32
# Coming aboard, settling and stopping, on a busy machine; this only bounds a crowd that hangs.
_BOUND_S = 200.0


@dataclass(frozen=True)
class Wanted:
    """A crowd: `clusters` of `per_cluster` nodes each, at the server `address`, or in memory if that is empty."""

    clusters: int
    per_cluster: int
    ttl_s: float
    watch_s: float
    address: str = ""


@dataclass(frozen=True)
class Found:
    """What a crowd took: see `_steady`; and how long all took to come aboard, and to stop."""

    leaders: int
    longest_s: float
    cpu_ms: float
    memory_kib: float
    requests: float
    start_s: float
    stop_s: float


def watch(wanted: Wanted) -> Found:
    """Have a process of its own watch the crowd that is `wanted`."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.crowd", json.dumps(asdict(wanted))],
            capture_output=True,
            text=True,
            timeout=_BOUND_S + wanted.watch_s,
            env=worker_environment(PEERS["holocron"]),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"the crowd had not come, been watched and gone after {late.timeout:g} s") from None
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1][:300])
    return Found(**json.loads(done.stdout.splitlines()[-1]))


class _Watched:
    """`store`, with the time of every epoch that was written through it, and a count of what was asked by verb."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.written_s: list[float] = []

    @property
    def uri(self) -> str:
        return self._store.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        answer = self._store.perform(request, timeout_s)
        with self._lock:
            self.counts[type(request).__name__] += 1
            if isinstance(request, Put) and request.key.startswith(EPOCHS) and isinstance(answer, Written):
                self.written_s.append(time.monotonic())
        return answer

    def close(self) -> None:
        """The store is another's to close."""


class _Crowd:
    """Nodes of one or of many clusters on one scheduler and one set of threads, each cluster at a root of its own."""

    def __init__(self, roots: Sequence[_Watched], per_cluster: int, ttl_s: float) -> None:
        self.roots = roots
        self._ttl_s = ttl_s
        self._lane = Lane(Loop(None, _IO_THREADS), "journal", 1)
        settings = Settings(ttl_s=ttl_s)
        with ThreadPoolExecutor(16) as pool:
            self.nodes = list(
                pool.map(
                    lambda root: Node.start(root, settings=settings, lane=self._lane),
                    [root for root in self.roots for _ in range(per_cluster)],
                )
            )
        for node in self.nodes:
            node.campaign()

    def settle(self, within_s: float) -> None:
        """Wait until every cluster has a leader."""
        end_s = time.monotonic() + within_s
        while self.leaders() < len(self.roots):
            if time.monotonic() > end_s:
                raise RuntimeError(f"{self.leaders()} of {len(self.roots)} clusters have a leader after {within_s:g} s")
            time.sleep(0.1)

    def leaders(self) -> int:
        return sum(node.term is not None for node in self.nodes)

    def stop(self) -> None:
        """As `Runtime.stop` does."""
        for node in self.nodes:
            node.stand_aside()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda node: node.stop(self._ttl_s), self.nodes))
        self._lane.loop.close()
        self._lane.close()


def _steady(crowd: _Crowd, wanted: Wanted, before_kib: int) -> dict[str, float]:
    """What the crowd takes while nothing happens, a node: CPU in ms a second, memory in KiB; and requests a second.

    The longest time between two renewals is that of all clusters, from the beginning of the watch to its end, so that
    a leader that wrote nothing at all is the latest of them.
    """
    for root in crowd.roots:
        root.counts.clear()
        root.written_s.clear()
    cpu_s, began_s = time.process_time(), time.monotonic()
    time.sleep(wanted.watch_s)
    ended_s = time.monotonic()
    cpu_s, taken_s = time.process_time() - cpu_s, ended_s - began_s
    longest_s = max(
        later - earlier
        for root in crowd.roots
        for earlier, later in zip([began_s, *root.written_s], [*root.written_s, ended_s], strict=True)
    )
    count = len(crowd.nodes)
    return {
        "leaders": crowd.leaders(),
        "longest_s": longest_s,
        "cpu_ms": cpu_s / taken_s / count * 1000,
        "memory_kib": (_resident_kib() - before_kib) / count,
        "requests": sum(sum(root.counts.values()) for root in crowd.roots) / taken_s,
    }


@contextmanager
def _roots(wanted: Wanted) -> Iterator[list[_Watched]]:
    """Where the clusters lie. Those in memory have begun on a store that has shown what it promises: no probe."""
    stores: list[Store] = []
    for _ in range(wanted.clusters):
        if wanted.address:
            options = StoreOptions(endpoint_url=f"http://{wanted.address}")
            stores.append(open_store(f"s3://holocron/crowd-{secrets.token_hex(4)}", options))
        else:
            memory = MemoryStore()
            made.begun(memory)
            stores.append(memory)
    try:
        yield [_Watched(store) for store in stores]
    finally:
        for store in stores:
            store.close()


def _resident_kib() -> int:
    """What the process holds now; where the system does not tell, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() // 1024


def main(arguments: Sequence[str]) -> int:
    """Start the crowd, wait until all know of all, watch it, and say what it took."""
    wanted = Wanted(**json.loads(arguments[0]))
    with _roots(wanted) as roots:
        before_kib, began_s = _resident_kib(), time.monotonic()
        crowd = _Crowd(roots, wanted.per_cluster, wanted.ttl_s)
        start_s = time.monotonic() - began_s
        crowd.settle(60.0)
        time.sleep(1.5 * wanted.ttl_s)
        steady = _steady(crowd, wanted, before_kib)
        began_s = time.monotonic()
        crowd.stop()
        print(json.dumps({**steady, "start_s": start_s, "stop_s": time.monotonic() - began_s}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
