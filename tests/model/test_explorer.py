"""The explorer finds nothing in what ships, and something in everything that is broken on purpose (I1 to I8, I10)."""

from __future__ import annotations

import re

import pytest

from tests.model.bounds import Bounds, Budget
from tests.model.broken import BROKEN
from tests.model.explore import explore
from tests.model.state import NAMES, renamed
from tests.model.subject import SHIPPED
from tests.model.transcript import transcript
from tests.model.world import World
from tests.model.worlds import SHORT

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("bounds", SHORT, ids=lambda bounds: bounds.name.replace(" ", "-"))
def test_nothing_is_wrong_in_any_state(bounds: Bounds) -> None:
    """Every state of this world is visited, none breaks an invariant, and from each quiet one somebody is elected."""
    world = World(SHIPPED, bounds)
    report = explore(bounds, 2_000_000, world=world)
    assert report.wrong is None, "\n".join(transcript(world, report.path, report.wrong))
    assert report.exhausted
    assert report.quiescent > 0


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_caught(name: str) -> None:
    """A variant that breaks a rule breaks its invariant within the bounds, and the way there is told line by line."""
    subject, bounds, complaint = BROKEN[name]
    world = World(subject, bounds)
    report = explore(bounds, 1_000_000, subject, world)
    assert report.wrong is not None
    assert report.wrong.startswith(complaint)
    lines = transcript(world, report.path, report.wrong)
    # A world that is led says so first.
    assert len(lines) == len(report.path) + bounds.led
    assert lines[-1].startswith("     => " + complaint)
    assert not any(node in line for line in lines for node in NAMES)


def test_a_transcript_tells_who_did_what_and_when() -> None:
    """The shortest way to two leaders without a margin: a holder is stopped and loses a tick, and another follows."""
    subject, bounds, _ = BROKEN["no margin under drift"]
    world = World(subject, bounds)
    report = explore(bounds, 1_000_000, subject, world)
    told = "\n".join(transcript(world, report.path, report.wrong))
    print(told)
    wrong = re.search(r"=> I1: (\w)1 \(term \d\) and (\w)1 \(term \d\) believe at once\Z", told)
    assert wrong is not None
    stopped = re.search(r"^  0  (\w)1 is stopped$", told, re.M)
    assert stopped is not None
    assert stopped[1] in wrong.groups()
    for holder in wrong.groups():
        assert re.search(rf"^  \d  {holder}1 is told of its GET floor: .*; leads in term \d by epoch \d$", told, re.M)
    assert "a tick passes for everyone but " in told


def test_one_exploration_is_like_another() -> None:
    """The same bounds give the same states in the same order (I13)."""
    bounds = Bounds("twice", slack=0, epochs=3, budget=Budget(crash=1))
    once, again = (explore(bounds, 100_000) for _ in range(2))
    assert (once.states, once.transitions, once.depth) == (again.states, again.transitions, again.depth)
    assert once.exhausted


def test_exchanging_nodes_hides_nothing() -> None:
    """With names kept there are up to six times the states, and what is wrong is found after as many steps."""
    bounds = Bounds("names kept", slack=0, epochs=2, budget=Budget(crash=1))
    world = World(SHIPPED, bounds)
    exchanged = explore(bounds, 100_000, world=world)
    world = World(SHIPPED, bounds)
    with world.names_kept():
        kept = explore(bounds, 100_000, world=world)
    assert exchanged.exhausted
    assert kept.exhausted
    assert kept.wrong is None
    assert exchanged.depth == kept.depth
    assert exchanged.states < kept.states <= 6 * exchanged.states
    subject, bounds, _ = BROKEN["no margin under drift"]
    paths = []
    for named in (False, True):
        world = World(subject, bounds)
        if named:
            with world.names_kept():
                paths.append(explore(bounds, 100_000, subject, world).path)
        else:
            paths.append(explore(bounds, 100_000, subject, world).path)
    assert len(paths[0]) == len(paths[1]) > 1


def test_names_are_exchanged_in_texts_and_bytes() -> None:
    """Whatever names a node names it by its new name, and no name is exchanged twice."""
    a, b, c = NAMES
    assert renamed((f"{a}-1", f"<{b}>".encode(), ("x", 3, None)), (b, a, c)) == (
        f"{b}-1",
        f"<{a}>".encode(),
        ("x", 3, None),
    )
