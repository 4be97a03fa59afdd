"""The code that ships, on simulated time: every invariant, over lives drawn from seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from holocron.testing.simulation import Report, simulate
from holocron.testing.simulation.misfortune import Misfortune, Regime
from tests.mutants.hunting import EVERY, known
from tests.simulation.__main__ import Tally, lives
from tests.simulation.stories import STORIES, TESTDATA, told

# `make sim SEEDS=20000` lives more of them.
SEEDS = int(os.environ.get("SEEDS", "160"))
# Bugs that this simulator once found in the code that ships, each brought back by a mutant. The life in which that was
# caught last (tests/mutants/deaths.json) is lived here with the code whole, so it is always one that would tell.
FOUND = (
    "a stranger's file under epochs/ keeps a cluster from being founded",
    "what was published below a spoilt epoch is not looked for",
    "a beacon that is back at a former incarnation's is overwritten",
    "an older incarnation fences behind a newer one",
    "a head is proof enough that the prefix was not wiped",
)


@pytest.mark.sim
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("regime", ["production", "tight"])
def test_every_invariant_holds_in_every_life(regime: Regime) -> None:
    """I1 to I12, rules 5 and 13, and the published value as a linearizable register, whatever goes wrong."""
    tally = Tally()
    for report in lives(range(SEEDS // 2), [regime], processes=1):
        tally.add(report)
    print(f"{regime}: {tally}")
    assert not tally.wrong, "\n".join(str(report) for report in tally.wrong[:10])
    # Lives in which nothing happens would prove nothing.
    assert tally.takeovers > 2 * tally.lives
    assert tally.published > tally.lives
    assert len(tally.misfortunes) >= 20


@pytest.mark.sim
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("regime", ["production", "tight"])
def test_every_invariant_holds_where_nodes_hint_each_other_and_a_stranger_them(regime: Regime) -> None:
    """I1 to I14 as before, and under floods of forged hints too: they change nothing but timing (rule 16)."""
    tally = Tally()
    for report in lives(range(SEEDS // 4), [regime], processes=1, hints=True):
        tally.add(report)
    print(f"{regime}: {tally}")
    assert not tally.wrong, "\n".join(str(report) for report in tally.wrong[:10])
    assert all(tally.misfortunes[kind] > 0 for kind in ("hint_lost", "hint_twice", "hint_forged"))


@pytest.mark.sim
@pytest.mark.parametrize("name", FOUND)
def test_a_bug_once_found_stays_away(name: str) -> None:
    """A life in which an invariant would not hold if the bug were back is lived again, and it holds."""
    mutant = next(mutant for mutant in EVERY if mutant.name == name)
    regime, seed = known()[name]
    report = simulate(seed, regime, mutant.misfortune)
    assert report.ok, report


def _elsewhere(seed: int, hash_seed: str) -> str:
    code = f"from holocron.testing.simulation import simulate; print(simulate({seed}, 'tight').digest)"
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


@pytest.mark.sim
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_seed_is_one_life_to_the_byte(seed: int) -> None:
    """I13: the same seed gives the same transcript, in another process with another hash seed too."""
    here = simulate(seed, "tight").digest
    assert _elsewhere(seed, "1").strip() == here
    assert _elsewhere(seed, "2").strip() == here
    assert simulate(seed + 1, "tight").digest != here


@pytest.mark.sim
@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_told_as_ever(name: str) -> None:
    """I13: three short lives go to the byte as testdata/ tells them, which is there to be read.

    After a change that is meant to change them: `python -m tests.simulation.stories --write`, and read what changed.
    """
    assert told(name).encode() == (TESTDATA / f"{name}.txt").read_bytes()


@pytest.mark.sim
def test_one_seed_is_one_life_with_hints_too() -> None:
    """I13: what befalls hints is drawn from the seed as well, and lives without hints know nothing of it."""
    assert simulate(3, "tight", hints=True).digest == simulate(3, "tight", hints=True).digest
    assert simulate(3, "tight", hints=True).digest != simulate(3, "tight").digest


@pytest.mark.sim
def test_a_peaceful_life_keeps_one_leader() -> None:
    """Rule 5: where nothing goes wrong, whoever leads first leads to the end."""
    for seed in range(6):
        report = simulate(seed, "production", Misfortune({}, {}))
        assert report.ok, report
        assert report.takeovers == 1


@pytest.mark.sim
def test_a_failing_life_tells_how_to_live_it_again() -> None:
    """A report of a violation names its seed, the command that replays it, and what happened, one line each."""
    report = Report(seed=7, regime="tight", faults="crash", misfortunes=Counter(crash=1))
    assert report.replay == "python -m tests.simulation --regime tight --seed 7 --transcript"
    lived = simulate(7, "tight")
    assert len(lived.transcript) > 100
    assert all(line[:14].strip().replace(".", "").isdigit() for line in lived.transcript)
