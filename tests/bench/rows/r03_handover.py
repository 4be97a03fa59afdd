"""Row 3: from the call that releases to the moment a follower leads, in milliseconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from holocron.store.base import Get, Put
from holocron.store.s3 import S3Store
from tests.bench.election import BOARD_S, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Row, Sample, register

HINTS = ", with hints"
STORE = "a GET and a PUT alone"
# Each of many followers leads once and hands over to the next: samples that need no further start.
_CHAIN = 3


def _cases(peer: Peer) -> Sequence[str]:
    plain = ("1 follower", "100 followers")
    return (*plain, *(case + HINTS for case in plain), STORE) if peer.name == "holocron" else plain


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    if case == STORE:
        return [_two_requests_ms(bench.address(peer), bench.key())]
    options = {"hints": case.endswith(HINTS)}
    many = case.startswith("100")
    count = (10 if bench.quick else 100) if many else 1
    ttl_s = bench.many_ttl_s if many and peer.name == "holocron" else bench.ttl_s
    address, key = bench.address(peer), bench.key()
    leader = Job(peer.name, address, key, ttl_s, options=options)
    samples: list[Sample] = []
    with pair(leader, Job(peer.name, address, key, ttl_s, count, options)) as (first, second):
        holder, after = first, 0
        settle(ttl_s, 0)
        for _ in range(1 if count == 1 else _CHAIN):
            # Everyone has come to know everyone; this is any phase of the followers' polls.
            time.sleep(ttl_s * (0.5 + bench.dice.random() / 2))
            holder.say("release")
            began = holder.wait("releasing", BOARD_S, after=after)["at"]
            after = second.wait("led", BOARD_S, after=began)["at"]
            samples.append((after - began) / 1e6)
            holder = second
    return samples


def _two_requests_ms(address: str, key: str) -> float:
    """What a read and a write of the size of a lock file take on this server, nobody else asking."""
    with contextlib.closing(S3Store("holocron", key, endpoint_url=f"http://{address}")) as store:
        store.perform(Get("warm"), 10)
        began_s = time.perf_counter()
        store.perform(Get("absent"), 10)
        store.perform(Put("present", b"x" * 600), 10)
        return (time.perf_counter() - began_s) * 1000


# What is allowed depends on what a request takes on this store: README.md says how to reckon it.
register(
    Row(
        "handover",
        "a follower leads after the leader began to release",
        "ms",
        _cases,
        _measure,
        (),
        rounds=lambda repeats: max(1, repeats // 2),
    )
)
