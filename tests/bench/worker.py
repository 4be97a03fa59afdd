"""A process that campaigns, and says what happens by the machine's own clock, one JSON object a line.

python -m tests.bench.worker JOB

Every line has `what` and `at`, nanoseconds of CLOCK_MONOTONIC, which all processes of one machine share:

    ready            the candidates are made and begin to campaign
    led      who     candidate `who` was told that it leads
    releasing, released  who   around the client's own call
    answer   leads   the first answer to "do you lead?" after `watch`
    no       yes     the first answer that was not yes, and the last yes before it: [asked, answered], null if none
    failed   why     nothing further will come

It reads: `release`, `watch`. It ends when its input does, so that it never outlives whoever began it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.bench.peers.all import PEERS
from tests.bench.peers.base import Candidate, Job

__all__ = ["main"]

# As in a program that asks before each piece of its work, without starving the client's own threads.
_ASK_EVERY_S = 0.002
_VOICE = threading.Lock()


def _say(what: str, at: int | None = None, **more: Any) -> None:
    line = json.dumps({"what": what, "at": time.monotonic_ns() if at is None else at, **more})
    with _VOICE:
        os.write(1, line.encode() + b"\n")


def main(arguments: Sequence[str]) -> int:
    """Campaign until the input ends."""
    job = Job(**json.loads(arguments[0]))
    try:
        candidates = PEERS[job.peer].candidates(job)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is what there is to report
        _say("failed", why=f"{type(error).__name__}: {error}"[:400])
        return 1
    _say("ready")
    leading: list[int] = []
    for number, candidate in enumerate(candidates):
        threading.Thread(target=_campaign, args=(number, candidate, leading), daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "release":
            threading.Thread(target=_release, args=(candidates, leading), daemon=True).start()
        elif line.strip() == "watch":
            threading.Thread(target=_watch, args=(candidates[leading[-1]],), daemon=True).start()
    os._exit(0)


def _campaign(number: int, candidate: Candidate, leading: list[int]) -> None:
    try:
        candidate.lead()
    except Exception as error:  # noqa: BLE001 - as above
        _say("failed", why=f"{type(error).__name__}: {error}"[:400])
        return
    at = time.monotonic_ns()
    leading.append(number)
    _say("led", at, who=number)


def _release(candidates: Sequence[Candidate], leading: list[int]) -> None:
    who = leading.pop()
    _say("releasing", who=who)
    try:
        candidates[who].release()
    except Exception as error:  # noqa: BLE001 - as above
        _say("failed", why=f"{type(error).__name__}: {error}"[:400])
        return
    _say("released", who=who)


def _watch(candidate: Candidate) -> None:
    yes: tuple[int, int] | None = None
    first = True
    while True:
        asked = time.monotonic_ns()
        try:
            leads, why = candidate.leads(), ""
        except Exception as error:  # noqa: BLE001 - an error is no yes
            leads, why = False, type(error).__name__
        answered = time.monotonic_ns()
        if first:
            _say("answer", answered, leads=leads, asked=asked)
            first = False
        if not leads:
            _say("no", answered, yes=yes, asked=asked, why=why)
            return
        yes = (asked, answered)
        time.sleep(_ASK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
