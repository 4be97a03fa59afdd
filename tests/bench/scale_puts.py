"""Row scale-puts: how many attempts at the next epoch reach the server when the leader of many processes is killed.

Every process reaches the server through a proxy that sees who would create which epoch. An heir had reason to try once
its turn had come and it knew of nobody who had followed. One that tries twice shows as more attempts than nodes that
made them; a crowd whose turn had not come shows as many nodes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Mapping

from tests.bench.election import BOARD_S, Moved, Worker, again, settle
from tests.bench.grouped import Grouped
from tests.bench.peers.base import Job, Peer
from tests.bench.proxy import Proxy
from tests.bench.registry import Bench, Limit, Row, Sample, register

# Of one node each; so many of them start at a time, lest the leader starve meanwhile.
_PROCESSES, _QUICK_PROCESSES, _AT_A_TIME = 100, 10, 5
ALL, EACH, HEIRS = "attempts", "attempts a node that tried", "nodes that tried"


class _Claims:
    """Who tried for which epoch, how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by: dict[int, Counter[str]] = {}

    def __call__(self, epoch: int, node: str) -> None:
        with self._lock:
            self._by.setdefault(epoch, Counter())[node] += 1

    def contested(self, former: str) -> Counter[str]:
        """The attempts at the epoch that ended the tenure of `former`: the first that others tried for."""
        with self._lock:
            others = [number for number, by in self._by.items() if set(by) - {former}]
            return Counter(self._by[min(others)]) if others else Counter()

    def last(self) -> str:
        """Who tried for the newest epoch."""
        with self._lock:
            return next(iter(self._by[max(self._by)]))


def _failover(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    return again(lambda: _once(bench, peer))


def _once(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    claims = _Claims()
    key, ttl_s = bench.key(), bench.many_ttl_s
    processes = _QUICK_PROCESSES if bench.quick else _PROCESSES
    with contextlib.ExitStack() as stack:
        way = stack.enter_context(Proxy(bench.address(peer), claimed=claims))
        leader = stack.enter_context(Worker(Job(peer.name, way.address, key, ttl_s)))
        leader.wait("led", BOARD_S)
        others: list[Worker] = []
        for _ in range(0, processes, _AT_A_TIME):
            more = [stack.enter_context(Worker(Job(peer.name, way.address, key, ttl_s))) for _ in range(_AT_A_TIME)]
            for other in more:
                other.wait("ready", BOARD_S)
            others += more
        settle(ttl_s, bench.dice.random())
        if any(other.said("led") for other in others):
            raise Moved("another led before the leader was killed")
        former = claims.last()
        leader.kill()
        _first(others, 3 * ttl_s + BOARD_S)
        # Whoever is late with an attempt is counted too.
        settle(ttl_s, 0)
    tried = claims.contested(former)
    if not tried:
        raise RuntimeError("another leads, and no attempt was seen on the way")
    return {ALL: tried.total(), EACH: tried.total() / len(tried), HEIRS: len(tried)}


def _first(others: list[Worker], timeout_s: float) -> None:
    """Return once one of `others` leads."""
    led = threading.Event()
    threads = [threading.Thread(target=_tell, args=(other, led, timeout_s), daemon=True) for other in others]
    for thread in threads:
        thread.start()
    if not led.wait(timeout_s):
        raise RuntimeError(f"nobody led within {timeout_s:g} s of the kill")


def _tell(other: Worker, led: threading.Event, timeout_s: float) -> None:
    # Most of them never lead, and are ended.
    with contextlib.suppress(Exception):
        other.wait("led", timeout_s)
        led.set()


_ROW = Grouped({_failover: (ALL, EACH, HEIRS)})
register(
    Row(
        "scale-puts",
        f"attempts at the next epoch after SIGKILL of the leader: {_PROCESSES} processes",
        "",
        _ROW.cases,
        _ROW.measure,
        (Limit(EACH, "max", most=1.0),),
        rounds=lambda repeats: min(2, repeats),
    )
)
