"""A key-value service on a node of its own, in a process that is going to be killed.

python -m tests.chaos.kv_service LOCATION NODE_ID

Commands come as lines of JSON on stdin, `{"key": ..., "thing": ..., "token": ...}`, and each is answered with a line on
stdout, in whatever order: `{"key": ..., "index": ...}`, or `{"key": ..., "error": ...}` where it is not known what
became of it. The line `{"dump": true}` is answered with all that there is. At the end of stdin the node stops.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import holocron

# Soon enough that kills fall into checkpoints and into the letting go of what they cover.
CHECKPOINT_EVERY = 40
SETTINGS = holocron.Settings(ttl_s=2.0, heartbeat_every_s=0.5, keep_age_s=0.0)


class Shelf:
    """What was put under each key, in the order in which it came: nothing that is done twice can hide here."""

    def __init__(self) -> None:
        self.things: dict[str, list[str]] = {}

    def apply(self, command: bytes) -> bytes:
        """Put a token behind the others of a thing; how many there were before."""
        thing, token = json.loads(command)
        tokens = self.things.setdefault(thing, [])
        tokens.append(token)
        return str(len(tokens) - 1).encode()

    def snapshot(self) -> bytes:
        """Everything."""
        return json.dumps(self.things).encode()

    def restore(self, snapshot: bytes) -> None:
        """Everything, as it was."""
        self.things = json.loads(snapshot)


def _say(**what: Any) -> None:
    # In one write, so that what comes through before a kill is whole lines and at most a torn one at the end.
    os.write(1, json.dumps(what).encode() + b"\n")


def _answer(node: holocron.Node, order: dict[str, str]) -> None:
    command = json.dumps([order["thing"], order["token"]]).encode()
    try:
        index = int(node.submit(command, key=order["key"], timeout=60.0))
    except holocron.HolocronError as error:
        _say(key=order["key"], error=f"{type(error).__name__}: {error}")
    else:
        _say(key=order["key"], index=index)


def main(arguments: list[str]) -> int:
    """Serve until stdin ends, or until killed."""
    location, node_id = arguments
    shelf = Shelf()
    try:
        node = holocron.host(shelf, location, node_id=node_id, settings=SETTINGS, checkpoint_every=CHECKPOINT_EVERY)
    except holocron.HolocronError as error:
        _say(refused=f"{type(error).__name__}: {error}")
        return 3
    with node, ThreadPoolExecutor(16) as pool:
        _say(ready=node.incarnation)
        answers: list[Future[None]] = []
        for line in sys.stdin:
            order = json.loads(line)
            if "dump" in order:
                for answer in answers:
                    answer.result()
                _say(dump=shelf.things)
            else:
                answers.append(pool.submit(partial(_answer, node, order)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
