"""Chaos for as long as you like: python -m tests.chaos --minutes 20."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.judge import Verdict
from tests.chaos.story import Story

# A new cluster now and then: each begins at epoch 1, and the evidence of one stays small enough to judge quickly.
CHAPTER_S = 120.0


def main(arguments: list[str]) -> int:
    """One story after another until time is up; 1 if anything was wrong in any."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ttl", type=float, default=1.0)
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    end_s = began_s + options.minutes * 60
    total = Verdict()
    seed = options.seed
    while time.monotonic() < end_s:
        with tempfile.TemporaryDirectory() as room, Story(Path(room), seed, options.ttl) as story:
            verdict = story.run(min(CHAPTER_S, end_s - time.monotonic()))
        harms = ", ".join(f"{harm} {count}" for harm, count in sorted(story.done.items()))
        print(f"seed {seed}: {verdict}\n  {harms}", flush=True)
        for what in verdict.wrong:
            print(f"  {what}", flush=True)
        total.wrong += verdict.wrong
        for name in ("beliefs", "answers", "terms", "epochs", "published", "incarnations"):
            setattr(total, name, getattr(total, name) + getattr(verdict, name))
        seed += 1
    print(f"in all, {(time.monotonic() - began_s) / 60:.1f} minutes: {total}")
    return 1 if total.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
