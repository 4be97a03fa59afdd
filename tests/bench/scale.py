"""A thousand nodes in one process, and a chain of a million epochs: `python -m tests.bench.scale [ROW …]`.

Each row prints what it measured. CPU is the process's own (`time.process_time`), which a busy machine blurs less than
it does the wall; how late a renewal came is by the wall, for that is what a lease runs by.
"""

from __future__ import annotations

import os
import resource
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holocron import Cluster, Node, Settings, StoreOptions, open_store
from holocron.layout import EPOCH_FLOOR, EPOCHS, history_key, numbered
from holocron.protocol.retention import compact
from holocron.records import Epoch, Floor, Member, Past, decode, encode
from holocron.runtime.lane import Lane
from holocron.runtime.loop import Loop
from holocron.store.base import Answer, Found, Get, Put, Request, Store, Written
from holocron.store.memory import MemoryStore
from holocron.testing.server import CREDENTIALS, spawn
from tests.runtime import made

TTL_S = 10.0
# How long a crowd is watched once it is steady.
WATCH_S = 20.0
IO_THREADS = 32


class Watched:
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


class Crowd:
    """Nodes of one or of many clusters on one scheduler and one set of threads, each cluster at a root of its own."""

    def __init__(self, roots: Iterable[Store], per_cluster: int) -> None:
        self.roots = [Watched(root) for root in roots]
        self.lane = Lane(Loop(None, IO_THREADS), "journal", 1)
        settings = Settings(ttl_s=TTL_S)

        def join(root: Watched) -> Node:
            return Node.start(root, settings=settings, lane=self.lane)

        with ThreadPoolExecutor(16) as pool:
            self.nodes = list(pool.map(join, [root for root in self.roots for _ in range(per_cluster)]))
        for node in self.nodes:
            node.campaign()

    def settle(self, within_s: float) -> None:
        """Wait until every cluster has a leader."""
        end_s = time.monotonic() + within_s
        while sum(node.term is not None for node in self.nodes) < len(self.roots):
            if time.monotonic() > end_s:
                raise RuntimeError("not every cluster has a leader in time")
            time.sleep(0.1)

    def stop(self) -> None:
        """As `Runtime.stop` does."""
        for node in self.nodes:
            node.stand_aside()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda node: node.stop(TTL_S), self.nodes))
        self.lane.loop.close()
        self.lane.close()


def _resident_kib() -> int:
    """What the process holds now; where the system does not tell, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() // 1024


def nodes(what: str, roots: list[Store], per_cluster: int) -> None:
    """Start a crowd, watch it, stop it, and print what that took."""
    before_kib, cpu_s, wall_s = _resident_kib(), time.process_time(), time.monotonic()
    crowd = Crowd(roots, per_cluster)
    count = len(crowd.nodes)
    started = f"start {time.process_time() - cpu_s:.1f} s CPU, {time.monotonic() - wall_s:.1f} s"
    crowd.settle(60.0)
    time.sleep(1.5 * TTL_S)
    for root in crowd.roots:
        root.counts.clear()
        root.written_s.clear()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    time.sleep(WATCH_S)
    ended_s = time.monotonic()
    cpu_s, taken_s = time.process_time() - cpu_s, ended_s - wall_s
    # From the beginning of the watch to its end, so that a leader that wrote nothing at all is the latest of them.
    gaps = sorted(
        later - earlier
        for root in crowd.roots
        for earlier, later in zip([wall_s, *root.written_s], [*root.written_s, ended_s], strict=True)
    )
    asked = sum(sum(root.counts.values()) for root in crowd.roots)
    leaders = sum(node.term is not None for node in crowd.nodes)
    terms = sum(node.term is not None and node.epoch - node.term >= 3 for node in crowd.nodes)
    memory_kib = _resident_kib() - before_kib
    cpu_s_stop, wall_s = time.process_time(), time.monotonic()
    crowd.stop()
    print(
        f"{what}: {count} nodes, {len(crowd.roots)} clusters, {leaders} lead ({terms} without a break)\n"
        f"  {started}; stop {time.process_time() - cpu_s_stop:.1f} s CPU, {time.monotonic() - wall_s:.1f} s\n"
        f"  steady: {cpu_s / taken_s / count * 1000:.3f} ms CPU/s and {memory_kib / count:.0f} KiB per node, "
        f"{asked / taken_s:.0f} requests/s, {threading.active_count()} threads after\n"
        f"  between two renewals: median {gaps[len(gaps) // 2]:.2f} s, longest {gaps[-1]:.2f} s "
        f"(ttl/2 is {TTL_S / 2:.0f} s)",
        flush=True,
    )


def _begun(count: int) -> list[Store]:
    """Places in memory where a cluster has begun, on a store that has shown what it promises: no probe is measured."""
    stores: list[Store] = [MemoryStore() for _ in range(count)]
    for store in stores:
        made.begun(store)
    return stores


def memory_one() -> None:
    """1,000 nodes of one cluster on the memory store."""
    nodes("memory, one cluster", _begun(1), 1000)


def memory_many() -> None:
    """1,000 clusters of one node each, all leading, on the memory store."""
    nodes("memory, all lead", _begun(1000), 1)


def memory_fours() -> None:
    """250 clusters of 4."""
    nodes("memory, fours", _begun(250), 4)


@contextmanager
def _served() -> Iterator[Callable[[str], Store]]:
    os.environ.update(CREDENTIALS)
    opened: list[Store] = []
    with spawn() as server:

        def root(name: str) -> Store:
            opened.append(open_store(f"s3://holocron/{name}", StoreOptions(endpoint_url=server.url)))
            return opened[-1]

        yield root
        for store in opened:
            store.close()


def http_one() -> None:
    """Nodes of one cluster over HTTP, as many as `SCALE_HTTP` says (100): the server is Python, on the same machine."""
    with _served() as root:
        nodes("http, one cluster", [root(f"s-{secrets.token_hex(4)}")], int(os.environ.get("SCALE_HTTP", "100")))


def view() -> None:
    """The lock file of a cluster of 1,000: its size, and the time to build and to read it."""
    described: dict[str, dict[str, object]] = {
        "bare": {},
        "named": {"name": "rack 7, third from the left", "address": "10.0.117.23:8443"},
        "labelled": {"name": "rack 7", "labels": {f"key-{n}": "value" * 5 for n in range(8)}},
    }
    for name, more in described.items():
        each = {"incarnation": 1, "status": "alive", "standing": True, **more}
        rows = tuple(msgspec.convert({"node": f"{n:012x}", "rank": n, **each}, Member) for n in range(1, 1001))
        body = b""
        build_ms: list[float] = []
        read_ms: list[float] = []
        for number in range(2, 32):
            cpu_s = time.process_time()
            # Another tuple each time: the same one is written out once.
            body = encode(made.epoch(number, topology=(*rows[:-1], rows[-1])))
            build_ms.append((time.process_time() - cpu_s) * 1000)
            cpu_s = time.process_time()
            decode(Epoch, body, numbered(EPOCHS, number), made.UUID)
            read_ms.append((time.process_time() - cpu_s) * 1000)
        print(
            f"lock file, 1,000 members, {name}: {len(body) / 1000:.0f} KB, "
            f"built in {sorted(build_ms)[15]:.2f} ms CPU, read in {sorted(read_ms)[15]:.2f}",
            flush=True,
        )


def chain() -> None:
    """What it takes to look at a chain of 1,000,000 epochs, beside one of 100: requests, keys listed, CPU."""
    for head in (100, 1_000_000):
        store = Watched(_lived(head))
        looks: dict[str, Callable[[Cluster], object]] = {
            "head": Cluster.head,
            "history of 20 tenures": lambda cluster: cluster.history(20),
            "epoch 1": lambda cluster: cluster.epoch(1),
        }
        for name, look in looks.items():
            with Cluster.open(store) as cluster:
                store.counts.clear()
                cpu_s = time.process_time()
                look(cluster)
                cpu_s = time.process_time() - cpu_s
            print(f"chain of {head:,}: {name}: {dict(store.counts)}, {cpu_s * 1000:.1f} ms CPU", flush=True)


def _lived(head: int) -> MemoryStore:
    """A cluster that has come to epoch `head`, with every history file that retention has left behind."""
    store = MemoryStore()
    made.begun(store)
    floor = max(0, (head - 256) // 64) * 64 + 1

    def epoch(number: int) -> Epoch:
        return made.epoch(number, (number - 1) // 50 * 50 + 1)

    for first in range(1, floor, 64):
        pasts = tuple(Past(epoch=number, record=epoch(number)) for number in range(first, first + 64))
        made.put(store, history_key(first, first + 63), compact(first, first + 63, pasts, made.UUID, f"h{first}"))
    made.chain(store, *(epoch(number) for number in range(floor, head + 1)))
    held = store.perform(Get(EPOCH_FLOOR), 1.0)
    if not isinstance(held, Found):
        raise TypeError(f"the floor could not be read: {held}")
    store.perform(Put(EPOCH_FLOOR, encode(Floor(cluster=made.UUID, nonce="r", floor=floor)), held.etag), 1.0)
    return store


ROWS: dict[str, Callable[[], None]] = {
    "view": view,
    "chain": chain,
    "memory-one": memory_one,
    "memory-fours": memory_fours,
    "memory-many": memory_many,
    "http-one": http_one,
}


def main(asked: list[str]) -> int:
    """Measure the rows that were asked for, or all of them."""
    unknown = [name for name in asked if name not in ROWS]
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    for name in asked or ROWS:
        ROWS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
