"""From beacons seen to the leader's view (design section 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.clock import Instant
from holocron.protocol.membership import (
    Roll,
    beacon_read,
    form,
    inherited,
    padded,
    revision_shown,
    roll_call,
)
from holocron.records import Beacon, Member, Status, decode, encode

EVERY_S = 10.0


def at(seconds: float, asleep_s: float = 0.0) -> Instant:
    """The instant `seconds` into the test; `asleep_s` of it with the machine suspended."""
    return Instant(seconds, seconds - asleep_s, 1e9 + seconds)


def beacon(node: str, revision: int = 1, incarnation: int = 1, **more: object) -> Beacon:
    """A beacon with everything that does not matter filled in."""
    plain: dict[str, object] = {
        "cluster": "c",
        "nonce": f"{incarnation}.{revision}",
        "node": node,
        "incarnation": incarnation,
        "session": "s",
        "revision": revision,
        "beat": 1,
        "every_ms": 10_000,
        "epoch": 0,
        "role": "follower",
        "standing": True,
        "stopped": False,
        "priority": 1,
        "name": node.upper(),
        "address": "",
        "labels": {},
        "home": "",
        "written": "",
    }
    return Beacon(**(plain | more))  # type: ignore[arg-type]  # the test gives what the record wants


def member(node: str, status: Status = "alive", rank: int = 1, incarnation: int = 1) -> Member:
    """A row of an earlier leader's view."""
    return Member(node=node, incarnation=incarnation, status=status, rank=rank)


def met(roll: Roll, one: Beacon, etag: str, seconds: float) -> Roll:
    """The roll after a listing that shows `one` alone, which is then read where it must be."""
    roll, wanted = roll_call(roll, ((one.node, etag, 1024 + one.revision),), at(seconds))
    return beacon_read(roll, one, at(seconds)) if wanted else roll


@given(revision=st.integers(1, 2**53 - 1), name=st.text(max_size=300))
def test_the_length_shows_the_revision_and_the_record_stays_readable(revision: int, name: str) -> None:
    """A LIST alone tells whether a beacon must be read: its length modulo 1024 is its revision's."""
    record = beacon("a", revision, name=name)
    body = padded(encode(record), revision)
    assert revision_shown(len(body)) == revision % 1024
    assert body.endswith(b"\n")
    assert decode(Beacon, body, "members/a.json", "c") == record
    assert padded(body, revision) == body


def test_a_beacon_is_read_when_new_and_when_its_revision_changed_and_not_for_a_heartbeat() -> None:
    """Reads only beacons it must (design section 5)."""
    roll, wanted = roll_call(inherited(()), (("a", "e1", 1025),), at(0))
    assert wanted == ("a",)
    assert roll_call(roll, (("a", "e1", 1025),), at(1))[1] == ("a",), "a read that failed is asked for again"
    roll = beacon_read(roll, beacon("a", 1), at(0))
    roll, wanted = roll_call(roll, (("a", "e2", 2049),), at(10))
    assert wanted == ()
    roll, wanted = roll_call(roll, (("a", "e3", 1026),), at(20))
    assert wanted == ("a",)


def test_after_a_takeover_only_what_changes_is_read() -> None:
    """The last lock file's view is known already; the next sign of life says it all anew."""
    roll, wanted = roll_call(inherited((member("a", rank=7),)), (("a", "e1", 1025),), at(0))
    assert wanted == ()
    assert form(roll, at(0), EVERY_S).members == (member("a", rank=7),)
    roll, wanted = roll_call(roll, (("a", "e2", 1025),), at(10))
    assert wanted == ("a",)
    rows = form(beacon_read(roll, beacon("a"), at(10)), at(10), EVERY_S).members
    assert [(row.name, row.rank, row.standing) for row in rows] == [("A", 7, True)]


@pytest.mark.parametrize(
    ("silent_s", "status"), [(0, "alive"), (25, "alive"), (25.1, "late"), (60, "late"), (60.1, "gone")]
)
def test_silence_makes_late_and_then_gone(silent_s: float, status: Status) -> None:
    """Alive for 2.5 heartbeats, late until 6, gone beyond, on the leader's own clock."""
    roll = form(met(inherited(()), beacon("a"), "e1", 0), at(silent_s), EVERY_S)
    assert [row.status for row in roll.members] == [status]
    assert roll.sightings["a"].status == status


def test_a_suspend_of_the_leader_marks_nobody_gone() -> None:
    """The leader counts as a waiter does, never too much (rule 4)."""
    roll = met(inherited(()), beacon("a"), "e1", 0)
    assert form(roll, at(3600, asleep_s=3599), EVERY_S).members[0].status == "alive"


def test_a_node_that_beats_faster_than_the_leader_looks_is_judged_by_the_looks() -> None:
    """What cannot be seen is not held against anyone."""
    roll = met(inherited(()), beacon("a", every_ms=100), "e1", 0)
    assert form(roll, at(11), EVERY_S).members[0].status == "alive"
    roll = met(inherited(()), beacon("b", every_ms=60_000), "e1", 0)
    assert form(roll, at(100), EVERY_S).members[0].status == "alive"


def test_goodbye_is_gone_at_once_and_a_resumed_node_is_alive_again_with_its_rank() -> None:
    """A beacon that says stopped is believed at once; rank is kept while the beacon is there."""
    roll = form(met(inherited(()), beacon("a"), "e1", 0), at(0), EVERY_S)
    roll = form(met(roll, beacon("a", 2, stopped=True), "e2", 1), at(1), EVERY_S)
    assert [(row.status, row.standing) for row in roll.members] == [("gone", False)]
    roll = form(met(roll, beacon("a", 3, incarnation=2), "e3", 2), at(2), EVERY_S)
    assert [(row.status, row.incarnation, row.rank) for row in roll.members] == [("alive", 2, 1)]


def test_who_was_gone_under_the_last_leader_stays_gone_until_it_shows_itself() -> None:
    """A new leader's first sight of an old beacon is no sign of life."""
    roll, _ = roll_call(inherited((member("a", "gone"),)), (("a", "e1", 1025),), at(0))
    roll = form(roll, at(0), EVERY_S)
    assert roll.members[0].status == "gone"
    assert form(met(roll, beacon("a"), "e2", 5), at(5), EVERY_S).members[0].status == "alive"


def test_a_beacon_that_went_is_dropped_and_ranks_are_in_the_order_of_joining() -> None:
    """A forgotten node leaves the view; the next one comes after all who are there."""
    roll = form(met(inherited((member("a", rank=3), member("b", rank=1))), beacon("b"), "e1", 0), at(0), EVERY_S)
    assert [row.node for row in roll.members] == ["b"]
    roll, wanted = roll_call(roll, (("a", "x", 1025), ("b", "e1", 1025)), at(1))
    roll = form(beacon_read(roll, beacon("a"), at(1)), at(1), EVERY_S)
    assert wanted == ("a",)
    assert [(row.node, row.rank) for row in roll.members] == [("b", 1), ("a", 2)]


def test_a_roll_is_never_changed_in_place() -> None:
    """Values in, values out (I13)."""
    first = met(inherited(()), beacon("a"), "e1", 0)
    copy = dict(first.sightings)
    met(form(first, at(90), EVERY_S), beacon("a", 2), "e2", 100)
    assert first.sightings == copy


@given(
    began=st.integers(0, 3),
    seen=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.booleans(), st.floats(0, 50)), max_size=20),
)
def test_membership_is_monotone_in_what_it_has_seen(began: int, seen: list[tuple[int, int, bool, float]]) -> None:
    """While a beacon is there, neither its incarnation nor its revision ever goes back, whatever is read when."""
    roll = inherited((member("a", incarnation=began),) if began else ())
    now, highest = 0.0, (began, 0)
    for number, (incarnation, revision, changed, after_s) in enumerate(seen):
        now += after_s
        roll, _ = roll_call(roll, (("a", f"e{number if changed else 0}", 1024 + revision),), at(now))
        roll = form(beacon_read(roll, beacon("a", revision, incarnation), at(now)), at(now), EVERY_S)
        known = roll.sightings["a"].beacon
        shown = (roll.members[0].incarnation, 0 if known is None else known.revision)
        assert shown >= highest
        highest = shown
