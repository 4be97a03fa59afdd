"""Row 4: what a leader that stood still for longer than its lease answers when it runs again."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.election import BOARD_S, Silent, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

CASES = ("wrong yes", "ms of yes")
_PATIENCE_S = 10.0
# Both cases of a round come from one experiment.
_TOLD: dict[str, float | str] = {}


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    if case != CASES[0]:
        known = _TOLD.pop(peer.name, None)
        return [] if known is None else [known]
    address, key = bench.address(peer), bench.key()
    job = Job(peer.name, address, key, bench.ttl_s)
    _TOLD.pop(peer.name, None)
    with pair(job, job) as (first, second):
        settle(bench.ttl_s, bench.dice.random())
        # It is asked every two milliseconds, and so at the moment it runs again, beside its client's own timers.
        first.say("watch")
        began = first.wait("answer", _PATIENCE_S)["at"]
        frozen = first.freeze()
        second.wait("led", BOARD_S, after=frozen)
        thawed = first.thaw()
        try:
            ended = first.wait("no", _PATIENCE_S, after=began)
        except Silent:
            _TOLD[peer.name] = f"no end in {_PATIENCE_S:g} s"
            return [1.0]
        asked, answered = ended["yes"]
        # A question put before it stood still is no wrong answer: only the next one could have known.
        wrong = asked > thawed
        _TOLD[peer.name] = (answered - thawed) / 1e6 if wrong else 0.0
        return [float(wrong)]


register(
    Row(
        "frozen",
        "still answers yes right after SIGCONT, its successor leading: 1 is yes",
        "",
        lambda _: CASES,
        _measure,
        (Limit(CASES[0], "max", most=0.0),),
        rounds=lambda repeats: max(1, repeats * 3 // 5),
    )
)
