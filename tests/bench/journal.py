"""What a journal costs on S3: appends beside bare `put_object` calls, replay, and resume behind a checkpoint.

The bare loop puts one small object after another from one thread, as a program without Holocron would. An entry that is
appended alone costs a PUT, and the GET of the floor that makes it final, so its ratio of time is near two; a thousand
that wait together share a few objects. All take turns on one server.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from holocron import Node, Settings
from holocron.store.s3 import S3Store

ENTRY = b"x" * 100
BATCHES = (1, 10, 1000)
ROUNDS = 5
# Batches and bare objects in one round.
PER_ROUND = 40
BEHIND = 10_000
LARGE = b"x" * 64 * 1024
LARGE_COUNT = 1_000
SETTINGS = Settings(ttl_s=10.0)


def measure(store: S3Store, bare_put: Callable[[str], object]) -> None:
    """Measure on `store`, beside `bare_put`, and print."""
    with Node.start(store, settings=SETTINGS) as node:
        node.journal.replay()
        _appends(node, bare_put)
    _replays(store)
    _resumes(store)


def _appends(node: Node, bare_put: Callable[[str], object]) -> None:
    bare_s: list[float] = []
    batch_s: dict[int, list[float]] = {size: [] for size in BATCHES}
    bare_put(secrets.token_hex(8))
    for _ in range(ROUNDS):
        bare_s += [_timed(lambda: bare_put(secrets.token_hex(8))) for _ in range(PER_ROUND)]
        for size in BATCHES:
            count = PER_ROUND if size < 1000 else PER_ROUND // 4
            batch_s[size] += [_timed(lambda: _append(node, size)) for _ in range(count)]  # noqa: B023 - called here and now
    base_s = statistics.median(bare_s)
    base_per_s = 1 / statistics.fmean(bare_s)
    print()
    print("An append of 100 bytes until it is acknowledged, as a ratio to one bare put_object:")
    print(f"{'':24}{'median':>10}{'p95':>10}{'ratio':>8}{'entries/s':>12}{'ratio':>8}")
    _row("boto3 put_object", bare_s, base_s, base_per_s, base_per_s)
    for size, taken_s in batch_s.items():
        _row(f"append, {size} at once", taken_s, base_s, size / statistics.fmean(taken_s), base_per_s)


def _row(name: str, taken_s: list[float], base_s: float, per_s: float, base_per_s: float) -> None:
    median_s, p95_s = statistics.median(taken_s), statistics.quantiles(taken_s, n=20)[-1]
    times = f"{median_s * 1000:>7.2f} ms{p95_s * 1000:>7.2f} ms{median_s / base_s:>8.2f}"
    print(f"{name:24}{times}{per_s:>12,.0f}{per_s / base_per_s:>8.2f}")


def _append(node: Node, size: int) -> None:
    futures = [node.journal.append_nowait(ENTRY) for _ in range(size)]
    for future in futures:
        future.result(60)


def _replays(store: S3Store) -> None:
    print()
    print("Replay:")
    for name, entry, count in (("64 KiB entries", LARGE, LARGE_COUNT), ("100-byte entries", ENTRY, 200_000)):
        node_id = _written(store, entry, count)
        with Node.resume(store, node_id, settings=SETTINGS) as node:
            took_s = _timed(node.journal.replay)
            assert node.journal.position == count
        print(f"{name:24}{count * len(entry) / took_s / 1e6:>7.1f} MB/s{count / took_s:>12,.0f} entries/s")


def _written(store: S3Store, entry: bytes, count: int) -> str:
    with Node.start(store, settings=SETTINGS) as node:
        futures: list[Future[int]] = [node.journal.append_nowait(entry) for _ in range(count)]
        for future in futures:
            future.result(120)
        return node.id


class _Counter:
    """As small a service as there is: what is timed is the way back."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, command: bytes) -> bytes:
        self.count += 1
        return b""

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.count)

    def restore(self, snapshot: bytes) -> None:
        self.count = msgspec.msgpack.decode(snapshot, type=int)


def _resumes(store: S3Store) -> None:
    """`BEHIND` commands behind the last checkpoint, as they come from one that submits a hundred at a time."""
    with Node.start(store, settings=SETTINGS) as node:
        node.host(_Counter(), checkpoint_every=0)
        host = node._host
        assert host is not None
        for _ in range(BEHIND // 100):
            for future in [host.submit_nowait(ENTRY) for _ in range(100)]:
                future.result(60)
        node_id = node.id
    bare_s: list[float] = []
    behind_s: list[float] = []
    for _ in range(3):
        bare_s.append(_timed(lambda: _empty(store)))
        began_s = time.perf_counter()
        with Node.resume(store, node_id, settings=SETTINGS) as node:
            service = _Counter()
            assert node.host(service, checkpoint_every=0) == BEHIND == service.count
            behind_s.append(time.perf_counter() - began_s)
    print()
    print(f"Resume of a hosted service, {BEHIND:,} commands behind the last checkpoint:")
    print(f"{'nothing behind':24}{statistics.median(bare_s) * 1000:>7.0f} ms")
    print(f"{f'{BEHIND:,} behind':24}{statistics.median(behind_s) * 1000:>7.0f} ms")


def _empty(store: S3Store) -> None:
    with Node.start(store, settings=SETTINGS) as node:
        node.host(_Counter(), checkpoint_every=0)


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
