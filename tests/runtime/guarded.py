"""A program whose nodes have a guardian: it does to itself, on demand, what an application may do.

    python tests/runtime/guarded.py TTL_S LOCATION...

One node for each location, all of them leading when they can. It reads one word from each line of standard input, and
says what it has done, one JSON object on each line: "close" closes every descriptor but the standard three, "fork"
leaves a fork behind, "exec" makes the process a sleeping one, "stop" stops the nodes and goes on.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

from holocron import Node, Settings

_LONG_S = 120


def say(what: str, **more: Any) -> None:
    """One line."""
    print(json.dumps({"say": what, **more}), flush=True)


def main() -> None:
    ttl_s, *locations = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    nodes = [Node.start(place, settings=Settings(ttl_s=float(ttl_s), renew_every_s=0.2)) for place in locations]
    for node in nodes:
        node.campaign()
    say("aboard", ids=[node.id for node in nodes])
    for line in sys.stdin:
        word = line.strip()
        if word == "close":
            os.closerange(3, 1024)
        elif word == "fork":
            child = os.fork()
            if child == 0:
                # It has the parent's nodes, which are none, and what the parent had open.
                time.sleep(_LONG_S)
                os._exit(0)
            say("forked", pid=child, roles=[node.role for node in nodes])
        elif word == "exec":
            say("exec")
            os.execv("/bin/sleep", ["sleep", str(_LONG_S)])
        elif word == "stop":
            for node in nodes:
                node.stop()
        elif word == "epochs":
            say("epochs", epochs=[node.epoch for node in nodes], leading=[node.lease is not None for node in nodes])
        say("done", word=word)


if __name__ == "__main__":
    main()
