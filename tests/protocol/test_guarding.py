"""Rule 15: when a guardian may act, for whom, and what it writes."""

from __future__ import annotations

import pytest

from holocron.protocol.guarding import PATIENCE_S, Charge, is_of, release_after, verdict
from holocron.protocol.turns import heirs
from holocron.records import Leader, Published
from tests.protocol.made import member, record

CHARGE = Charge(node="b", incarnation=1, session="b-1", term=4, epoch=6)


def test_only_another_parent_is_a_death() -> None:
    """Rule 15: a line that closed says nothing while the parent is the same (I1)."""
    assert verdict(70, 70, 0.0) == "watch"
    assert verdict(70, 70, PATIENCE_S / 2) == "watch"
    assert verdict(70, 1, 0.0) == "release"
    assert verdict(70, 1, 5 * PATIENCE_S) == "release"


def test_who_can_be_told_nothing_any_more_goes() -> None:
    """Rule 15: a guardian whose process closed the line and lives on is of no use, and does not stay for ever."""
    assert verdict(70, 70, PATIENCE_S) == "leave"


def test_a_lease_of_the_tenure_under_guard_is_its_charges() -> None:
    """Rule 15: node, incarnation, session and term are those that the process told."""
    assert is_of(record(6, 4, "b"), CHARGE)


@pytest.mark.parametrize(
    "other",
    [
        record(6, 4, "c", session="b-1"),
        record(6, 4, "b", incarnation=2, session="b-1"),
        record(6, 4, "b", session="b-2"),
        record(6, 5, "b"),
        record(6, 4, "b", release=True),
    ],
    ids=["node", "incarnation", "session", "term", "release"],
)
def test_whatever_else_stands_there_is_not(other: object) -> None:
    """Rule 15: another's lease, a newer incarnation's, another term or a release are left as they are (I1, I8)."""
    assert not is_of(other, CHARGE)  # type: ignore[arg-type]  # parametrize knows no types


def test_the_release_carries_on_what_the_lease_carried() -> None:
    """What was published and the view ride on, as in its own release; but the dead stand no more (I2, rule 9)."""
    value = Published(value=b"here", epoch=5, term=4)
    view = (member("b", 1), member("c", 2), member("d", 3, priority=5))
    head = record(6, 4, "b", published=value, topology=view, control=3)
    released = release_after(head, "fresh", "now")
    assert (released.epoch, released.term, released.kind, released.cause) == (7, 4, "release", "released")
    assert (released.previous, released.nonce, released.written) == (head.nonce, "fresh", "now")
    assert (released.published, released.control) == (value, 3)
    assert released.topology == (member("b", 1, standing=False), *view[1:])
    assert released.leader == Leader(node="b", incarnation=1, session="b-1")
    assert heirs(released) == ("d", "c")
