"""A node dies without a word and is resumed from the bucket: same identity, last epoch, last topology, a higher token.

Each life is a process of its own, as on another machine; the first is killed with SIGKILL while it leads.

python examples/resume_node.py file:///tmp/holocron-example
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import holocron

SETTINGS = holocron.Settings(ttl_s=1.0)


def main(location: str) -> None:
    """Live, die and live again at `location`."""
    with subprocess.Popen([sys.executable, __file__, "live", location], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        node_id = process.stdout.readline().strip()
        print(f"node {node_id} leads, process {process.pid}")
        process.send_signal(signal.SIGKILL)
    print("killed; nothing was released")
    with holocron.Node.resume(location, node_id, settings=SETTINGS) as node:
        print(f"resumed as incarnation {node.incarnation}, called {node.name}")
        with node.lead(timeout=60) as lease:
            print(f"leads again with token {lease.token}")
            print(f"tenures of {node_id}: {sum(one.leader.node == node_id for one in node.history())}")


def live(location: str) -> None:
    """The first life: lead, say so, and go on until killed."""
    with holocron.Node.start(location, name="web-1", settings=SETTINGS) as node, node.lead(timeout=60) as lease:
        print(node.id, flush=True)
        lease.lost.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["live"]:
        live(sys.argv[2])
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as room:
            main(Path(room).as_uri())
