"""A stateful service whose state lives with the node: kill the process, resume the node, and the state is there.

A command is journaled in the bucket, then applied, then answered, so what was answered is never lost. Each life is a
process of its own, as on another machine; the first is killed with SIGKILL.

python examples/hosted_service.py file:///tmp/holocron-example
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import holocron

SETTINGS = holocron.Settings(ttl_s=1.0)
NODE = "stock"


class Stock:
    """How much there is of each thing. Its state follows from its commands alone: no clock, no chance, no I/O."""

    def __init__(self) -> None:
        self.amounts: dict[str, int] = {}

    def apply(self, command: bytes) -> bytes:
        """Add what the command says; the new amount."""
        thing, more = json.loads(command)
        self.amounts[thing] = self.amounts.get(thing, 0) + more
        return str(self.amounts[thing]).encode()

    def snapshot(self) -> bytes:
        """All of the state, so that not every command has to be applied again."""
        return json.dumps(self.amounts).encode()

    def restore(self, snapshot: bytes) -> None:
        """The state as it was."""
        self.amounts = json.loads(snapshot)


def add(node: holocron.Node, thing: str, more: int, key: str) -> int:
    """Add `more` of `thing`, once: a repetition under the same key gets the first answer again."""
    return int(node.submit(json.dumps([thing, more]).encode(), key=key))


def main(location: str) -> None:
    """Live, die and live again at `location`."""
    with subprocess.Popen([sys.executable, __file__, "live", location], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for answer in process.stdout:
            print(answer.strip())
            if "bolts: 7" in answer:
                process.send_signal(signal.SIGKILL)
    print("killed in the middle of its life")
    stock = Stock()
    with holocron.host(stock, location, node_id=NODE, settings=SETTINGS) as node:
        print(f"resumed as incarnation {node.incarnation}: {json.dumps(stock.amounts)}")
        print(f"order-2 repeated, bolts: {add(node, 'bolts', 4, 'order-2')}")
        print(f"order-3, bolts: {add(node, 'bolts', 1, 'order-3')}")


def live(location: str) -> None:
    """The first life: take two orders, answer them, and go on until killed."""
    with holocron.host(Stock(), location, node_id=NODE, settings=SETTINGS) as node:
        print(f"order-1, bolts: {add(node, 'bolts', 3, 'order-1')}", flush=True)
        print(f"order-2, bolts: {add(node, 'bolts', 4, 'order-2')}", flush=True)
        node.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["live"]:
        live(sys.argv[2])
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as room:
            main(Path(room).as_uri())
