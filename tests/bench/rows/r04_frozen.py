"""Row 4: what a leader that stood still for longer than its lease answers when it runs again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.bench.election import BOARD_S, Moved, Silent, again, pair, settle
from tests.bench.peers.base import Job, Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

CASES = ("wrong yes", "ms of yes")
_PATIENCE_S = 10.0
# How many elections are held side by side, for nothing here is measured against another's time.
_AT_ONCE = 10
# Both cases of a round come from one experiment.
_TOLD: dict[str, list[Sample]] = {}


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    if case != CASES[0]:
        return _TOLD.pop(peer.name, [])
    _TOLD.pop(peer.name, None)
    address = bench.address(peer)
    jobs = [Job(peer.name, address, bench.key(), bench.ttl_s) for _ in range(1 if bench.quick else _AT_ONCE)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        told = list(pool.map(lambda job: again(lambda: _thawed(job, bench.dice.random())), jobs))
    _TOLD[peer.name] = [yes for _, yes in told]
    return [wrong for wrong, _ in told]


def _thawed(job: Job, phase: float) -> tuple[float, Sample]:
    """Whether a leader that stood still was wrong when it ran again, and for how long in ms."""
    with pair(job, job) as (first, second):
        settle(job.ttl_s, phase)
        if second.said("led"):
            raise Moved("a follower led before its leader was made to stand still")
        # It is asked every two milliseconds, and so at the moment it runs again, beside its client's own timers.
        first.say("watch")
        began = first.wait("answer", _PATIENCE_S)["at"]
        frozen = first.freeze()
        second.wait("led", BOARD_S, after=frozen)
        thawed = first.thaw()
        try:
            ended = first.wait("no", _PATIENCE_S, after=began)
        except Silent:
            return 1.0, f"no end in {_PATIENCE_S:g} s"
        asked, answered = ended["yes"]
        # A question put before it stood still is no wrong answer: only the next one could have known.
        wrong = asked > thawed
        return float(wrong), (answered - thawed) / 1e6 if wrong else 0.0


register(
    Row(
        "frozen",
        "still answers yes right after SIGCONT, its successor leading: 1 is yes",
        "",
        lambda _: CASES,
        _measure,
        (Limit(CASES[0], "max", most=0.0),),
        rounds=lambda repeats: max(1, repeats // 5),
    )
)
