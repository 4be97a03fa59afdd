"""Hints cause reads and nothing else, and seldom where nothing is found (rule 16)."""

from __future__ import annotations

import pytest

from holocron.protocol.election import due_s, role
from holocron.protocol.hinting import MOST_WASTED
from holocron.protocol.messages import (
    Action,
    AskedToRelease,
    ClaimLost,
    CreateEpoch,
    HeadChanged,
    HeadFound,
    Hinted,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteTenureBegan,
    NoteTenureEnded,
    PollFailed,
    ReadNext,
)
from holocron.records import Published
from tests.protocol.made import (
    RENEW_S,
    TTL_S,
    Play,
    at,
    following,
    leading,
    member,
    none_of,
    only,
    record,
    seat,
    seen,
)

VIEW = (member("b", 1), member("a", 2), member("c", 3))
FAR = 2**53 - 1


def follower(standing: bool = True) -> Play:
    """A follower of b, which leads in epoch 5, with nothing to do for a while."""
    play = following(seen(record(5, 5, topology=VIEW), 0), standing=standing)
    assert play.tick(0.25) == ()
    return play


def test_a_hint_is_one_read_of_the_next_epoch() -> None:
    """Who is told of a newer epoch reads the next one now, long before its next poll (rule 16)."""
    assert follower().tell(Hinted(6), 0.25) == (ReadNext(6),)


@pytest.mark.parametrize("epoch", [0, 1, 4, 5])
def test_a_hint_of_what_is_known_is_no_news(epoch: int) -> None:
    """Replayed and doubled hints cost nothing: the epoch that they name is known (rule 16)."""
    assert follower().tell(Hinted(epoch), 0.25) == ()


def test_a_hint_that_comes_true_leaves_the_polls_at_their_beat() -> None:
    """What was found early is followed by the poll that would have come anyway: no reads are added (rules 10, 16)."""
    hinted, polled = follower(), follower()
    news = seen(record(6, 5, topology=VIEW), 0.375)
    hinted.tell(Hinted(6), 0.25)
    hinted.tell(NextFound(news), 0.375)
    wait_s = due_s(polled.state, at(0.25))
    assert wait_s is not None
    assert polled.tick(0.25 + wait_s) == (ReadNext(6),)
    polled.tell(NextFound(seen(record(6, 5, topology=VIEW), 0.25 + wait_s)), 0.25 + wait_s)
    next_s = due_s(polled.state, at(0.25 + wait_s))
    assert next_s is not None
    assert due_s(hinted.state, at(0.375)) == pytest.approx(0.25 + wait_s + next_s - 0.375)


def test_nothing_in_a_hint_is_believed() -> None:
    """However far ahead it says that the chain is, the head stays and nobody claims (I8, I12)."""
    play = follower()
    before = play.state.head
    actions = play.tell(Hinted(FAR), 0.25)
    assert actions == (ReadNext(6),)
    assert role(play.state) == "follower"
    assert play.tell(NextAbsent(at(0.25)), 0.375) == ()
    assert play.state.head is before
    assert play.looks(0.5, 60) == TTL_S, "the lease is waited out as ever"


def test_a_release_is_followed_from_the_read_that_the_hint_caused() -> None:
    """The claim follows without a LIST: read, claim and floor are three requests in a row (rules 7, 16)."""
    play = follower()
    play.tell(Hinted(6), 0.25)
    release = seen(record(6, 5, release=True, topology=VIEW), 0.5)
    claim = only(CreateEpoch, play.tell(NextFound(release), 0.5))
    assert (claim.draft.epoch, claim.draft.cause, claim.draft.previous) == (7, "released", "nonce-6")
    assert claim.since == at(0.25), "its lease counts from before the read (rule 2)"
    assert only(NoteTenureBegan, play.wins(0.75)).tenure.term == 7


def test_a_hint_of_a_renewal_is_no_takeover() -> None:
    """What counts is what was read: a renewal is waited on, whoever speaks of it (I8)."""
    play = follower()
    play.tell(Hinted(6), 0.25)
    assert none_of(CreateEpoch, play.tell(NextFound(seen(record(6, 5, topology=VIEW), 0.5)), 0.5))
    assert play.looks(0.5, 60) == 0.5 + TTL_S


def test_who_does_not_stand_reads_and_does_not_claim() -> None:
    """A release is news to whoever never leads, and no more than that: one read (rules 8, 16)."""
    play = follower(standing=False)
    assert play.tell(Hinted(6), 0.25) == (ReadNext(6),)
    news = seen(record(6, 5, release=True, topology=VIEW), 0.5)
    assert play.tell(NextFound(news), 0.5) == (HeadChanged(news),)


def test_a_later_heir_that_is_told_first_waits_for_its_turn() -> None:
    """A hint does not change the order of the heirs (rule 8): c reads the release, and a may go first."""
    play = following(seen(record(5, 5, topology=VIEW), 0), seat("c"))
    assert play.tell(Hinted(6), 0.25) == (ReadNext(6),)
    actions = play.tell(NextFound(seen(record(6, 5, release=True, topology=VIEW), 0.5)), 0.5)
    assert none_of(CreateEpoch, actions)
    assert none_of(LookForHead, actions)


def test_a_hint_during_a_read_is_remembered() -> None:
    """The read under way may be older than what the hint tells of, so another follows it (rule 16)."""
    play = follower()
    assert play.tick(RENEW_S) == (ReadNext(6),)
    assert play.tell(Hinted(6), RENEW_S + 0.25) == ()
    assert play.tell(NextAbsent(at(RENEW_S)), RENEW_S + 0.5) == (ReadNext(6),)
    assert play.state.wasted == 0, "the read that found nothing was a poll"


def test_a_remembered_hint_is_forgotten_once_it_is_known() -> None:
    """What the read under way found is not read for again (rule 16)."""
    play = follower()
    play.tick(RENEW_S)
    play.tell(Hinted(6), RENEW_S)
    assert play.tell(NextFound(seen(record(6, 5, topology=VIEW), 2.5)), 2.5) == (
        HeadChanged(seen(record(6, 5, topology=VIEW), 2.5)),
    )
    assert play.state.hint is None


def test_a_hint_of_a_far_epoch_is_read_up_to() -> None:
    """Who was told of epoch 8 and finds 6 reads on, until it is there (rule 16)."""
    play = follower()
    play.tell(Hinted(8), 0.25)
    for number in (6, 7):
        actions = play.tell(NextFound(seen(record(number, 5, topology=VIEW), 0.5)), 0.5)
        assert only(ReadNext, actions) == ReadNext(number + 1)
    assert none_of(ReadNext, play.tell(NextFound(seen(record(8, 5, topology=VIEW), 0.5)), 0.5))


def flood(play: Play, start_s: float, end_s: float, every_s: float = 2.0**-6) -> list[Action]:
    """What the node does while a stranger tells it of epochs that are not there; each read finds nothing, at once."""
    done: list[Action] = []
    now_s = start_s
    while now_s < end_s:
        actions = play.tell(Hinted(FAR), now_s)
        while actions:
            done += actions
            replies: tuple[Action, ...] = ()
            for action in actions:
                if isinstance(action, ReadNext):
                    replies += play.tell(NextAbsent(at(now_s)), now_s)
            actions = replies
        now_s += every_s
    return done


def test_a_flood_of_forged_hints_costs_two_reads_a_round() -> None:
    """Of so many hints, `MOST_WASTED` a round are read for, and the rest are dropped (rule 16, I14)."""
    play = follower(standing=False)
    rounds = 3
    done = flood(play, 0.25, 0.25 + rounds * RENEW_S)
    polls = Play()
    polls.state = follower(standing=False).state
    without = len([action for action in _idle(polls, 0.25, 0.25 + rounds * RENEW_S) if isinstance(action, ReadNext)])
    assert len(done) - without <= MOST_WASTED * (rounds + 1)
    assert len(done) - without >= MOST_WASTED, "it did flood"


def _idle(play: Play, start_s: float, end_s: float) -> list[Action]:
    before = len(play.log)
    play.idles(start_s, end_s)
    return play.log[before:]


def test_a_flood_does_not_change_when_a_lease_is_followed() -> None:
    """Forged hints neither shorten nor lengthen the wait for a lease (I8, I11)."""
    play = follower()
    done = flood(play, 0.25, TTL_S - 0.25)
    assert none_of(CreateEpoch, tuple(done))
    assert play.looks(TTL_S - 0.25, 60) == TTL_S


def test_a_forged_hint_leaves_the_polls_where_they_were() -> None:
    """A read for nothing is no miss of the beat: the next poll is due when it was (rules 10, 16)."""
    play = follower()
    before = (due_s(play.state, at(0.25)), play.state.misses, play.state.hits)
    assert play.tell(Hinted(FAR), 0.25) == (ReadNext(6),)
    play.tell(NextAbsent(at(0.25)), 0.25)
    assert (due_s(play.state, at(0.25)), play.state.misses, play.state.hits) == before


def test_the_next_round_may_be_hinted_again() -> None:
    """The bound is for a round; after it the next hint is read for (rule 16)."""
    play = follower(standing=False)
    flood(play, 0.25, 0.375)
    assert play.state.wasted == MOST_WASTED
    assert play.tell(Hinted(6), 0.375) == ()
    assert ReadNext(6) in play.tell(Hinted(6), 0.25 + RENEW_S)


def test_a_suspend_does_not_bring_the_next_round_closer() -> None:
    """The bound goes by the waiter's clock, which never overestimates (rules 4, 16)."""
    play = follower(standing=False)
    flood(play, 0.25, 0.375)
    assert play.tell(Hinted(6), at(RENEW_S + 0.375, asleep_s=RENEW_S)) == ()
    assert play.tell(Hinted(6), at(2 * RENEW_S + 0.25, asleep_s=RENEW_S)) == (ReadNext(6),)


def test_a_hint_that_found_something_costs_nothing_of_the_bound() -> None:
    """Each of a hundred values that a leader publishes is read when it is told (rule 16)."""
    play = follower()
    for number in range(6, 106):
        assert play.tell(Hinted(number), 0.25) == (ReadNext(number),)
        value = Published(value=b"v", epoch=number, term=5)
        play.tell(NextFound(seen(record(number, 5, topology=VIEW, published=value), 0.25)), 0.25)
    assert play.state.wasted == 0


def test_a_leader_has_nothing_to_read() -> None:
    """The head is its own: what others say of a newer one is no reason to ask, and no doubt (rules 5, 16)."""
    play = leading()
    assert play.tell(Hinted(FAR), 0.25) == ()
    assert play.state.hint is None
    (renewal,) = play.tick(RENEW_S)
    assert isinstance(renewal, CreateEpoch), "and it renews when it would"
    assert play.tell(Hinted(FAR), RENEW_S) == ()
    assert none_of(NoteTenureEnded, play.wins(RENEW_S + 0.25))


def test_a_hint_before_a_win_is_not_kept_for_after_it() -> None:
    """Whoever leads now forgets what it was told as a follower (rule 16)."""
    play = follower()
    play.tell(Hinted(6), 0.25)
    play.tell(NextFound(seen(record(6, 5, release=True, topology=VIEW), 0.5)), 0.5)
    play.tell(Hinted(FAR), 0.5)
    assert none_of(ReadNext, play.wins(0.75))
    assert play.state.hint is None


def test_a_hint_does_not_cut_short_the_pause_after_a_failure() -> None:
    """A store that does not answer is not asked the more for it (rule 16)."""
    play = follower()
    play.tick(RENEW_S)
    play.tell(Hinted(6), RENEW_S)
    assert play.tell(PollFailed(), RENEW_S + 0.25) == ()
    assert play.tell(Hinted(6), RENEW_S + 0.25) == ()
    assert play.state.hint is None


def test_a_lost_claim_reads_on_to_what_was_hinted_meanwhile() -> None:
    """Another was first and has led on since: both are read without waiting for a poll (rule 16)."""
    play = follower()
    play.tell(Hinted(6), 0.25)
    play.tell(NextFound(seen(record(6, 5, release=True, topology=VIEW), 0.5)), 0.5)
    play.tell(Hinted(8), 0.5)
    assert only(ReadNext, play.tell(ClaimLost(seen(record(7, 7, "c", topology=VIEW), 0.75)), 0.75)) == ReadNext(8)


def test_the_releaser_is_hinted_back() -> None:
    """Who released learns of its successor at once, and does not compete with it (rules 9, 16)."""
    play = leading()
    play.tell(AskedToRelease(None), 0.25)
    play.wins(0.5)
    assert only(ReadNext, play.tell(Hinted(3), 0.5)) == ReadNext(3)
    play.tell(NextFound(seen(record(3, 3, "b", topology=VIEW), 0.75)), 0.75)
    assert role(play.state) == "follower"


def test_the_first_look_is_followed_by_a_read_for_what_was_hinted_meanwhile() -> None:
    """A node that has just come aboard may have listed before what it is told of was there (rule 16)."""
    play = Play()
    play.tick(0)
    assert play.tell(Hinted(6), 0.25) == ()
    actions = play.tell(HeadFound(at(0), seen(record(5, 5, topology=VIEW), 0.5)), 0.5)
    assert only(ReadNext, actions) == ReadNext(6)
