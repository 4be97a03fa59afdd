"""A pause as an application and an operator use it: leadership stays with its node, for a bounded time (rule 14)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from holocron import Cluster, Node
from holocron.errors import HolocronError, NotLeader, SettingsError
from holocron.layout import EPOCHS, numbered
from holocron.records import Control, Epoch, decode, encode
from tests.runtime.made import epoch
from tests.runtime.waiting import until

Start = Callable[..., Node]


def two(nodes: Start) -> tuple[Node, Node]:
    """A leader, and a follower that it knows and that stands."""
    leader = nodes()
    leader.campaign()
    until(lambda: leader.role == "leader", "it leads")
    follower = nodes()
    follower.campaign()
    until(lambda: any(m.node == follower.id and m.standing for m in leader.members()), "the leader knows the follower")
    return leader, follower


def test_a_paused_leader_that_is_gone_is_followed_by_itself_alone(nodes: Start) -> None:
    """It stops, nobody follows; it is resumed and leads under a higher term, with the pause still on; unpaused, a
    release is followed as ever."""
    leader, follower = two(nodes)
    term = leader.term
    at = leader.pause(600)
    until(lambda: follower.epoch >= at, "the follower has read it")
    assert 0 < follower.paused_s <= 600
    leader.stop()
    until(lambda: follower.leader() is None, "the follower has read the release")
    again = nodes(resume=leader.id)
    with again.lead(timeout=30) as lease:
        assert term is not None
        assert lease.token > term
        assert 0 < again.paused_s <= 600
        assert follower.role == "follower"
        with pytest.raises(HolocronError, match="while it is paused: name an heir"):
            again.step_down()
        again.unpause()
        assert again.paused_s == 0
    until(lambda: follower.role == "leader", "the follower follows")


def test_a_named_heir_takes_over_in_a_pause_and_keeps_it(nodes: Start) -> None:
    """A planned hand-over goes through, and the pause goes over to the heir with what is left of it."""
    leader, follower = two(nodes)
    leader.pause(600)
    leader.step_down(to=follower.id)
    until(lambda: follower.role == "leader", "the heir leads")
    assert 0 < follower.paused_s <= 600


def test_a_pause_that_is_over_keeps_nobody(nodes: Start) -> None:
    """It cannot be forgotten: once it has run out, whoever is next follows (I11)."""
    leader, follower = two(nodes)
    leader.pause(2)
    leader.stop()
    until(lambda: follower.role == "leader", "the follower follows")
    assert follower.paused_s == 0


def test_an_operator_pauses_and_ends_it(nodes: Start, place: str) -> None:
    """By requests to the leader, which everyone who reads the lock file sees; `step_down` then wants an heir."""
    leader, _ = two(nodes)
    with Cluster.open(place) as cluster:
        cluster.pause(600, by="me")
        until(lambda: leader.paused_s > 0, "it is paused")
        seen = cluster.leader()
        assert seen is not None
        assert (seen.node, 0 < seen.paused_s <= 600) == (leader.id, True)
        with pytest.raises(HolocronError, match="name an heir, or unpause"):
            cluster.step_down()
        cluster.unpause()
        until(lambda: leader.paused_s == 0, "it is paused no more")
        for odd in (0.0, 86_401.0, float("nan")):
            with pytest.raises(SettingsError, match="from 1 second to 24 hours"):
                cluster.pause(odd)


def test_who_does_not_lead_cannot_pause(nodes: Start) -> None:
    """There is no lock file of its own that could say so."""
    with pytest.raises(NotLeader, match="does not lead, so it cannot pause"):
        nodes().pause()


def test_records_without_a_pause_are_as_they_were() -> None:
    """Whoever knows of no pause reads every epoch and request that has none: the field is not written then."""
    plain = epoch(7)
    assert "paused_ms" not in json.loads(encode(plain))
    assert decode(Epoch, encode(plain), numbered(EPOCHS, 7)) == plain
    asked = Control(cluster="c", nonce="n", number=1, request="step-down", term=1, heir=None, by="me", written="then")
    assert "for_ms" not in json.loads(encode(asked))
