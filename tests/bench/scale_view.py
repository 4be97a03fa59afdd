"""Row scale-view: the lock file of a cluster of a thousand: its size, and the CPU to build and to read it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import msgspec

from holocron.layout import EPOCHS, numbered
from holocron.records import Epoch, Member, decode, encode
from tests.bench.grouped import Grouped
from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Row, Sample, register
from tests.runtime import made

_MEMBERS, _TURNS = 1000, 30
_ROWS: dict[str, dict[str, object]] = {
    "bare rows": {},
    "names and addresses": {"name": "rack 7, third from the left", "address": "10.0.117.23:8443"},
    "eight labels each": {"name": "rack 7", "labels": {f"key-{n}": "value" * 5 for n in range(8)}},
}
_WHAT = ("KB", "ms CPU to build", "ms CPU to read")
_CASES = tuple(f"{name}: {what}" for name in _ROWS for what in _WHAT)


def _views(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    told: dict[str, Sample] = {}
    for name, more in _ROWS.items():
        each = {"incarnation": 1, "status": "alive", "standing": True, **more}
        rows = tuple(msgspec.convert({"node": f"{n:012x}", "rank": n, **each}, Member) for n in range(1, _MEMBERS + 1))
        body = b""
        build_ms: list[float] = []
        read_ms: list[float] = []
        for number in range(2, 2 + (5 if bench.quick else _TURNS)):
            began_s = time.process_time()
            # Another tuple each time: the same one is written out once.
            body = encode(made.epoch(number, topology=(*rows[:-1], rows[-1])))
            build_ms.append((time.process_time() - began_s) * 1000)
            began_s = time.process_time()
            decode(Epoch, body, numbered(EPOCHS, number), made.UUID)
            read_ms.append((time.process_time() - began_s) * 1000)
        told[f"{name}: {_WHAT[0]}"] = len(body) / 1000
        told[f"{name}: {_WHAT[1]}"] = statistics.median(build_ms)
        told[f"{name}: {_WHAT[2]}"] = statistics.median(read_ms)
    return told


_ROW = Grouped({_views: _CASES})
register(
    Row("scale-view", "the lock file of a cluster of 1,000", "", _ROW.cases, _ROW.measure, rounds=lambda _: 1),
)
