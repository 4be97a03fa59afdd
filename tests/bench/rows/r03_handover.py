"""Row 3: from the call that releases to the moment a follower leads, in milliseconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from holocron.store.base import Get, Put
from holocron.store.s3 import S3Store
from tests.bench.election import BOARD_S, Moved, Worker, again, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

ONE, MANY, HINTS = "1 follower", "100 followers", ", with hints"
STORE = "a GET and a PUT alone"
# A follower polls once a round, which is a third of the ttl.
HALF_A_POLL = ", half a poll"
# Each of many followers leads once and hands over to the next: samples that need no further start.
_CHAIN = 3
# With one follower so many elections are begun side by side, and then each hands over in its turn.
_BESIDE = 4


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
    count = (10 if bench.quick else 100) if many else 1
    return again(lambda: _handed_over(bench, peer, count, ttl_s, hints=case.endswith(HINTS)))


def _handed_over(bench: Bench, peer: Peer, count: int, ttl_s: float, hints: bool) -> Sequence[Sample]:
    options = {"hints": hints}
    samples: list[Sample] = []
    with contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(_BESIDE if count == 1 and not bench.quick else 1):
            address, key = bench.address(peer), bench.key()
            leader = Job(peer.name, address, key, ttl_s, options=options)
            pairs.append(stack.enter_context(pair(leader, Job(peer.name, address, key, ttl_s, count, options))))
        settle(ttl_s, 0)
        if any(second.said("led") for _, second in pairs):
            raise Moved("a follower led before its leader released")
        for first, second in pairs:
            samples += _chain(bench, first, second, ttl_s, 1 if count == 1 else _CHAIN)
    return samples


def _chain(bench: Bench, holder: Worker, followers: Worker, ttl_s: float, length: int) -> Sequence[Sample]:
    """From `holder` to the first of `followers`, and from each to the next."""
    samples: list[Sample] = []
    after = 0
    for _ in range(length):
        # Everyone has come to know everyone; this is any phase of the followers' polls.
        time.sleep(ttl_s * (0.5 + bench.dice.random() / 2))
        holder.say("release")
        began = holder.wait("releasing", BOARD_S, after=after)["at"]
        after = followers.wait("led", BOARD_S, after=began)["at"]
        samples.append((after - began) / 1e6)
        holder = followers
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
