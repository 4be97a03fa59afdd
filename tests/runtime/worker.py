"""A program with one node in it that leads when it can: it says what happens to it, one JSON object on each line.

    python tests/runtime/worker.py LOCATION TTL_S start|ID

While it leads it asks its lease at every millisecond, and publishes numbers, each once. All times that it says are
BOOTTIME, the same for all processes of one machine.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from holocron import HolocronError, Lease, Node, Settings
from holocron.events import Deposed, Elected, Event

_lock = threading.Lock()


def now_s() -> float:
    """A clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(what: str, **more: Any) -> None:
    """One line."""
    with _lock:
        print(json.dumps({"say": what, "at_s": now_s(), **more}), flush=True)


def watch(node: Node, lease: Lease) -> None:
    """Ask without a pause; what counts is when the last question that was answered yes had been put."""
    asked_s = last_yes_s = now_s()
    while lease.valid:
        last_yes_s = asked_s
        lease.lost.wait(0.001)
        asked_s = now_s()
    say("lost", token=lease.token, last_yes_s=last_yes_s, again=lease.valid, remaining_s=lease.remaining_s)


def publish(node: Node, lease: Lease) -> None:
    """Publish numbers until one is not acknowledged."""
    number = 0
    while True:
        number += 1
        value = f"{node.incarnation}/{lease.token}/{number}"
        try:
            epoch = node.publish(value.encode())
        except HolocronError as error:
            say("refused", value=value, token=lease.token, error=type(error).__name__)
            return
        say("published", value=value, token=lease.token, epoch=epoch)
        # Not only while the lease holds: it is when it is over that a write must be refused.
        lease.lost.wait(0.05)


def main() -> None:
    location, ttl_s, what = sys.argv[1:]
    settings = Settings(ttl_s=float(ttl_s), heartbeat_every_s=0.5)
    if what == "start":
        node = Node.start(location, settings=settings, name="worker", labels={"kind": "test"})
    else:
        node = Node.resume(location, what, settings=settings)

    def told(event: Event) -> None:
        if isinstance(event, Elected):
            lease = event.lease
            say("elected", token=lease.token, valid=lease.valid)
            for work in (watch, publish):
                threading.Thread(target=work, args=(node, lease), daemon=True).start()
        elif isinstance(event, Deposed):
            say("deposed", reason=event.reason.value)

    say(
        "aboard",
        id=node.id,
        incarnation=node.incarnation,
        name=node.name,
        epoch=node.epoch,
        members=[member.node for member in node.members()],
    )
    node.subscribe(told)
    node.campaign()
    # Until the parent closes the pipe, or the node stops by itself.
    ended = threading.Event()

    def end_with_parent() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=end_with_parent, daemon=True).start()
    while not ended.wait(0.05) and not node.wait(0):
        pass
    say("stopping", failure=type(node.failure).__name__ if node.failure else None)
    node.stop(timeout=2.0)


if __name__ == "__main__":
    main()
