"""Row scale-nodes: what a thousand nodes of one process take, a node, and how late the latest renewal comes."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.crowd import Wanted, watch
from tests.bench.grouped import Grouped
from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

TTL_S, _WATCH_S, _QUICK_S = 10.0, 20.0, 5.0
ONE, EACH, HTTP, HTTP_MOST = "memory, 1 of 1,000", "memory, 1,000 of 1", "http, 1 of 300", "http, 1 of 1,000"
# In order: the gap, which has a limit, and what it took.
_WHAT = ("longest gap, s", "CPU, ms/s a node", "memory, KiB a node", "requests a second", "start, s", "stop, s")


def _cases(which: str) -> tuple[str, ...]:
    return tuple(f"{which}: {what}" for what in _WHAT)


def _crowd(bench: Bench, peer: Peer, which: str, clusters: int, per_cluster: int) -> Mapping[str, Sample]:
    if bench.quick:
        clusters, per_cluster = max(1, clusters // 20), max(1, per_cluster // 20)
    address = bench.address(peer) if which.startswith("http") else ""
    found = watch(Wanted(clusters, per_cluster, TTL_S, _QUICK_S if bench.quick else _WATCH_S, address))
    if found.leaders != clusters:
        raise RuntimeError(f"{found.leaders} of {clusters} clusters have a leader after the watch")
    told = (found.longest_s, found.cpu_ms, found.memory_kib, found.requests, found.start_s, found.stop_s)
    return dict(zip(_cases(which), told, strict=True))


def _one(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    return _crowd(bench, peer, ONE, 1, 1000)


def _each(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    return _crowd(bench, peer, EACH, 1000, 1)


def _http(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    return _crowd(bench, peer, HTTP, 1, 300)


def _http_most(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    return _crowd(bench, peer, HTTP_MOST, 1, 1000)


_ROW = Grouped({_one: _cases(ONE), _each: _cases(EACH), _http: _cases(HTTP), _http_most: _cases(HTTP_MOST)})
register(
    Row(
        "scale-nodes",
        "many nodes in one process at ttl 10 s: clusters of nodes, nothing happening",
        "",
        _ROW.cases,
        _ROW.measure,
        tuple(Limit(_cases(which)[0], "max", most=TTL_S / 2) for which in (ONE, EACH, HTTP, HTTP_MOST)),
        rounds=lambda _: 1,
    )
)
