"""Leading: renewals, publishes and the release."""

from __future__ import annotations

import pytest

from holocron.protocol.election import due_s, role
from holocron.protocol.messages import (
    AskedToPublish,
    AskedToRelease,
    ClaimLost,
    ClaimOrphaned,
    ClaimRefused,
    ClaimUnknown,
    ControlHandled,
    CreateEpoch,
    Event,
    NoteReleased,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    Reason,
    SettlePublish,
    StandingChanged,
    TopologyFormed,
)
from tests.protocol.made import BELIEF_S, RENEW_S, TTL_S, at, leading, member, none_of, only, record, seen


def test_healthy_leader_renews_once_a_round_in_one_term() -> None:
    """A healthy leader renews each time a round is over, one epoch at a time, and its term stays (rules 1, 5 and 6)."""
    play, now_s = leading(), 0.0
    for epoch in range(2, 30):
        wait_s = due_s(play.state, at(now_s))
        assert wait_s == RENEW_S
        assert play.tick(now_s + RENEW_S - 0.125) == ()
        now_s += RENEW_S
        assert only(CreateEpoch, play.tick(now_s)).draft.epoch == epoch
        assert only(NoteTenureRenewed, play.wins(now_s)).tenure.term == 1
    assert role(play.state) == "leader"


def test_only_one_request_on_the_chain_is_under_way() -> None:
    """While a renewal is in flight nothing else is asked for; the leader wakes only for its own deadline (rule 1)."""
    play = leading()
    play.tick(RENEW_S)
    assert play.tick(RENEW_S + 2) == ()
    assert play.tell(AskedToPublish(Publishing(1, b"x")), RENEW_S + 2) == ()
    assert due_s(play.state, at(RENEW_S + 2)) == BELIEF_S - RENEW_S - 2


def test_renewal_that_never_answers_ends_at_the_deadline() -> None:
    """A black hole is not waited for: belief ends by the clock, with the store named as the reason (rules 4 and 13)."""
    play = leading()
    play.tick(RENEW_S)
    assert none_of(NoteTenureEnded, play.tick(BELIEF_S - 0.125))
    assert only(NoteTenureEnded, play.tick(BELIEF_S)).reason is Reason.STORE_UNREACHABLE


def test_refused_renewal_is_tried_again_while_the_lease_runs() -> None:
    """A renewal that certainly was not written is sent again, with the same values, after a pause (rule 5)."""
    play = leading()
    play.tell(AskedToPublish(Publishing(1, b"x")), 1)
    assert play.tell(ClaimRefused(), 1.25) == ()
    assert play.tick(1.25) == ()
    again = only(CreateEpoch, play.tick(4))
    assert (again.draft.epoch, again.draft.term, again.since) == (2, 1, at(4))
    assert again.draft.published is not None
    assert again.draft.published.value == b"x"
    assert SettlePublish(1, 2) in play.wins(4.25)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ClaimLost(seen(record(2, 2, "b"), 3)), Reason.TAKEN_OVER),
        (ClaimLost(None), Reason.TAKEN_OVER),
        (ClaimOrphaned(), Reason.TAKEN_OVER),
        (ClaimUnknown(), Reason.STORE_UNREACHABLE),
    ],
    ids=["lost", "lost to whom", "orphaned", "unknown"],
)
def test_renewal_that_was_not_won_ends_leadership_at_once(event: Event, reason: Reason) -> None:
    """Lost, orphaned or unknown: the leader believes no longer, and says why (rule 13, I1, I3 and I4)."""
    play = leading()
    play.tick(RENEW_S)
    ended = only(NoteTenureEnded, play.tell(event, 3))
    assert (ended.reason, ended.tenure.term) == (reason, 1)
    assert play.state.tenure is None


def test_publish_is_acknowledged_only_after_the_win() -> None:
    """A value rides in an epoch sent at once, and its caller is told when that epoch is won (I2)."""
    play = leading()
    asked = play.tell(AskedToPublish(Publishing(7, b"v")), 0.5)
    draft = only(CreateEpoch, asked).draft
    assert none_of(SettlePublish, asked)
    assert draft.published is not None
    assert (draft.published.value, draft.published.epoch, draft.published.term) == (b"v", 2, 1)
    assert only(SettlePublish, play.wins(0.75)) == SettlePublish(7, 2)


def test_values_that_wait_ride_together_and_the_last_one_stands() -> None:
    """What is asked for during a renewal goes into the next epoch, all in one, and is kept in later ones (rule 1)."""
    play = leading()
    play.tell(AskedToPublish(Publishing(1, b"one")), 0.5)
    play.tell(AskedToPublish(Publishing(2, b"two")), 0.5)
    play.tell(AskedToPublish(Publishing(3, b"three")), 0.5)
    assert SettlePublish(1, 2) in play.wins(0.75)
    published = play.draft().published
    assert published is not None
    assert (play.draft().epoch, published.value) == (3, b"three")
    actions = play.wins(1)
    assert SettlePublish(2, 3) in actions
    assert SettlePublish(3, 3) in actions
    play.tick(1 + RENEW_S)
    assert play.draft().published == published


@pytest.mark.parametrize(
    ("event", "refused"),
    [(ClaimLost(seen(record(2, 2, "b"), 1)), True), (ClaimOrphaned(), True), (ClaimUnknown(), False)],
    ids=["lost", "orphaned", "unknown"],
)
def test_publish_that_was_not_won_is_refused_or_unknown(event: Event, refused: bool) -> None:
    """A value whose epoch went to another never takes effect; one whose outcome is unknown is reported so (I2, I10)."""
    play = leading()
    play.tell(AskedToPublish(Publishing(7, b"v")), 0.5)
    play.tell(AskedToPublish(Publishing(8, b"w")), 0.5)
    actions = play.tell(event, 1)
    assert SettlePublish(7, None, refused=refused) in actions
    assert SettlePublish(8, None, refused=True) in actions, "it was never sent"


def test_publish_confirmed_too_late_is_unknown() -> None:
    """An epoch that is ours after the deadline is acknowledged to nobody (rule 6, I2 and I10)."""
    play = leading()
    play.tell(AskedToPublish(Publishing(7, b"v")), 0.5)
    assert SettlePublish(7, None) in play.wins(BELIEF_S)


def test_who_does_not_lead_cannot_publish() -> None:
    """A publish without leadership is refused at once (I2)."""
    play = leading()
    play.tick(BELIEF_S)
    actions = play.tell(AskedToPublish(Publishing(7, b"v")), BELIEF_S)
    assert SettlePublish(7, None, refused=True) in actions


def test_view_and_control_ride_in_the_next_epoch() -> None:
    """The newest view, and the last control request handled, go into the next lock file (design section 5)."""
    play, view = leading(), (member("a", 1), member("b", 2))
    play.tell(TopologyFormed(view), 1)
    play.tell(ControlHandled(4), 1)
    play.tell(ControlHandled(3), 1)
    play.tick(RENEW_S)
    assert (play.draft().topology, play.draft().control) == (view, 4)


def test_release_ends_belief_before_it_is_written() -> None:
    """The leader stops believing in the very step that asks for the release (rule 9, I1)."""
    play = leading()
    actions = play.tell(AskedToRelease(None), 1)
    assert [type(action) for action in actions] == [NoteTenureEnded, CreateEpoch]
    assert only(NoteTenureEnded, actions).reason is Reason.RELEASED
    draft = only(CreateEpoch, actions).draft
    assert (draft.kind, draft.cause, draft.term, draft.epoch) == ("release", "released", 1, 2)
    assert only(CreateEpoch, actions).within_s == BELIEF_S - 1
    assert play.state.tenure is None
    assert NoteReleased(2) in play.wins(1.25)


def test_release_waits_for_the_renewal_in_flight() -> None:
    """No renewal is in flight when the release is written, and nothing is published any more (rule 9)."""
    play = leading()
    play.tick(RENEW_S)
    assert play.tell(AskedToRelease("b"), 2.5) == ()
    assert play.tell(AskedToPublish(Publishing(1, b"x")), 2.5) == (SettlePublish(1, None, refused=True),)
    actions = play.wins(3)
    assert [type(action) for action in actions[-3:]] == [NoteTenureRenewed, NoteTenureEnded, CreateEpoch]
    assert (play.draft().epoch, play.draft().heir, play.draft().cause) == (3, "b", "handover")


@pytest.mark.parametrize("standing", [True, False])
def test_a_release_says_whether_the_releaser_still_stands(standing: bool) -> None:
    """The next leader begins with this view, and must not count on an heir that has withdrawn (rules 8, 9)."""
    play = leading()
    view = (member("a", 1), member("b", 2))
    play.tell(TopologyFormed(view), 0.5)
    play.tell(StandingChanged(standing), 0.5)
    draft = only(CreateEpoch, play.tell(AskedToRelease(None), 1)).draft
    assert draft.topology == (member("a", 1, standing=standing), view[1])


def test_releaser_lets_everyone_else_go_first() -> None:
    """Whoever released waits a whole ttl before it stands again, even where it is alone (rule 9)."""
    play = leading()
    play.tell(AskedToRelease(None), 1)
    play.wins(1.5)
    assert play.looks(1.5, 60) == 1.5 + TTL_S


@pytest.mark.parametrize("event", [ClaimLost(None), ClaimUnknown(), ClaimRefused(), ClaimOrphaned()])
def test_release_that_was_not_written_is_said_so(event: Event) -> None:
    """A release that came to nothing leaves the lease to lapse by itself, and its caller is told (rules 9 and 13)."""
    play = leading()
    play.tell(AskedToRelease(None), 1)
    assert NoteReleased(None) in play.tell(event, 1.5)
    assert play.state.tenure is None


def test_release_asked_of_a_lapsed_leader_is_answered() -> None:
    """Nobody waits for a release that cannot come: not after a lapse, and not where one came between (rule 9)."""
    play = leading()
    play.tick(RENEW_S)
    play.tell(AskedToRelease(None), 3)
    assert NoteReleased(None) in play.tick(BELIEF_S)
    assert NoteReleased(None) in play.tell(AskedToRelease(None), BELIEF_S + 1)


def test_leader_that_stands_no_longer_leads_until_it_releases() -> None:
    """Standing decides about the next election; the lease that runs is given up by a release only (rule 9)."""
    play = leading()
    assert play.tell(StandingChanged(False), 1) == ()
    assert only(CreateEpoch, play.tick(RENEW_S)).draft.kind == "lease"
    play.wins(RENEW_S)
    play.tell(AskedToRelease(None), 3)
    play.wins(3)
    tries = sum(isinstance(action, CreateEpoch) for action in play.log)
    play.idles(3, 100)
    assert sum(isinstance(action, CreateEpoch) for action in play.log) == tries
