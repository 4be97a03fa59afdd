"""Guardians in simulated lives: they release for the dead, and for nobody else (rule 15)."""

from __future__ import annotations

import pytest

from holocron.testing.simulation.misfortune import Misfortune, Regime
from holocron.testing.simulation.run import Life

# Leaders are killed, some with a request under way; nodes are resumed, some while their former selves live.
KILLED = Misfortune(
    {"slow": 0.1, "answer_lost": 0.1, "crash_after": 0.005}, {"crash": 0.03, "usurp": 0.05, "pause": 0.05}
)


@pytest.mark.parametrize("regime", ["tight", "production"])
def test_guardians_release_for_the_dead_and_nobody_is_the_worse_for_it(regime: Regime) -> None:
    """They are late, cut off, starved and killed, and whatever comes of it breaks no invariant (I1, I6, I8)."""
    lives = [Life(seed, regime, KILLED) for seed in range(6)]
    for life in lives:
        report = life.live()
        assert not report.violations, f"seed {report.seed}: {report.violations[0]}"
    assert {life.guards.on for life in lives} == {True, False}
    assert sum(life.guards.releases for life in lives) >= 5
    assert not any(life.guards.releases for life in lives if not life.guards.on)


def test_a_released_lease_is_followed_before_its_time() -> None:
    """What all of it is for: a follower leads before a lease has passed since the last renewal (rule 15)."""
    followed = 0
    for seed in range(8):
        life = Life(seed, "tight", Misfortune({}, {"crash": 0.03}))
        assert not life.live().violations
        for number, sealed in life.chronicle.sealed.items():
            after, record = life.chronicle.sealed.get(number + 1), sealed.record
            if after is None or record is None or sealed.process is None or sealed.process.ward is None:
                continue
            before = life.chronicle.sealed[number - 1]
            followed += after.at_s - before.at_s < record.ttl_ms / 1000
    assert followed >= 5
