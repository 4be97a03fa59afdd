"""Row 5: a leader whose store falls silent without closing: how long before its successor it stops saying yes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.election import BOARD_S, Silent, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.proxy import Proxy
from tests.bench.registry import Bench, Limit, Row, Sample, register

CASE = "steps down before"
# Enough for any client that will ever notice at a ttl of 2 s; who does not in this time has no figure.
BOUND_S = 30.0


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    address, key = bench.address(peer), bench.key()
    with Proxy(address, peer.protocol) as way:
        leader = Job(peer.name, way.address, key, bench.ttl_s)
        with pair(leader, Job(peer.name, address, key, bench.ttl_s)) as (first, second):
            settle(bench.ttl_s, bench.dice.random())
            first.say("watch")
            before = first.wait("answer", BOUND_S)["at"]
            way.fall_silent()
            led = second.wait("led", BOARD_S, after=before)["at"]
            try:
                no = first.wait("no", BOUND_S, after=before)["at"]
            except Silent:
                return [f"not in {BOUND_S:g} s"]
            return [(led - no) / 1e9 / bench.ttl_s]


register(
    Row(
        "blackhole",
        "a leader in a black hole stops saying yes before its successor leads (below 0: after)",
        "ttl",
        lambda _: (CASE,),
        _measure,
        (Limit(CASE, "min", least=0.10),),
        rounds=lambda repeats: max(1, repeats // 5),
        lower_is_better=False,
    )
)
