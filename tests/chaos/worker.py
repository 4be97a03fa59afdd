"""A real process with a real node, which writes down what it believes, publishes and sees, by the machine's clock.

python -m tests.chaos.worker LOCATION NODE_ID EVIDENCE TTL_S [--resume]

Every line of the evidence is a JSON object with `at`, seconds by the machine's own clock, which all processes of one
machine share. What is asked of a lease is bracketed by two readings: the answer was given at some instant between.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

import holocron
from holocron import events

# A process that does nothing but ask would starve its own renewals on a small machine.
_ASK_EVERY_S = 0.004
_PUBLISH_EVERY_S = 0.15


def clock_s() -> float:
    """The machine's clock: the same for every process on it."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class Evidence:
    """One line for each thing worth knowing; whole lines only, for the process may be killed at any instant."""

    def __init__(self, path: str, who: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._who = who

    def say(self, what: str, **values: Any) -> None:
        """Write a line."""
        line = json.dumps({"at": clock_s(), "pid": os.getpid(), "node": self._who, "what": what, **values})
        os.write(self._file, line.encode() + b"\n")


def main(arguments: list[str]) -> int:
    """Take part until told to stop, or until superseded."""
    location, node_id, path, ttl_s = arguments[:4]
    evidence = Evidence(path, node_id)
    settings = holocron.Settings(
        ttl_s=float(ttl_s), heartbeat_every_s=0.5, keep_epochs=8, trim_batch=4, keep_age_s=0.0, drain_s=0.5
    )
    leases: list[holocron.Lease] = []
    over = threading.Event()

    def told(event: events.Event) -> None:
        if isinstance(event, events.Elected):
            leases.append(event.lease)
            evidence.say("elected", term=event.lease.term)
        elif isinstance(event, events.Deposed):
            evidence.say("deposed", reason=event.reason.value)

    try:
        if "--resume" in arguments:
            node = holocron.Node.resume(location, node_id, settings=settings)
        else:
            node = holocron.Node.start(location, node_id=node_id, settings=settings)
    except holocron.HolocronError as error:
        evidence.say("not aboard", error=f"{type(error).__name__}: {error}")
        return 3
    evidence.say("aboard", incarnation=node.incarnation, epoch=node.epoch)
    node.subscribe(told)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    node.campaign()
    threading.Thread(target=_publish, args=(node, evidence, over), daemon=True).start()
    seen = (0, 0)
    while not over.is_set() and not node.wait(_ASK_EVERY_S):
        for lease in list(leases):
            before_s = clock_s()
            valid = lease.valid
            after_s = clock_s()
            if valid:
                evidence.say("believed", term=lease.term, before=before_s, after=after_s)
            else:
                leases.remove(lease)
        topology = node.topology()
        if topology is not None and (topology.epoch, topology.term) != seen:
            seen = (topology.epoch, topology.term)
            evidence.say("saw", epoch=seen[0], term=seen[1])
    evidence.say("stopping", failure=repr(node.failure))
    node.stop()
    evidence.say("stopped")
    return 0 if node.failure is None else 3


def _publish(node: holocron.Node, evidence: Evidence, over: threading.Event) -> None:
    number = 0
    while not over.wait(_PUBLISH_EVERY_S):
        term = node.term
        if term is None:
            continue
        number += 1
        value = f"{node.id}/{os.getpid()}/{number}"
        evidence.say("publishing", value=value, term=term)
        try:
            epoch = node.publish(value.encode(), timeout=20.0)
        except holocron.OutcomeUnknown:
            evidence.say("publish unknown", value=value)
        except holocron.HolocronError as error:
            evidence.say("publish refused", value=value, error=type(error).__name__)
        else:
            evidence.say("published", value=value, epoch=epoch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
