"""Row 3: from the call that releases to the moment a follower leads, in milliseconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from holocron.store.base import Get, Put
from holocron.store.s3 import S3Store
from tests.bench.election import BOARD_S, Moved, again, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

ONE, MANY, HINTS = "1 follower", "100 followers", ", with hints"
STORE = "a GET and a PUT alone"
# A follower polls once a round, which is a third of the ttl.
HALF_A_POLL = ", half a poll"
# Each of many followers leads once and hands over to the next: samples that need no further start.
_CHAIN = 3


def _cases(peer: Peer) -> Sequence[str]:
    plain = (ONE, MANY)
    if peer.name != "holocron":
        return plain
    return (*plain, *(case + HINTS for case in plain), STORE, *(case + HALF_A_POLL for case in plain))


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    if case == STORE:
        return [_two_requests_ms(bench.address(peer), bench.key())]
    many = case.startswith(MANY)
    ttl_s = bench.many_ttl_s if many and peer.name == "holocron" else bench.ttl_s
    if case.endswith(HALF_A_POLL):
        return [ttl_s / 3 / 2 * 1000]
    return again(lambda: _handed_over(bench, peer, case, ttl_s))


def _handed_over(bench: Bench, peer: Peer, case: str, ttl_s: float) -> Sequence[Sample]:
    options = {"hints": case.endswith(HINTS)}
    many = case.startswith(MANY)
    count = (10 if bench.quick else 100) if many else 1
    address, key = bench.address(peer), bench.key()
    leader = Job(peer.name, address, key, ttl_s, options=options)
    samples: list[Sample] = []
    with pair(leader, Job(peer.name, address, key, ttl_s, count, options)) as (first, second):
        holder, after = first, 0
        settle(ttl_s, 0)
        if second.said("led"):
            raise Moved("a follower led before its leader released")
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


register(
    Row(
        "handover",
        "a follower leads after the leader began to release",
        "ms",
        _cases,
        _measure,
        (
            Limit(ONE, "median", most=0.0, plus=((ONE + HALF_A_POLL, 1.0), (STORE, 1.0))),
            Limit(MANY, "median", most=0.0, plus=((MANY + HALF_A_POLL, 1.0), (STORE, 1.0))),
            Limit(ONE + HINTS, "median", most=10.0, plus=((STORE, 1.0),)),
            Limit(MANY + HINTS, "median", most=0.0, plus=((ONE + HINTS, 2.0),)),
        ),
        rounds=lambda repeats: max(1, repeats // 2),
    )
)
