"""A follower that always knows who leads, where the leader is, and what it published: by events, without asking.

python examples/watch_leader.py file:///tmp/holocron-example
"""

from __future__ import annotations

import queue
import sys

import holocron
from holocron import events


def main(location: str) -> None:
    """Watch at `location` how one node leads, publishes and leaves."""
    settings = holocron.Settings(ttl_s=2.0)
    # priority 0: it takes part and is told everything, and never leads.
    with holocron.Node.start(location, name="watcher", priority=0, settings=settings) as watcher:
        heard: queue.Queue[events.Event] = queue.Queue()
        watcher.subscribe(heard.put)
        with holocron.Node.start(location, name="web-1", address="http://10.0.0.7:8080", settings=settings) as web:
            with web.lead(timeout=60):
                _tell_until(heard, led=True)
                web.publish(b"open for business")
            # The `with` has released; nobody else stands for election.
            _tell_until(heard, led=False)
        published = watcher.published()
        print(f"published last: {published.value.decode() if published else 'nothing'}")


def _tell_until(heard: queue.Queue[events.Event], *, led: bool) -> None:
    """Print what is heard, until somebody leads, or nobody does."""
    while True:
        match heard.get(timeout=60):
            case events.LeaderChanged(leader=None):
                print("nobody leads")
                if not led:
                    return
            case events.LeaderChanged(leader=leader, term=term) if leader is not None:
                print(f"{leader.name} leads at {leader.address}, term {term}")
                if led:
                    return
            case events.TopologyChanged(topology=topology):
                names = ", ".join(sorted(member.name for member in topology.members))
                print(f"topology of epoch {topology.epoch}: {names or 'nobody seen yet'}")
            case events.StoreUnreachable(error=error):
                print(f"the store does not answer: {error}")
            case _:
                pass


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory://example/watch-leader")
