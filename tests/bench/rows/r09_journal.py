"""Row 9: what a journal costs on S3: appends beside bare `put_object` calls, replay, and resume behind a checkpoint.

The bare loop puts one small object after another from one thread, as a program without Holocron would. An entry that is
appended alone costs a PUT, and the GET of the floor that makes it final, so its ratio of time is near two; a thousand
that wait together share a few objects. Both take turns on one server.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import msgspec

from holocron import Node, Settings
from holocron.store.s3 import S3Store
from tests.bench.bare import bare_put
from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Row, Sample, register

ENTRY = b"x" * 100
# Batches and bare objects in one round.
PER_ROUND = 40
BEHIND = 10_000
LARGE = b"x" * 64 * 1024
SETTINGS = Settings(ttl_s=10.0)
APPENDS = {"append, 1 at once": 1, "append, 10 at once": 10, "append, 1000 at once": 1000}
REPLAYS = {"64 KiB entries, MB/s": (LARGE, 1_000), "100-byte entries, entries/s": (ENTRY, 200_000)}
RESUMES = {"nothing behind": 0, f"{BEHIND:,} commands behind": BEHIND}


def _only_holocron(cases: Sequence[str]) -> Callable[[Peer], Sequence[str]]:
    return lambda peer: cases if peer.name == "holocron" else ()


@contextlib.contextmanager
def _store(bench: Bench, peer: Peer) -> Iterator[S3Store]:
    with contextlib.closing(S3Store("holocron", bench.key(), endpoint_url=f"http://{bench.address(peer)}")) as store:
        yield store


def _appended(bench: Bench, peer: Peer, size: int) -> tuple[list[float], list[float]]:
    """The seconds of some bare puts, and of some batches of `size` entries, taking turns."""
    put = bare_put(bench.address(peer))
    bare_s: list[float] = []
    batch_s: list[float] = []
    with _store(bench, peer) as store, Node.start(store, settings=SETTINGS) as node:
        node.journal.replay()
        put(secrets.token_hex(8))
        for _ in range(2):
            bare_s += [_timed(lambda: put(secrets.token_hex(8))) for _ in range(PER_ROUND // 2)]
            count = PER_ROUND // 2 if size < 1000 else PER_ROUND // 8
            batch_s += [_timed(lambda: _append(node, size)) for _ in range(count)]
    return bare_s, batch_s


def _latency(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    bare_s, batch_s = _appended(bench, peer, APPENDS[case])
    return [statistics.median(batch_s) / statistics.median(bare_s)]


def _throughput(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    size = APPENDS[case]
    bare_s, batch_s = _appended(bench, peer, size)
    return [size / statistics.fmean(batch_s) * statistics.fmean(bare_s)]


def _append(node: Node, size: int) -> None:
    futures = [node.journal.append_nowait(ENTRY) for _ in range(size)]
    for future in futures:
        future.result(60)


def _replay(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    entry, count = REPLAYS[case]
    count = count // 10 if bench.quick else count
    with _store(bench, peer) as store:
        with Node.start(store, settings=SETTINGS) as node:
            futures: list[Future[int]] = [node.journal.append_nowait(entry) for _ in range(count)]
            for future in futures:
                future.result(120)
            node_id = node.id
        with Node.resume(store, node_id, settings=SETTINGS) as node:
            took_s = _timed(node.journal.replay)
            assert node.journal.position == count
    return [count * len(entry) / took_s / 1e6 if entry is LARGE else count / took_s]


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


def _resume(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    """Commands behind the last checkpoint, as they come from one that submits a hundred at a time."""
    behind = RESUMES[case]
    with _store(bench, peer) as store:
        with Node.start(store, settings=SETTINGS) as node:
            node.host(_Counter(), checkpoint_every=0)
            host = node._host
            assert host is not None
            for _ in range(behind // 100):
                for future in [host.submit_nowait(ENTRY) for _ in range(100)]:
                    future.result(60)
            node_id = node.id
        began_s = time.perf_counter()
        with Node.resume(store, node_id, settings=SETTINGS) as node:
            service = _Counter()
            assert node.host(service, checkpoint_every=0) == behind == service.count
            return [(time.perf_counter() - began_s) * 1000]


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _some(repeats: int) -> int:
    return min(3, repeats)


_APPEND_CASES, _REPLAY_CASES, _RESUME_CASES = tuple(APPENDS), tuple(REPLAYS), tuple(RESUMES)
register(
    Row(
        "journal",
        "an append of 100 bytes until it is acknowledged, to one bare put_object",
        "x",
        _only_holocron(_APPEND_CASES),
        _latency,
        rounds=_some,
    )
)
register(
    Row(
        "journal-rate",
        "entries appended in a second, to bare put_object calls in a second",
        "x",
        _only_holocron(_APPEND_CASES),
        _throughput,
        rounds=_some,
        lower_is_better=False,
    )
)
register(
    Row(
        "replay",
        "the replay of a journal",
        "",
        _only_holocron(_REPLAY_CASES),
        _replay,
        rounds=_some,
        lower_is_better=False,
    )
)
register(Row("resume", "a hosted service comes back", "ms", _only_holocron(_RESUME_CASES), _resume, rounds=_some))
