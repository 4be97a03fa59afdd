"""A worker that only a leader may run: `node.run` starts it on election, and again if leadership was lost on the way.

Two nodes share one job of six steps. The first is asked to step down in the middle of it; the second goes on where the
job stands, under a higher token.

python examples/worker_loop.py file:///tmp/holocron-example
"""

from __future__ import annotations

import sys
import threading

import holocron

STEPS = 6


class Job:
    """Something that is done step by step, and remembers which are done."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.halfway = threading.Event()
        self.finished = threading.Event()

    def work(self, lease: holocron.Lease, name: str) -> None:
        """Go on from the step that is due. Returns at the end of the job, or raises `LeadershipLost` on the way."""
        while len(self.done) < STEPS:
            lease.check()
            self.done.append(lease.token)
            print(f"step {len(self.done)} by {name}, token {lease.token}")
            if len(self.done) == STEPS // 2:
                self.halfway.set()
                # A worker waits on `lease.lost` wherever it would otherwise sleep.
                lease.lost.wait(30)
        self.finished.set()


def main(location: str) -> None:
    """Run the job to its end on two nodes at `location`."""
    job, settings = Job(), holocron.Settings(ttl_s=2.0)
    with (
        holocron.Node.start(location, name="first", settings=settings) as first,
        holocron.Node.start(location, name="second", settings=settings) as second,
    ):
        workers = [threading.Thread(target=_run, args=(node, job)) for node in (first, second)]
        workers[0].start()
        job.halfway.wait(60)
        workers[1].start()
        print("first is asked to step down")
        first.step_down()
        job.finished.wait(60)
        for worker in workers:
            worker.join()
        print(f"all {len(job.done)} steps done, under tokens {sorted(set(job.done))}")


def _run(node: holocron.Node, job: Job) -> None:
    node.run(lambda lease: job.work(lease, node.name), timeout=60)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory://example/worker-loop")
