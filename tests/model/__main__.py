"""Explore and report: `python -m tests.model --states 12000000`; some worlds with `--world NAME`, or how it begins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.model import journal_bounds, worlds
from tests.model.bounds import Bounds
from tests.model.explore import Progress, Report, explore, search
from tests.model.journal_bounds import JournalBounds
from tests.model.journal_process import SHIPPED as SHIPPED_JOURNAL
from tests.model.journal_transcript import journal_transcript
from tests.model.journal_world import JournalWorld
from tests.model.subject import SHIPPED
from tests.model.transcript import transcript
from tests.model.world import World

WORLDS: tuple[Bounds | JournalBounds, ...] = (
    *worlds.SHORT,
    *journal_bounds.SHORT,
    *journal_bounds.LONG,
    *worlds.LONG,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore what is asked for, print a line for each world, and return 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--states", type=int, default=12_000_000, help="how many states of a world to visit at most")
    parser.add_argument(
        "--world", action="append", help="only those whose names begin like this (journal, say); may be given again"
    )
    parser.add_argument("--progress", action="store_true", help="a line for every step away from the first state")
    given = parser.parse_args(arguments)
    wanted = [bounds for bounds in WORLDS if not given.world or bounds.name.startswith(tuple(given.world))]
    # A whole name is that world alone, though another's may begin with it.
    exactly = [bounds for bounds in wanted if bounds.name in (given.world or ())]
    wanted = exactly if given.world and len(exactly) == len(given.world) else wanted
    if not wanted:
        parser.error("there is no such world; there are: " + ", ".join(bounds.name for bounds in WORLDS))
    print(f"{'world':<36}{'states':>12}{'transitions':>13}{'depth':>7}{'states/s':>10}{'MB':>7}  result", flush=True)
    reports = [_explored(bounds, given.states, given.progress) for bounds in wanted]
    states, transitions = sum(r.states for r in reports), sum(r.transitions for r in reports)
    seconds = sum(r.seconds for r in reports)
    print(f"{states:,} distinct states, {transitions:,} transitions, {seconds:.0f} s", flush=True)
    return 1 if any(report.wrong for report in reports) else 0


def _explored(bounds: Bounds | JournalBounds, states: int, progress: bool) -> Report:
    report, told = _visited(bounds, states, _tell if progress else None)
    result = "WRONG" if report.wrong else "visited whole" if report.exhausted else "visited this far, nothing wrong"
    pace = report.states / max(report.seconds, 0.001)
    print(
        f"{bounds.name:<36}{report.states:>12,}{report.transitions:>13,}{report.depth:>7}{pace:>10,.0f}"
        f"{report.memory_mb:>7}  {result}",
        flush=True,
    )
    if report.wrong:
        print("\n".join(told()), flush=True)
    return report


def _visited(
    bounds: Bounds | JournalBounds, states: int, progress: Progress | None
) -> tuple[Report, Callable[[], list[str]]]:
    """What came of it, and the way to what is wrong, line by line."""
    if isinstance(bounds, JournalBounds):
        journal = JournalWorld(SHIPPED_JOURNAL, bounds)
        report = search(journal, states, progress=progress)
        return report, lambda: journal_transcript(journal, report.path, report.wrong)
    world = World(SHIPPED, bounds)
    report = explore(bounds, states, world=world, progress=progress)
    return report, lambda: transcript(world, report.path, report.wrong)


def _tell(depth: int, states: int, transitions: int, seconds: float) -> None:
    print(f"  depth {depth}: {states:,} states, {transitions:,} transitions, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
