"""Explore and report: `python -m tests.model --states 12000000`, or one world with `--world NAME`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.model.bounds import Bounds
from tests.model.explore import Report, explore
from tests.model.subject import SHIPPED
from tests.model.transcript import transcript
from tests.model.world import World
from tests.model.worlds import LONG, SHORT


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore what is asked for, print a line for each world, and return 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--states", type=int, default=12_000_000, help="how many states of a world to visit at most")
    parser.add_argument("--world", action="append", help="only this one; may be given again")
    parser.add_argument("--progress", action="store_true", help="a line for every step away from the first state")
    given = parser.parse_args(arguments)
    worlds = [bounds for bounds in (*SHORT, *LONG) if not given.world or bounds.name in given.world]
    if not worlds:
        parser.error("there is no such world; there are: " + ", ".join(bounds.name for bounds in (*SHORT, *LONG)))
    print(f"{'world':<24}{'states':>12}{'transitions':>13}{'depth':>7}{'states/s':>10}{'MB':>7}  result", flush=True)
    reports = [_explored(bounds, given.states, given.progress) for bounds in worlds]
    states, transitions = sum(r.states for r in reports), sum(r.transitions for r in reports)
    seconds = sum(r.seconds for r in reports)
    print(f"{states:,} distinct states, {transitions:,} transitions, {seconds:.0f} s", flush=True)
    return 1 if any(report.wrong for report in reports) else 0


def _explored(bounds: Bounds, states: int, progress: bool) -> Report:
    world = World(SHIPPED, bounds)

    def tell(depth: int, states: int, transitions: int, seconds: float) -> None:
        print(f"  depth {depth}: {states:,} states, {transitions:,} transitions, {seconds:.0f} s", flush=True)

    report = explore(bounds, states, world=world, progress=tell if progress else None)
    result = "WRONG" if report.wrong else "visited whole" if report.exhausted else "visited this far, nothing wrong"
    pace = report.states / max(report.seconds, 0.001)
    print(
        f"{bounds.name:<24}{report.states:>12,}{report.transitions:>13,}{report.depth:>7}{pace:>10,.0f}"
        f"{report.memory_mb:>7}  {result}",
        flush=True,
    )
    if report.wrong:
        print("\n".join(transcript(world, report.path, report.wrong)), flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
