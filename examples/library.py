"""The ten lines of the README as a program: lead, write with the fencing token, publish, step aside.

python examples/library.py file:///tmp/holocron-example
"""

from __future__ import annotations

import sys

import holocron


def main(location: str) -> None:
    """Lead once at `location`, write once with the token, and say what was seen."""
    with holocron.Node.start(location, name="example", settings=holocron.Settings(ttl_s=2.0)) as node:
        with node.lead(timeout=60) as lease:
            lease.check()
            print(f"node {node.id} leads with token {lease.token}")
            epoch = node.publish(b"http://10.0.0.7:8080")
            print(f"published in epoch {epoch}")
        print(f"released; tenures so far: {len(node.history(limit=20))}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory://example/leader")
