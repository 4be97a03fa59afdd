"""Row 6: what a leader and a follower ask of their server in a minute at ttl 10 s, counted on the wire."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.bench.election import pair
from tests.bench.peers.base import Job, Peer
from tests.bench.proxy import Proxy
from tests.bench.registry import Bench, Limit, Row, Sample, register

TTL_S = 10.0
CASES = ("leader", "follower", "leader MB", "follower MB")
# What Holocron must reach is a matter of a few requests: hence a whole minute, from the end of a round.
_WINDOW_S, _QUICK_S = 60.0, 5.0
# Whoever has asked for nothing for so long has ended a round.
_QUIET_S = 0.5
_TOLD: dict[str, dict[str, float] | Exception] = {}


def _resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    if peer.name not in _TOLD:
        # All peers at once, each on its own server: what is counted is the same, and one window is enough.
        everyone = bench.peers or (peer,)
        with ThreadPoolExecutor(len(everyone)) as pool:
            _TOLD.update(zip((one.name for one in everyone), pool.map(partial(_tried, bench), everyone), strict=True))
    told = _TOLD[peer.name]
    if case == CASES[-1]:
        del _TOLD[peer.name]
    if isinstance(told, Exception):
        raise told
    return [told[case]]


def _tried(bench: Bench, peer: Peer) -> dict[str, float] | Exception:
    """What each case came to, or why there is nothing."""
    try:
        return _counted(bench, peer)
    except Exception as error:  # noqa: BLE001 - the others go on, and this one is told of in its cells
        return error


def _after_a_burst(way: Proxy) -> tuple[int, float]:
    """How many requests have passed, and when that was: just after some did.

    A window that begins there has no more rounds in it than belong into its length. After a ttl it is told in any case,
    for a client that asks for nothing, or all the time, has no bursts.
    """
    end_s = time.monotonic() + TTL_S
    first = last = way.requests
    changed_s = began_s = time.monotonic()
    while began_s < end_s:
        time.sleep(0.02)
        began_s = time.monotonic()
        if way.requests != last:
            last, changed_s = way.requests, began_s
        elif last != first and began_s - changed_s >= _QUIET_S:
            return last, changed_s
    return last, began_s


def _counted(bench: Bench, peer: Peer) -> dict[str, float]:
    address, key = bench.address(peer), bench.key()
    told = {}
    with Proxy(address, peer.protocol) as one, Proxy(address, peer.protocol) as two:
        leader, follower = (Job(peer.name, way.address, key, TTL_S) for way in (one, two))
        with pair(leader, follower) as (first, second):
            # Coming aboard has its own requests, and so has taking in a newcomer, a heartbeat or two later.
            time.sleep(1.0 if bench.quick else TTL_S * 2.5)
            window_s = _QUICK_S if bench.quick else _WINDOW_S
            before = [_after_a_burst(way) for way in (one, two)]
            for name, way, worker, (was, began_s) in zip(CASES, (one, two), (first, second), before, strict=False):
                time.sleep(max(0.0, began_s + window_s - time.monotonic()))
                told[name] = (way.requests - was) * 60 / window_s
                told[name + " MB"] = _resident_mb(worker.process.pid)
    return told


register(
    Row(
        "requests",
        "requests a minute at ttl 10 s, and the memory of a process with one candidate",
        "a minute",
        lambda _: CASES,
        _measure,
        (Limit(CASES[0], "max", most=66.0), Limit(CASES[1], "max", most=33.0)),
        rounds=lambda _: 1,
    )
)
