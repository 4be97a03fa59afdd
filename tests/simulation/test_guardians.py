"""Guardians in simulated lives: they release for the dead, and for nobody else (rule 15)."""

from __future__ import annotations

import itertools

import pytest

from holocron.testing.simulation.misfortune import Misfortune, Regime
from holocron.testing.simulation.run import Life

# Leaders are killed, some with a request under way; nodes are resumed, some while their former selves live.
KILLED = Misfortune(
    {"slow": 0.1, "answer_lost": 0.1, "crash_after": 0.005}, {"crash": 0.03, "usurp": 0.05, "pause": 0.05}
)


def guarded(regime: Regime, misfortune: Misfortune, count: int) -> list[Life]:
    """The first lives in which processes have guardians."""
    lives = (Life(seed, regime, misfortune) for seed in itertools.count())
    return list(itertools.islice((life for life in lives if life.guards.on), count))


@pytest.mark.parametrize("regime", ["tight", "production"])
def test_guardians_release_for_the_dead_and_nobody_is_the_worse_for_it(regime: Regime) -> None:
    """They are late, cut off, starved and killed, and whatever comes of it breaks no invariant (I1, I6, I8)."""
    lives = guarded(regime, KILLED, 5)
    for life in lives:
        report = life.live()
        assert not report.violations, f"seed {report.seed}: {report.violations[0]}"
    assert sum(life.guards.releases for life in lives) >= len(lives)


def test_a_released_lease_is_followed_before_its_time() -> None:
    """What all of it is for: a follower leads before a lease has passed since the last renewal (rule 15)."""
    followed = 0
    for life in guarded("tight", Misfortune({}, {"crash": 0.03}), 3):
        assert not life.live().violations
        for number, sealed in life.chronicle.sealed.items():
            after, record = life.chronicle.sealed.get(number + 1), sealed.record
            if after is None or record is None or sealed.process is None or sealed.process.ward is None:
                continue
            before = life.chronicle.sealed[number - 1]
            followed += after.at_s - before.at_s < record.ttl_ms / 1000
    assert followed >= 3
