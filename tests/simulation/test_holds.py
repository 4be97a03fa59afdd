"""Leaders that are asked to keep leadership, in simulated lives: nobody else follows meanwhile (rule 14)."""

from __future__ import annotations

import pytest

from holocron.records import Epoch
from holocron.testing.simulation.chronicle import Sealed
from holocron.testing.simulation.misfortune import Misfortune, Regime
from holocron.testing.simulation.run import Life

# Those who lead are told to hold on to it, and are killed, cut off, superseded and asked to hand over.
HELD = Misfortune(
    {"slow": 0.05, "answer_lost": 0.05},
    {"hold": 0.3, "crash": 0.1, "usurp": 0.05, "partition": 0.1, "release": 0.1, "step_down": 0.1},
)


def _paused(sealed: Sealed | None) -> Epoch | None:
    """The epoch, if it carries a pause."""
    record = sealed.record if sealed is not None else None
    return record if record is not None and isinstance(record.paused_ms, int) else None


@pytest.mark.sim
@pytest.mark.parametrize("regime", ["tight", "production"])
def test_leadership_stays_where_it_is_held(regime: Regime) -> None:
    """Rule 14 and every invariant hold; in peace there is a leader as soon as ever (I11), for its node is there."""
    lives = [Life(seed, regime, HELD) for seed in range(12)]
    took: list[tuple[Epoch, Epoch]] = []
    for life in lives:
        report = life.live()
        assert report.ok, report
        assert report.misfortunes["hold"] > 0
        for number, sealed in life.chronicle.sealed.items():
            before = _paused(life.chronicle.sealed.get(number - 1))
            if before is not None and sealed.record is not None and sealed.record.term != before.term:
                took.append((before, sealed.record))
    # It was put to the test: by the same node that came back, by heirs that were named, and by others when it was over.
    own = sum(before.leader.node == record.leader.node for before, record in took)
    named = sum(before.heir is not None and before.heir.node == record.leader.node for before, record in took)
    assert own > 0
    assert named > 0
    assert len(took) > own + named


@pytest.mark.sim
def test_few_lives_are_held_and_the_others_are_as_they_were() -> None:
    """Holds are drawn by themselves: the misfortunes of a life in which there are none are what they would be."""
    held = [seed for seed in range(200) if "hold" in Life(seed, "tight").misfortune.world]
    assert 5 < len(held) < 50
