"""The explorer finds nothing wrong with journals as they ship, and something with all that are broken on purpose."""

from __future__ import annotations

import re

import pytest

from tests.model.explore import search
from tests.model.journal_bounds import SHORT, JournalBounds, JournalBudget
from tests.model.journal_broken import BROKEN
from tests.model.journal_process import SHIPPED
from tests.model.journal_transcript import journal_transcript
from tests.model.journal_world import JournalWorld

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("bounds", SHORT, ids=lambda bounds: bounds.name.replace(": ", "-").replace(" ", "-"))
def test_nothing_is_wrong_in_any_state(bounds: JournalBounds) -> None:
    """Every state of this journal is visited, and none breaks I2, I4, I9 or I10."""
    world = JournalWorld(SHIPPED, bounds)
    report = search(world, 2_000_000)
    assert report.wrong is None, "\n".join(journal_transcript(world, report.path, report.wrong))
    assert report.exhausted
    assert report.states > 100


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_caught(name: str) -> None:
    """What breaks a journal's rules breaks its invariant within the bounds, and the way there is told line by line."""
    subject, bounds, complaint = BROKEN[name]
    world = JournalWorld(subject, bounds)
    report = search(world, 1_000_000)
    assert report.wrong is not None
    lines = journal_transcript(world, report.path, report.wrong)
    print("\n".join(lines))
    assert report.wrong.startswith(complaint)
    assert lines[-1].startswith("     => " + complaint)
    assert len(lines) == len(report.path) + (bounds.begun is not None)


def test_a_transcript_tells_who_did_what() -> None:
    """The shortest way to an acknowledgement behind a fence: a former self writes a slot that was trimmed (I2)."""
    subject, bounds, _ = BROKEN["acknowledged before the floor is read"]
    world = JournalWorld(subject, bounds)
    report = search(world, 1_000_000)
    told = "\n".join(journal_transcript(world, report.path, report.wrong))
    assert re.search(
        r"^incarnation 1 is handed 1a; sends PUT slot 2 \(incarnation 1's 1a from position 1\)$", told, re.M
    )
    assert re.search(r"^incarnation 2's PUT slot 2 \(incarnation 2's fence\): written", told, re.M)
    assert re.search(r"^incarnation 2's DELETE slot 2: deleted", told, re.M)
    assert re.search(r"^incarnation 1's PUT slot 2 .*: written.*; 1a is acknowledged at position 1$", told, re.M)


def test_one_exploration_is_like_another() -> None:
    """The same bounds give the same states in the same order (I13)."""
    bounds = JournalBounds("twice", budget=JournalBudget(append=2, usurped=1, late=1))
    once, again = (search(JournalWorld(SHIPPED, bounds), 100_000) for _ in range(2))
    assert (once.states, once.transitions, once.depth) == (again.states, again.transitions, again.depth)
    assert once.exhausted
