"""The hunt for a mutant: lives of the broken code, one after another, until an invariant does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from rich.table import Table

from holocron.testing.simulation import simulate
from holocron.testing.simulation.misfortune import Regime
from tests.mutants import guardian, hints, journal, protocol, runtime, store
from tests.mutants.breaking import Mutant, broken

__all__ = ["EVERY", "SEEDS", "Death", "hunt", "known", "lives", "remember", "table"]

# So many seeds of each regime, from 0; what outlives them all has survived.
SEEDS = 100

# Each room of the code that ships has a list of its own.
EVERY: tuple[Mutant, ...] = (
    *protocol.MUTANTS,
    *store.MUTANTS,
    *runtime.MUTANTS,
    *journal.MUTANTS,
    *guardian.MUTANTS,
    *hints.MUTANTS,
)

_KNOWN = Path(__file__).with_name("deaths.json")


class Death(msgspec.Struct, frozen=True):
    """How a mutant was found out: by which check, in which life, and after how many lives."""

    check: str
    what: str
    regime: Regime
    seed: int
    lives: int

    @property
    def crash(self) -> bool:
        """Whether a process died of it, rather than did anything wrong."""
        return self.check == "I12" and "crashed" in self.what


def lives(mutant: Mutant) -> Iterator[tuple[Regime, int]]:
    """The lives that it is tried in, in order: its own regime first, then the other."""
    other: Regime = "production" if mutant.regime == "tight" else "tight"
    for regime in (mutant.regime, other):
        for seed in range(SEEDS):
            yield regime, seed


def hunt(mutant: Mutant, first: tuple[Regime, int] | None = None) -> Death | None:
    """How `mutant` died, or None if it lives. `first` is a life to be tried before all others."""
    with broken(mutant):
        tried = [first] if first is not None else []
        for count, (regime, seed) in enumerate((*tried, *lives(mutant)), 1):
            report = simulate(seed, regime, mutant.misfortune, hints=mutant.hints)
            if report.violations:
                found = report.violations[0]
                return Death(found.invariant, found.what, regime, seed, count)
    return None


def known() -> dict[str, tuple[Regime, int]]:
    """The life in which the last whole hunt caught each mutant, by the mutant's name."""
    return msgspec.json.decode(_KNOWN.read_bytes(), type=dict[str, tuple[Regime, int]])


def remember(deaths: Iterable[tuple[Mutant, Death | None]]) -> None:
    """Write down in which life each mutant was caught."""
    kept = known() if _KNOWN.exists() else {}
    kept |= {mutant.name: (death.regime, death.seed) for mutant, death in deaths if death is not None}
    names = {mutant.name for mutant in EVERY}
    sorted_ = {name: kept[name] for name in sorted(names & kept.keys())}
    _KNOWN.write_bytes(msgspec.json.format(msgspec.json.encode(sorted_)) + b"\n")


def table(deaths: Iterable[tuple[Mutant, Death | None]]) -> Table:
    """What killed whom, and after how many lives."""
    result = Table("mutant", "breaks", "killed by", "regime", "seeds", "misfortune")
    for mutant, death in deaths:
        suffered = "the seed's own" if mutant.misfortune is None else str(mutant.misfortune)
        if death is None:
            result.add_row(mutant.name, mutant.rule, "ALIVE", "both", str(2 * SEEDS), suffered, style="bold red")
        else:
            by = f"{death.check}, a crash" if death.crash else death.check
            result.add_row(mutant.name, mutant.rule, by, death.regime, str(death.lives), suffered)
    return result
