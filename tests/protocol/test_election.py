"""Beliefs and endings: when a lease begins, how long it is believed, and what ends it for good."""

from __future__ import annotations

import pytest

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s
from holocron.protocol.election import Role, Rules, believes, due_s, leader_of, role, step
from holocron.protocol.messages import (
    AskedToPublish,
    AskedToRelease,
    BeliefLapsed,
    ChainFoundEmpty,
    ClaimWon,
    CreateEpoch,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookForHead,
    NextFound,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    Publishing,
    ReadNext,
    Reason,
    SettlePublish,
    StandingChanged,
    StoreBroken,
    SupersededByNewer,
)
from holocron.records import Epoch
from tests.protocol.made import (
    BELIEF_S,
    RENEW_S,
    TTL_MAX_S,
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
    unreadable,
)


def test_first_leader_counts_its_lease_from_before_the_list() -> None:
    """The lease of a takeover is counted from before the LIST, however long its PUT took (rule 2, I1)."""
    play = Play()
    assert play.tick(1) == (LookForHead(None),)
    claim = only(CreateEpoch, play.tell(ChainFoundEmpty(at(1)), 2))
    assert (claim.since, claim.draft.epoch, claim.draft.term, claim.draft.cause) == (at(1), 1, 1, "first")
    began = only(NoteTenureBegan, play.wins(5))
    assert began.tenure.since == at(1)
    assert believes(began.tenure, at(1 + BELIEF_S - 0.125))
    assert not believes(began.tenure, at(1 + BELIEF_S))


def test_renewal_counts_its_lease_from_before_its_first_send() -> None:
    """The lease of a renewal is counted from before it was sent, never from the answer (rule 2, I1)."""
    play = leading()
    claim = only(CreateEpoch, play.tick(RENEW_S))
    assert (claim.since, claim.draft.epoch, claim.draft.term, claim.draft.previous) == (at(RENEW_S), 2, 1, "nonce-1")
    assert claim.within_s == BELIEF_S - RENEW_S
    renewed = only(NoteTenureRenewed, play.wins(6))
    assert renewed.tenure.since == at(RENEW_S)
    assert (renewed.tenure.term, renewed.tenure.epoch) == (1, 2)


def test_answer_after_the_whole_lease_makes_no_leader() -> None:
    """A takeover confirmed after its own lease was over is not believed (rules 2 and 6, I1)."""
    play = Play()
    play.tick(0)
    play.tell(ChainFoundEmpty(at(0)), 0)
    actions = play.wins(BELIEF_S)
    assert none_of(NoteTenureBegan, actions)
    assert NoteElectionLost() in actions
    assert play.state.tenure is None
    assert only(LookForHead, actions).known == 1


def test_margin_is_paid_by_the_holder() -> None:
    """The holder believes for ttl minus margin while a follower waits the whole ttl (rule 3)."""
    assert BELIEF_S < TTL_S
    assert not believes(leading().state.tenure, at(BELIEF_S))
    assert following(seen(record(1, topology=(member("b", 1), member("a", 2))), 0)).looks(0, 60) == TTL_S


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (at(BELIEF_S, asleep_s=BELIEF_S), "a suspend"),
        (at(0.25, wall_step_s=BELIEF_S), "a snapshot of the virtual machine, put back later"),
        (at(BELIEF_S, wall_step_s=-3600), "a wall clock set back"),
    ],
)
def test_holder_counts_every_second_it_can_see(now: Instant, what: str) -> None:
    """Whichever of BOOTTIME and wall clock ran further ends the belief (rule 4)."""
    assert believes(leading().state.tenure, at(0.25)), what
    assert not believes(leading().state.tenure, now), what


def test_belief_does_not_survive_a_clock_before_its_beginning() -> None:
    """A clock that shows less than the beginning of the lease is no reason to believe (rule 4)."""
    assert not believes(leading().state.tenure, at(-1))


def test_waiter_counts_no_second_twice() -> None:
    """The waiter takes the smaller of BOOTTIME and MONOTONIC and never looks at the wall clock (rule 4)."""
    assert elapsed_waiter_s(at(0), at(TTL_S, asleep_s=5)) == TTL_S - 5
    assert elapsed_waiter_s(at(0), at(1, wall_step_s=3600)) == 1
    assert elapsed_holder_s(at(0), at(1, wall_step_s=3600)) == 3601


def test_late_renewal_ends_the_term() -> None:
    """A renewal confirmed after the holder's own deadline does not prolong the term; a new one follows (rule 6, I6)."""
    play = leading()
    play.tick(RENEW_S)
    actions = play.wins(BELIEF_S)
    ended = only(NoteTenureEnded, actions)
    assert (ended.tenure.term, ended.reason) == (1, Reason.STORE_UNREACHABLE)
    assert none_of(NoteTenureRenewed, actions)
    assert only(LookForHead, actions).known == 2
    play.tell(HeadFound(at(7), seen(record(2, 1, "a"), 7.25)), 7.25)
    assert (play.draft().epoch, play.draft().term) == (3, 3)


def test_belief_that_was_denied_is_never_given_back() -> None:
    """Once anyone was told that the lease is over, the tenure is over, even where a renewal is still in flight (I6)."""
    play = leading()
    play.tick(RENEW_S)
    actions = play.tell(BeliefLapsed(), 3)
    assert only(NoteTenureEnded, actions).reason is Reason.EXPIRED
    assert none_of(NoteTenureRenewed, play.wins(3.25))
    assert play.state.tenure is None


def test_lapse_comes_before_whatever_the_event_says() -> None:
    """The clock is read at each step, and not a timer: right after a pause the lease is over (rule 4)."""
    play = leading()
    actions = play.tell(AskedToPublish(Publishing(7, b"x")), BELIEF_S + 60)
    assert only(NoteTenureEnded, actions).reason is Reason.EXPIRED
    assert only(SettlePublish, actions) == SettlePublish(7, None, refused=True)


def test_resumed_node_does_not_inherit_its_former_lease() -> None:
    """A new incarnation waits its former self's lease out like anyone (rule 11, I8)."""
    play = following(seen(record(4, 4, "a", incarnation=1), 0), seat("a", incarnation=2))
    assert none_of(CreateEpoch, tuple(play.log))
    assert play.looks(0, 60) == TTL_S


def test_operator_may_vouch_for_the_former_selfs_death() -> None:
    """With `assume_dead` an earlier incarnation of this node is not waited for; everyone else is (rule 11)."""
    rules = Rules(TTL_S, BELIEF_S, RENEW_S, 0.25, 64.0, assume_dead=True)
    own = following(seen(record(4, 4, "a", incarnation=1), 0), seat("a", incarnation=2), rules)
    assert own.draft().term == 5
    assert own.draft().cause == "expired"
    other = following(seen(record(4, 4, "b", incarnation=1), 0), seat("a", incarnation=2), rules)
    assert none_of(CreateEpoch, tuple(other.log))
    newer = following(seen(record(4, 4, "a", incarnation=3), 0), seat("a", incarnation=2), rules)
    assert none_of(CreateEpoch, tuple(newer.log))


def test_a_former_self_that_comes_forward_is_not_dead_whoever_vouched() -> None:
    """A lease that an earlier incarnation writes while this one looks on is waited out like anyone's (rule 11, I8)."""
    rules = Rules(TTL_S, BELIEF_S, RENEW_S, 0.25, 64.0, assume_dead=True)
    play = following(seen(record(4, 4, "b"), 0), seat("a", incarnation=2), rules)
    assert ReadNext(5) in play.tick(RENEW_S)
    play.tell(NextFound(seen(record(5, 5, "a", incarnation=1), RENEW_S)), RENEW_S)
    assert none_of(CreateEpoch, tuple(play.log))
    assert play.looks(RENEW_S, 60) == RENEW_S + TTL_S


def test_waiting_that_the_store_vouches_for_counts() -> None:
    """Credit by the store's own clock shortens the wait by just that much, and never below nothing (rule 11)."""
    view = (member("b", 1), member("a", 2))
    assert following(seen(record(4, 4, topology=view), 0, credit_s=6.0)).looks(0, 60) == TTL_S - 6
    assert following(seen(record(4, 4, topology=view), 0, credit_s=600.0)).draft().term == 5


def test_superseded_node_stops_for_ever() -> None:
    """A node that learns of its newer incarnation ends its tenure and takes no further part (rules 11 and 13)."""
    play = leading()
    actions = play.tell(SupersededByNewer(), 1)
    assert only(NoteTenureEnded, actions).reason is Reason.SUPERSEDED
    assert only(NoteStopped, actions).reason is Reason.SUPERSEDED
    assert role(play.state) == "stopped"
    assert due_s(play.state, at(2)) is None
    assert play.tick(100) == ()
    assert play.tell(HeadFound(at(100), seen(record(9), 100)), 100) == ()


def test_broken_store_stops_for_ever_and_leaves_no_caller_waiting() -> None:
    """A dishonest store ends everything; a publish in flight is unknown, one that waited is refused (rule 13, I10)."""
    play = leading()
    play.tell(AskedToPublish(Publishing(1, b"in flight")), 1)
    play.tell(AskedToPublish(Publishing(2, b"waits")), 1)
    actions = play.tell(StoreBroken("no"), 1.5)
    assert SettlePublish(1, None) in actions
    assert SettlePublish(2, None, refused=True) in actions
    assert only(NoteTenureEnded, actions).reason is Reason.STORE_DISHONEST
    assert only(NoteStopped, actions) == NoteStopped(Reason.STORE_DISHONEST, "no")
    assert play.tell(AskedToPublish(Publishing(3, b"late")), 2) == (SettlePublish(3, None, refused=True),)
    assert play.tell(AskedToRelease(None), 2) == (NoteReleased(None),)


def test_claim_won_after_the_stop_makes_no_leader() -> None:
    """What was in flight when a node stopped cannot be believed any more (rules 11 and 13)."""
    play = leading()
    play.tick(RENEW_S)
    play.tell(SupersededByNewer(), 2.5)
    assert play.tell(ClaimWon(seen(record(2, 1, "a"), 2.75)), 2.75) == ()
    assert play.state.tenure is None


@pytest.mark.parametrize(
    "after",
    [
        HeadFound(at(2), seen(record(4), 2)),
        ChainFoundEmpty(at(2)),
        NextFound(seen(record(6, previous="another"), 2)),
    ],
    ids=["an older head", "an empty chain", "a successor of another epoch"],
)
def test_steps_back_are_noticed(after: HeadFound | ChainFoundEmpty | NextFound) -> None:
    """A chain that goes backward, or whose history was rewritten, stops the node loudly (rule 13, I5 and I7)."""
    play = following(seen(record(5), 1))
    stopped = only(NoteStopped, play.tell(after, 2))
    assert stopped.reason is Reason.STORE_DISHONEST
    assert stopped.why


@pytest.mark.parametrize(
    "odd",
    [
        record(6, 7),
        record(6, 2),
        record(6, 5, ttl_s=65.0),
        record(6, 5, renew_s=0.001),
        record(6, 5, renew_s=86400.0, release=True, heir="b"),
    ],
    ids=[
        "a term above its epoch",
        "a token that goes down",
        "a ttl above the cluster's",
        "a round that is no time at all",
        "a round that outlasts its ttl",
    ],
)
def test_record_that_the_rules_could_not_write_is_one_we_cannot_read(odd: Epoch) -> None:
    """An implausible record is held by someone unreadable, waited out for the cluster's longest ttl (I7, I12)."""
    play = following(seen(record(5, 5), 0))
    play.tick(1.5)
    play.tell(NextFound(seen(odd, 1.5)), 1.5)
    assert play.state.head is not None
    assert play.state.head.record is None
    assert play.state.head.mark == "nonce-6"
    assert leader_of(play.state) is None
    assert play.looks(1.5, 600) == 1.5 + TTL_MAX_S


def test_unreadable_head_is_waited_out_then_followed_with_its_digest_as_predecessor() -> None:
    """Bytes that nobody can read shorten no lease and do not block the chain for ever (I12)."""
    play = following(unreadable(5, 0))
    assert play.looks(0, 600) == TTL_MAX_S
    play.tell(HeadConfirmed(at(TTL_MAX_S)), TTL_MAX_S + 0.25)
    draft = play.draft()
    assert (draft.epoch, draft.term, draft.previous, draft.cause) == (6, 6, "digest-5", "expired")


def test_roles_are_told_apart() -> None:
    """Roles: solo before the first look, follower, candidate while it tries, leader, stopped (design section 4)."""
    play, told = Play(), list[Role]()
    told.append(role(play.state))
    play.tick(0)
    told.append(role(play.state))
    play.tell(ChainFoundEmpty(at(0)), 0)
    told.append(role(play.state))
    play.wins(0.25)
    told.append(role(play.state))
    assert told == ["solo", "solo", "candidate", "leader"]
    assert role(following(seen(record(1), 0)).state) == "follower"


def test_node_that_does_not_stand_only_watches() -> None:
    """Who does not stand never tries, whatever is free, and tries as soon as it is told to stand (rule 8)."""
    empty = Play(standing=False)
    empty.tick(0)
    assert none_of(CreateEpoch, empty.tell(ChainFoundEmpty(at(0)), 0))
    empty.idles(0, 100)
    released = following(seen(record(3, 3, release=True), 0), standing=False)
    released.idles(0, 100)
    assert none_of(CreateEpoch, (*empty.log, *released.log))
    assert LookForHead(None) in empty.tell(StandingChanged(True), 100)


def test_step_is_a_function() -> None:
    """The same state, event and instant give the same answer, and the state given is left alone (I13)."""
    before = following(seen(record(5), 0)).state
    event = NextFound(seen(record(6), 1))
    assert step(before, event, at(1)) == step(before, event, at(1))
    assert before.head is not None
    assert before.head.epoch == 5
    assert any(isinstance(action, HeadChanged) for action in step(before, event, at(1))[1])
