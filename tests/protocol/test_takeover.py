"""Following a leader: when, in which order, and what comes of each outcome."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holocron.protocol.election import heirs, role
from holocron.protocol.messages import (
    ClaimLost,
    ClaimOrphaned,
    ClaimRefused,
    ClaimUnknown,
    CreateEpoch,
    Event,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookFailed,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteElectionLost,
    NoteTenureBegan,
    PollFailed,
    ReadNext,
)
from holocron.records import Published
from tests.protocol.made import (
    BELIEF_S,
    RENEW_S,
    STAGGER_S,
    TTL_S,
    Play,
    at,
    following,
    member,
    none_of,
    only,
    record,
    seat,
    seen,
)

VIEW = (member("b", 1), member("a", 2), member("c", 3), member("d", 4))


def candidate(read_s: float = 0.0) -> Play:
    """The first heir of a leader that fell silent, its LIST of the takeover under way since the lease was over."""
    play = following(seen(record(5, 5, topology=VIEW), read_s))
    assert play.looks(read_s, 60) == read_s + TTL_S
    return play


def taking() -> Play:
    """The same, with its epoch asked for."""
    play = candidate()
    play.tell(HeadConfirmed(at(TTL_S)), TTL_S + 0.25)
    return play


def test_wait_is_the_ttl_of_the_record() -> None:
    """A waiter waits the ttl of the record it waits on, not its own (rule 3, I8)."""
    assert following(seen(record(5, 5, ttl_s=20.0, topology=VIEW), 0)).looks(0, 60) == 20
    assert following(seen(record(5, 5, ttl_s=3.0, topology=VIEW), 0)).looks(0, 60) == 3


def test_wait_begins_at_the_end_of_the_read() -> None:
    """The wait is counted from when the read of the head ended, not from when it was asked for (rule 3)."""
    assert following(seen(record(5, 5, topology=VIEW), 3.5), asked_s=0).looks(3.5, 60) == 3.5 + TTL_S


def test_newer_epoch_begins_the_wait_again() -> None:
    """Each renewal that is seen is waited on from its own read (rule 3, I8)."""
    play = following(seen(record(5, 5, topology=VIEW), 0))
    assert play.tick(1) == (ReadNext(6),)
    play.tell(NextFound(seen(record(6, 5, topology=VIEW), 1)), 1)
    assert play.looks(1, 60) == 1 + TTL_S


def test_suspended_waiter_does_not_count_its_sleep() -> None:
    """Time that MONOTONIC did not see is not waited (rule 4); nor is a wall clock set forward."""
    play = following(seen(record(5, 5, topology=VIEW), 0))
    for now in (at(TTL_S + 1, asleep_s=2), at(TTL_S - 1, wall_step_s=3600)):
        assert none_of(LookForHead, play.tick(now))
        play.tell(NextAbsent(now), now)
    assert LookForHead(5) in play.tick(at(TTL_S + 2, asleep_s=2))


def test_absent_successor_is_not_a_dead_leader() -> None:
    """A 404 on N+1 says "nothing new": after the wait too, the takeover starts with a LIST (rule 7)."""
    play = candidate()
    assert isinstance(play.log[-1], LookForHead)
    assert none_of(CreateEpoch, tuple(play.log))
    assert role(play.state) == "candidate"


def test_takeover_goes_on_only_if_the_head_is_still_the_head() -> None:
    """The LIST that finds a newer head ends the try, and that head is waited on instead (rule 7, I8)."""
    play = candidate()
    actions = play.tell(HeadFound(at(TTL_S), seen(record(40, 7, "c", topology=VIEW), 8.25)), 8.25)
    assert none_of(CreateEpoch, actions)
    assert role(play.state) == "follower"
    assert play.looks(8.25, 60) == 8.25 + TTL_S + STAGGER_S, "b is the first heir of c"


def test_first_look_of_an_arrival_is_not_a_takeover() -> None:
    """A LIST that confirms the head before the wait is over leads to no claim (rule 7)."""
    play = following(seen(record(5, 5, topology=VIEW), 0))
    assert none_of(CreateEpoch, tuple(play.log))
    assert none_of(CreateEpoch, play.tell(HeadConfirmed(at(1)), 1))


def test_takeover_begins_a_new_term_and_counts_from_before_the_list() -> None:
    """The claim names its predecessor and begins a term; its lease counts from before the LIST (rules 1, 2, 6)."""
    play = taking()
    claim = play.claim()
    assert (claim.draft.epoch, claim.draft.term, claim.draft.previous) == (6, 6, "nonce-5")
    assert (claim.draft.cause, claim.draft.kind, claim.since) == ("expired", "lease", at(TTL_S))
    began = only(NoteTenureBegan, play.wins(9))
    assert (began.tenure.term, began.tenure.since, began.tenure.belief_s) == (6, at(TTL_S), BELIEF_S)


def test_takeover_carries_over_what_was_published_and_handled() -> None:
    """A successor keeps the published value, the last control request and the view (design section 2)."""
    value = Published(value=b"v", epoch=4, term=4)
    play = following(seen(record(5, 5, topology=VIEW, published=value, control=9), 0))
    play.looks(0, 60)
    play.tell(HeadConfirmed(at(TTL_S)), TTL_S)
    assert (play.draft().published, play.draft().control, play.draft().topology) == (value, 9, VIEW)


def test_failover_costs_one_list_and_one_claim() -> None:
    """Without contention a failover is one LIST and one PUT of the winner (rule 8, I14)."""
    play = taking()
    asked = [type(action) for action in play.log if isinstance(action, LookForHead | CreateEpoch)]
    assert asked == [LookForHead, LookForHead, CreateEpoch], "the first LIST is that of the arrival"


def test_loser_follows_the_winner() -> None:
    """A claim lost to a known winner makes that winner's epoch the head, to be waited on (rule 1, I3)."""
    play = taking()
    actions = play.tell(ClaimLost(seen(record(6, 6, "c", topology=VIEW), 8.5)), 8.5)
    assert NoteElectionLost() in actions
    assert only(HeadChanged, actions).seen.epoch == 6
    assert play.looks(8.5, 60) == 8.5 + TTL_S + STAGGER_S, "b is the first heir of c"


@pytest.mark.parametrize("event", [ClaimLost(None), ClaimOrphaned()], ids=["lost to whom", "orphaned"])
def test_who_cannot_tell_where_it_stands_looks_at_once(event: Event) -> None:
    """After an orphan, or a loss to who knows whom, the head is looked for before anything else (rule 7, I4)."""
    play = taking()
    actions = play.tell(event, 8.5)
    assert actions == (NoteElectionLost(), LookForHead(5))
    assert play.state.tenure is None


def test_unknown_claim_is_no_leadership() -> None:
    """An unknown outcome is neither: nobody leads by it, and the head is looked for afresh (design section 3)."""
    play = taking()
    assert play.tell(ClaimUnknown(), 8.5) == (NoteElectionLost(),)
    assert role(play.state) == "solo"
    assert play.tick(8.5) == ()
    assert play.tick(10) == (LookForHead(5),)
    play.tell(HeadFound(at(10), seen(record(6, 6, "a", topology=VIEW), 10)), 10)
    assert play.state.tenure is None, "the epoch turned out to be ours, and nobody believes in it"
    turn_s = play.looks(10, 60)
    assert turn_s is not None
    assert turn_s < 10 + TTL_S, "nobody else can know that soon"
    play.tell(HeadConfirmed(at(turn_s)), turn_s)
    assert play.draft().term == 7, "what follows it is a new term (rule 6)"


def test_refused_claim_is_tried_again_from_a_list() -> None:
    """A claim that certainly was not written is tried again after a pause, with a LIST of its own (rule 7)."""
    play = taking()
    assert play.tell(ClaimRefused(), 8.5) == (NoteElectionLost(),)
    assert play.tick(8.5) == ()
    assert LookForHead(5) in play.tick(12)


@pytest.mark.parametrize("event", [LookFailed(), PollFailed()], ids=["look", "poll"])
def test_silent_store_is_asked_ever_less_often(event: Event) -> None:
    """Reads that fail are repeated after growing pauses, and never more than about a round apart (rule 10, I11)."""
    play = following(seen(record(5, 5, topology=VIEW), 0))
    now_s, pauses = 1.0, []
    for _ in range(12):
        play.state = replace(play.state, business=None)
        play.tell(event, now_s)
        pauses.append(play.state.after_s)
        now_s += 1
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] <= 1.25 * RENEW_S


def test_heirs_are_ordered_by_life_then_priority_then_rank() -> None:
    """The order of the heirs (rule 8): alive before late, then priority, then rank; who cannot lead is left out."""
    view = (
        member("b", 1),
        member("late", 2, priority=9, status="late"),
        member("gone", 3, priority=9, status="gone"),
        member("never", 4, priority=0),
        member("sits", 5, standing=False),
        member("young", 7),
        member("old", 6),
        member("strong", 8, priority=5),
    )
    assert heirs(record(5, topology=view)) == ("strong", "old", "young", "late")
    assert heirs(record(5, topology=view, release=True, heir="young")) == ("young", "strong", "old", "late")


def test_each_heir_tries_a_stagger_after_the_one_before() -> None:
    """Heirs try one after another, and the later ones only after a poll in their turn found nothing (rule 8)."""
    head = seen(record(5, 5, topology=VIEW), 0)
    turns = [following(head, seat(node)).looks(0, 60) for node in ("a", "c", "d")]
    assert turns == [TTL_S, TTL_S + STAGGER_S, TTL_S + 2 * STAGGER_S]
    late = following(head, seat("c"))
    late.looks(0, TTL_S)
    assert late.tick(TTL_S + STAGGER_S) == (ReadNext(6),)
    late.tell(NextFound(seen(record(6, 6, "a", topology=VIEW), 8.5)), 8.5)
    assert role(late.state) == "follower"
    assert late.looks(8.5, 60) == 8.5 + TTL_S + STAGGER_S, "c is the second heir of a, too: b is in the view"


def test_unknown_node_comes_after_all_heirs() -> None:
    """A node that the leader did not know yet waits behind everyone it did (rule 8)."""
    turn = following(seen(record(5, 5, topology=VIEW), 0), seat("zz")).looks(0, 60)
    assert turn is not None
    assert turn >= TTL_S + 3 * STAGGER_S


@pytest.mark.parametrize("node", ["a", "q", "zz", "0123456789ab", "fresh"])
def test_whoever_comes_upon_a_release_that_names_nobody_goes_at_once(node: str) -> None:
    """There is nobody to let go first, whatever the node's own share is; a lease is still waited out (rules 8, 9)."""
    gone = (member("b", 1), member("c", 2, standing=False))
    for view in ((), gone):
        assert following(seen(record(5, 4, release=True, topology=view), 0.25), seat(node)).draft().epoch == 6
        turn = following(seen(record(5, 4, topology=view), 0), seat(node)).looks(0, 60)
        assert turn is not None
        assert turn >= TTL_S


def test_priority_zero_never_leads() -> None:
    """Priority 0 never tries, not even on an empty or a released chain (rule 8)."""
    watcher = following(seen(record(5, 5, release=True), 0), seat(priority=0))
    watcher.idles(0, 300)
    assert none_of(CreateEpoch, tuple(watcher.log))


def test_release_needs_no_wait_and_no_list_of_its_own() -> None:
    """A release is followed from the very read that found it, LIST or poll, and the lease counts from it (2, 7, 9)."""
    head = seen(record(5, 4, release=True, topology=VIEW), 0.25)
    arrival = following(head)
    assert (arrival.draft().term, arrival.draft().cause, arrival.claim().since) == (6, "released", at(0))
    poller = following(seen(record(4, 4, topology=VIEW), 0))
    assert poller.tick(1) == (ReadNext(5),)
    poller.tell(NextFound(seen(record(5, 4, release=True, topology=VIEW), 1.25)), 1.25)
    assert (poller.draft().epoch, poller.draft().cause, poller.claim().since) == (6, "released", at(1))


def test_named_heir_goes_first() -> None:
    """A named heir tries at once; the others leave it 1.25 renewal periods from their own read (rule 9)."""
    head = seen(record(5, 4, release=True, heir="d", topology=VIEW), 0)
    named = following(head, seat("d"))
    assert (named.draft().epoch, named.draft().cause) == (6, "handover")
    assert following(head, seat("a")).looks(0, 60) == 1.25 * RENEW_S + STAGGER_S
    assert following(head, seat("c")).looks(0, 60) == 1.25 * RENEW_S + 2 * STAGGER_S


def test_lone_node_follows_its_own_lapsed_epoch_at_once() -> None:
    """An epoch of this very process that it does not believe in is nobody's: no wait, and a new term (rule 6)."""
    play = following(seen(record(5, 5, "a"), 0))
    assert (play.draft().epoch, play.draft().term) == (6, 6)
    other_process = following(seen(record(5, 5, "a", session="another"), 0))
    assert none_of(CreateEpoch, tuple(other_process.log)), "another process of the same incarnation may believe in it"
