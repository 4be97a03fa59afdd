"""Rows 1 and 2: how long after SIGKILL of the leader's process a follower leads, in units of the ttl."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.election import BOARD_S, Moved, again, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

ONE, MANY = "1 follower", "100 followers"
GUARDIAN, HINTS = "guardian", "guardian and hints"


def _cases(peer: Peer) -> Sequence[str]:
    # A hundred clients each of the other peers would measure this machine's two cores, not the peer.
    return (ONE, MANY) if peer.name == "holocron" else (ONE,)


def _kill(bench: Bench, peer: Peer, case: str, options: dict[str, bool]) -> Sequence[Sample]:
    """One sample: the kill comes at a random phase of the renewals."""
    many = case.startswith(MANY)
    count = (10 if bench.quick else 100) if many else 1
    ttl_s = bench.many_ttl_s if many and peer.name == "holocron" else bench.ttl_s
    address, key = bench.address(peer), bench.key()
    leader = Job(peer.name, address, key, ttl_s, options=options)
    with pair(leader, Job(peer.name, address, key, ttl_s, count, options)) as (first, second):
        settle(ttl_s, bench.dice.random())
        if second.said("led"):
            raise Moved("a follower led before its leader was killed")
        at = first.kill()
        led = second.wait("led", BOARD_S, after=at)
        return [(led["at"] - at) / 1e9 / ttl_s]


def _died(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    return again(lambda: _kill(bench, peer, case, {"guardian": False}))


def _crashed(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    return again(lambda: _kill(bench, peer, case, {"guardian": True, "hints": case == HINTS}))


register(
    Row(
        "failover",
        "a follower leads after SIGKILL of the leader (its host died: no guardian)",
        "ttl",
        _cases,
        _died,
        (
            Limit(ONE, "median", most=0.90),
            Limit(ONE, "max", most=1.10),
            Limit(MANY, "median", most=0.90),
            Limit(MANY, "max", most=1.10),
        ),
    )
)
register(
    Row(
        "crash",
        "the same, its host alive (others have nothing for this: their figures are the row above)",
        "ttl",
        lambda peer: (GUARDIAN, HINTS) if peer.name == "holocron" else (),
        _crashed,
        (Limit(GUARDIAN, "median", most=0.05), Limit(HINTS, "median", most=0.05)),
    )
)
