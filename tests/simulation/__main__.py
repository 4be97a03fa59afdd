"""Many simulated lives, or one with its transcript.

python -m tests.simulation --seeds 20000
python -m tests.simulation --regime tight --seed 4711 --transcript
python -m tests.simulation --seeds 2000 --hints
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import get_args

import msgspec

from holocron.testing.simulation import Report, simulate
from holocron.testing.simulation.misfortune import Regime

__all__ = ["Tally", "lives"]


class Tally(msgspec.Struct):
    """What many lives came to."""

    lives: int = 0
    simulated_s: float = 0.0
    events: int = 0
    takeovers: int = 0
    renewals: int = 0
    published: int = 0
    appended: int = 0
    misfortunes: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: list[Report] = msgspec.field(default_factory=list)

    def add(self, report: Report) -> None:
        """Count one more life."""
        self.lives += 1
        self.simulated_s += report.simulated_s
        self.events += report.events
        self.takeovers += report.takeovers
        self.renewals += report.renewals
        self.published += report.published
        self.appended += report.appended
        self.misfortunes += report.misfortunes
        if not report.ok:
            self.wrong.append(report)

    def __str__(self) -> str:
        faults = sum(self.misfortunes.values())
        return (
            f"{self.lives:,} lives, {self.simulated_s / 3600:,.1f} simulated hours, {self.events:,} events, "
            f"{self.takeovers:,} takeovers, {self.renewals:,} renewals, {self.published:,} values published, "
            f"{self.appended:,} entries journaled, "
            f"{faults:,} faults injected, {len(self.wrong)} lives with violations"
        )


def _life(job: tuple[int, Regime, bool]) -> Report:
    seed, regime, hints = job
    report = simulate(seed, regime, hints=hints)
    if report.ok:
        # Sent between processes, and nobody reads how a good life went.
        report.transcript = []
    return report


def lives(seeds: Iterable[int], regimes: Iterable[Regime], processes: int, *, hints: bool = False) -> Iterator[Report]:
    """A report of each life, over so many processes."""
    jobs = [(seed, regime, hints) for seed in seeds for regime in regimes]
    if processes <= 1:
        yield from map(_life, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_life, jobs, chunksize=16)


def main(arguments: list[str]) -> int:
    """The command line; 1 if any life had a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many lives, half of each regime")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one life only")
    parser.add_argument("--regime", choices=get_args(Regime), help="one regime only")
    parser.add_argument("--transcript", action="store_true", help="print who did what when")
    parser.add_argument("--hints", action="store_true", help="nodes hint each other, and a stranger them")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    regimes: list[Regime] = [options.regime] if options.regime else ["production", "tight"]
    if options.seed is not None:
        reports = [simulate(options.seed, regime, hints=options.hints) for regime in regimes]
        for report in reports:
            if options.transcript:
                print("\n".join(report.transcript))
            print(report)
        return 0 if all(report.ok for report in reports) else 1
    began_s = time.monotonic()
    tally = Tally()
    seeds = range(options.first, options.first + max(1, options.seeds // len(regimes)))
    for report in lives(seeds, regimes, options.processes, hints=options.hints):
        tally.add(report)
        if not report.ok:
            print(report, flush=True)
        if tally.lives % 1000 == 0:
            print(f"{time.monotonic() - began_s:8.1f} s  {tally}", flush=True)
    print(f"{tally}, {time.monotonic() - began_s:.1f} s")
    print("faults: " + ", ".join(f"{kind} {count:,}" for kind, count in tally.misfortunes.most_common()))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
