"""Membership over any sightings: it never unlearns, nodes do not disturb each other, and silence alone is held
against anyone (design section 5)."""

from __future__ import annotations

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holocron.clock import Instant
from holocron.protocol.membership import GONE_INTERVALS, Roll, beacon_read, form, inherited, roll_call
from holocron.records import Beacon, Member, Status

EVERY_S = 8.0
NODES = ("a", "b", "c")
STATUSES: tuple[Status, ...] = ("alive", "late", "gone")


def beacon(node: str, incarnation: int, revision: int, beat: int, stopped: bool = False) -> Beacon:
    """The beacon of one heartbeat."""
    return Beacon(
        cluster="c",
        nonce=f"{incarnation}.{beat}",
        node=node,
        incarnation=incarnation,
        session="s",
        revision=revision,
        beat=beat,
        every_ms=int(EVERY_S * 1000),
        epoch=0,
        role="follower",
        standing=True,
        stopped=stopped,
        priority=1,
        name=f"{node}{revision}",
        address="",
        labels={},
        home="",
        written="",
    )


class Party:
    """Some nodes that beat, are resumed, stop and are forgotten, and a leader that looks now and then."""

    def __init__(self, chance: Random, nodes: tuple[str, ...] = NODES) -> None:
        self.chance = chance
        self.nodes = nodes
        self.now = Instant(0.0, 0.0, 0.0)
        self.beacons: dict[str, Beacon] = {}
        # Every beacon that was ever there: a read may bring back one that has been replaced meanwhile.
        self.past: dict[str, list[Beacon]] = {node: [] for node in nodes}
        rows: list[Member] = []
        for rank, node in enumerate(nodes):
            if chance.random() < 0.5:
                # Known to the last leader, as some incarnation whose former selves left beacons too.
                lives = chance.randint(1, 3)
                self.past[node] = [beacon(node, life, life, life) for life in range(1, lives + 1)]
                self.beacons[node] = self.past[node][-1]
                rows.append(Member(node=node, incarnation=lives, status=chance.choice(STATUSES), rank=rank + 1))
        self.roll = inherited(tuple(rows))

    def live(self) -> None:
        """Some time passes, and some nodes do something."""
        seconds = self.chance.choice([0.0, 1.0, EVERY_S, 2 * EVERY_S, 7 * EVERY_S])
        asleep_s = seconds if self.chance.random() < 0.1 else 0.0
        now = self.now
        self.now = Instant(now.boot_s + seconds, now.mono_s + seconds - asleep_s, now.wall_s + seconds)
        for node in self.nodes:
            if self.chance.random() < 0.5:
                self._act(node)

    def _act(self, node: str) -> None:
        there = self.past[node][-1] if self.past[node] else beacon(node, 1, 1, 0)
        incarnation, revision = there.incarnation, there.revision
        what = self.chance.choice(["beats"] * 6 + ["changes", "changes", "resumes", "stops", "is forgotten"])
        if what == "is forgotten":
            self.beacons.pop(node, None)
            return
        if there.stopped:
            # Nothing but a new incarnation comes after a goodbye.
            what = "resumes"
        one = beacon(
            node,
            incarnation + (what == "resumes"),
            revision + (what != "beats"),
            there.beat + 1,
            stopped=what == "stops",
        )
        self.beacons[node] = one
        self.past[node].append(one)

    def listing(self) -> tuple[tuple[str, str, int], ...]:
        """What a LIST shows now."""
        return tuple((node, one.nonce, 1024 + one.revision % 1024) for node, one in sorted(self.beacons.items()))

    def look(self, honest: bool = False) -> tuple[str, ...]:
        """The leader looks; some reads fail, some are stale, unless the store is `honest`. The ids that it read."""
        roll, wanted = roll_call(self.roll, self.listing(), self.now)
        order = list(wanted)
        self.chance.shuffle(order)
        for node in order:
            if honest or self.chance.random() < 0.7:
                roll = beacon_read(roll, self.beacons[node], self.now)
            elif self.chance.random() < 0.5:
                roll = beacon_read(roll, self.chance.choice(self.past[node]), self.now)
        self.roll = form(roll, self.now, EVERY_S)
        return wanted


seeds = given(seed=st.integers(0, 2**64 - 1), looks=st.integers(1, 60))


@seeds
def test_membership_never_unlearns(seed: int, looks: int) -> None:
    """While a beacon is there, neither incarnation nor revision goes back; ranks stay, and no two nodes share one."""
    party = Party(Random(seed))
    known = {row.node: (row.incarnation, 0) for row in party.roll.members}
    ranks = {row.node: row.rank for row in party.roll.members}
    for _ in range(looks):
        party.live()
        before = party.roll
        frozen = msgspec.json.encode((before.sightings, before.members))
        party.look()
        assert msgspec.json.encode((before.sightings, before.members)) == frozen, "values in, values out (I13)"
        rows = {row.node: row for row in party.roll.members}
        assert len(rows) == len(party.roll.members)
        assert len({row.rank for row in rows.values()}) == len(rows)
        for node in NODES:
            if node not in party.beacons:
                assert node not in rows, "what is not listed is not there"
                known.pop(node, None)
                ranks.pop(node, None)
                continue
            row, sighting = rows.get(node), party.roll.sightings[node]
            shown = (
                row.incarnation if row is not None else 0,
                sighting.beacon.revision if sighting.beacon is not None else 0,
            )
            assert shown >= known.get(node, (0, 0))
            known[node] = shown
            if row is not None:
                assert row.rank == ranks.setdefault(node, row.rank), "whoever stays keeps the order of joining"


@seeds
def test_an_honest_look_shows_everyone_as_they_are(seed: int, looks: int) -> None:
    """Whatever was missed before, one look in which every read comes through is up to date, and asks no more twice."""
    party = Party(Random(seed))
    for _ in range(looks):
        party.live()
        party.look()
    party.live()
    party.look(honest=True)
    rows = {row.node: row for row in party.roll.members}
    assert set(rows) == set(party.beacons)
    for node, one in party.beacons.items():
        if party.roll.sightings[node].beacon is None:
            # Known from the last leader's view alone, until it gives a sign of life.
            assert not party.roll.sightings[node].fresh
            continue
        row = rows[node]
        assert (row.incarnation, row.name, row.standing) == (one.incarnation, one.name, not one.stopped)
        assert not one.stopped or row.status == "gone", "a goodbye is believed at once"
    again = roll_call(party.roll, party.listing(), party.now)[1]
    assert again == (), "what was read and has not changed is not read again"


@seeds
def test_nodes_do_not_disturb_each_other(seed: int, looks: int) -> None:
    """What one node does, however often, changes nothing about another's row but its place (design section 5)."""
    alone, together = Roll({}, ()), Roll({}, ())
    party = Party(Random(seed))
    for _ in range(looks):
        party.live()
        listing = party.listing()
        for name in ("alone", "together"):
            shown = listing if name == "together" else tuple(one for one in listing if one[0] == "a")
            roll, wanted = roll_call(alone if name == "alone" else together, shown, party.now)
            for node in wanted:
                roll = beacon_read(roll, party.beacons[node], party.now)
            if name == "alone":
                alone = form(roll, party.now, EVERY_S)
            else:
                together = form(roll, party.now, EVERY_S)
        mine = [msgspec.structs.replace(row, rank=0) for row in alone.members]
        assert mine == [msgspec.structs.replace(row, rank=0) for row in together.members if row.node == "a"]
        assert alone.sightings.get("a") == together.sightings.get("a")


@given(silent_s=st.floats(0, 100 * EVERY_S), asleep_s=st.floats(0, 1e6), wall_s=st.floats(-1e9, 1e9))
def test_only_time_that_the_leader_was_awake_is_held_against_anyone(
    silent_s: float, asleep_s: float, wall_s: float
) -> None:
    """A suspend of the leader, or its wall clock set, marks nobody late or gone (rule 4)."""
    roll, _ = roll_call(inherited(()), (("a", "e", 1025),), Instant(0, 0, 0))
    roll = beacon_read(roll, beacon("a", 1, 1, 1), Instant(0, 0, 0))
    awake = form(roll, Instant(silent_s, silent_s, silent_s), EVERY_S)
    slept = form(roll, Instant(silent_s + asleep_s, silent_s, wall_s), EVERY_S)
    assert [row.status for row in awake.members] == [row.status for row in slept.members]
    assert (awake.members[0].status == "gone") is (silent_s / EVERY_S > GONE_INTERVALS)
