"""Every mutant, what killed it and after how many simulated lives.

python -m tests.mutants
python -m tests.mutants --only floor
python -m tests.mutants --write
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console

from tests.mutants.hunting import EVERY, Death, hunt, remember, table


def _hunted(index: int) -> Death | None:
    return hunt(EVERY[index])


def main(arguments: list[str]) -> int:
    """The command line; 1 if any mutant lives, or dies in a way that shows nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--write", action="store_true", help="write down in which life each was caught: deaths.json")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = [index for index, mutant in enumerate(EVERY) if options.only in mutant.name]
    deaths: list[Death | None] = []
    wrong = 0
    with ProcessPoolExecutor(options.processes) as pool:
        for index, death in zip(chosen, pool.map(_hunted, chosen), strict=True):
            deaths.append(death)
            mutant = EVERY[index]
            if options.write:
                remember([(mutant, death)])
            if death is None:
                console.print(f"ALIVE: {mutant.name}")
            elif death.crash and not mutant.crashes:
                # It shows that the edit is wrong, and nothing about the checks.
                wrong += 1
                console.print(f"CRASHES: {mutant.name}: {death.what}")
    every = [(EVERY[index], death) for index, death in zip(chosen, deaths, strict=True)]
    console.print(table(every))
    alive = sum(death is None for death in deaths)
    lived = sum(death.lives for death in deaths if death is not None)
    console.print(
        f"{len(deaths)} mutants, {alive} alive, {wrong} that only crash, {lived:,} lives, "
        f"{time.monotonic() - began_s:.1f} s"
    )
    return 1 if alive or wrong or not deaths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
