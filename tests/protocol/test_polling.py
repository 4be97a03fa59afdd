"""Followers poll in phase with their leader, and seldom (rule 10, I14)."""

from __future__ import annotations

import pytest

from holocron.protocol.election import due_s
from holocron.protocol.messages import (
    CreateEpoch,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookForHead,
    NextAbsent,
    NextFound,
    ReadNext,
)
from tests.protocol.made import RENEW_S, Play, at, following, member, none_of, record, seat, seen

VIEW = (member("b", 1), member("a", 2))


class Round:
    """A leader that renews every `RENEW_S`, and what one follower of it reads, answered `trip_s` later."""

    def __init__(self, trip_s: float, first_read_s: float, jitter_s: float = 0.0, priority: int = 1) -> None:
        self.trip_s, self.jitter_s, self.gets = trip_s, jitter_s, 0
        self.play: Play = following(seen(record(1, topology=VIEW), first_read_s), seat("a", priority=priority))
        self.now_s = first_read_s
        # How long after its creation each epoch became known.
        self.lags: list[float] = []

    def created_s(self, epoch: int) -> float:
        """When the leader's `epoch` is there to be read; every third one comes late by the jitter."""
        return (epoch - 1) * RENEW_S + (self.jitter_s if epoch % 3 == 0 else 0.0)

    def run(self, rounds: int) -> None:
        """Let the leader lead for so many rounds, and the follower poll."""
        while self.now_s < rounds * RENEW_S:
            wait_s = due_s(self.play.state, at(self.now_s))
            assert wait_s is not None, "nothing is under way, so something must be due"
            self.now_s += wait_s + 2.0**-20
            actions = self.play.tick(self.now_s)
            while actions:
                reads = [action for action in actions if isinstance(action, ReadNext)]
                assert all(isinstance(action, ReadNext | HeadChanged) for action in actions), actions
                if not reads:
                    break
                self.gets += 1
                asked_s, number = self.now_s, reads[0].number
                self.now_s += self.trip_s
                there = self.created_s(number) <= asked_s + self.trip_s / 2
                if there:
                    self.lags.append(self.now_s - self.created_s(number))
                    one = record(number, 1, topology=VIEW)
                    actions = self.play.tell(NextFound(seen(one, self.now_s), self.trip_s), self.now_s)
                else:
                    actions = self.play.tell(NextAbsent(at(asked_s), self.trip_s), self.now_s)


@pytest.mark.parametrize("trip_s", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("phase", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_healthy_leader_costs_a_follower_at_most_a_read_and_a_half_per_round(trip_s: float, phase: float) -> None:
    """At most 1.5 GET per follower and round, whatever the phase at which it came (rule 10, I14)."""
    game = Round(trip_s, phase * RENEW_S)
    game.run(200)
    assert game.gets <= 1.5 * 200
    assert len(game.lags) >= 198
    # A trip that is longer than the creep carries the polls back through the beat once more each round.
    assert max(game.lags[20:]) <= (RENEW_S / 2 if trip_s < RENEW_S / 32 else 1.25 * RENEW_S)


def test_leader_that_is_now_and_then_late_costs_little_more() -> None:
    """A leader that is a tenth of a round late now and then is followed within two GET a round (rule 10)."""
    game = Round(0.02, 0.3, jitter_s=RENEW_S / 10)
    game.run(200)
    assert game.gets <= 2 * 200
    assert max(game.lags[20:]) <= RENEW_S / 2


def test_follower_that_is_far_behind_catches_up() -> None:
    """Hits read on and misses re-phase: a follower that slept for forty rounds is soon up to date (rule 10, I11)."""
    game = Round(0.02, 0.0, priority=0)
    game.now_s = 40 * RENEW_S
    game.run(100)
    assert game.lags[-1] <= RENEW_S / 2
    assert game.play.state.head is not None
    assert game.play.state.head.epoch >= 99


def test_reading_on_after_five_hits_ends_with_a_404() -> None:
    """The fifth hit in a row, the arrival's own included, is read on until a 404 sets the beat anew (rule 10)."""
    play = following(seen(record(1, topology=VIEW), 0))
    now_s, follows = 0.0, list[bool]()
    for epoch in range(2, 6):
        now_s += 2
        assert play.tick(now_s) == (ReadNext(epoch),)
        actions = play.tell(NextFound(seen(record(epoch, topology=VIEW), now_s)), now_s)
        follows.append(ReadNext(epoch + 1) in actions)
    assert follows == [False, False, False, True]
    assert play.tell(NextAbsent(at(now_s)), now_s) == ()
    assert due_s(play.state, at(now_s)) == RENEW_S * 30 / 32


def test_hit_creeps_and_miss_asks_again_soon() -> None:
    """After a hit the next poll is 1/32 of a round early; after misses, in 1/8, then 1/4, then 1 round (rule 10)."""
    play = following(seen(record(1, topology=VIEW), 0), seat(priority=0))
    play.tick(2)
    play.tell(NextFound(seen(record(2, topology=VIEW), 2)), 2)
    assert due_s(play.state, at(2)) == RENEW_S * 31 / 32
    waits, now_s = [], 2.0
    for _ in range(18):
        wait_s = due_s(play.state, at(now_s))
        assert wait_s is not None
        now_s += wait_s
        if play.tick(now_s) == (LookForHead(2),):
            # The sixteenth miss of who does not stand.
            play.tell(HeadConfirmed(at(now_s)), now_s)
        assert play.log[-1] == ReadNext(3)
        play.tell(NextAbsent(at(now_s)), now_s)
        waits.append(due_s(play.state, at(now_s)))
    assert waits == [RENEW_S / 8] * 4 + [RENEW_S / 4] * 12 + [RENEW_S] * 2


def test_beat_is_the_leaders_own() -> None:
    """The follower's cadence is that of the record it follows, not its own setting (rules 3 and 10)."""
    play = following(seen(record(1, renew_s=32.0, ttl_s=64.0, topology=VIEW), 0))
    play.tick(8)
    play.tell(NextFound(seen(record(2, renew_s=32.0, ttl_s=64.0, topology=VIEW), 8)), 8)
    assert due_s(play.state, at(8)) == 31.0


@pytest.mark.parametrize("standing", [False, True])
def test_an_observer_that_slept_past_retention_catches_up(standing: bool) -> None:
    """Who never takes over LISTs at each sixteenth miss: what it polls for may have been trimmed (rules 7 and 10)."""
    play = following(seen(record(1, topology=VIEW), 0), seat("a", priority=0 if standing else 1), standing=standing)
    now_s, polls, lists = 0.0, 0, list[int]()
    while len(lists) < 3:
        wait_s = due_s(play.state, at(now_s))
        assert wait_s is not None
        now_s += wait_s
        actions = play.tick(now_s)
        if actions == (LookForHead(1),):
            lists.append(polls)
            actions = play.tell(HeadConfirmed(at(now_s)), now_s) if len(lists) < 3 else ()
        if actions:
            assert actions == (ReadNext(2),)
            polls += 1
            play.tell(NextAbsent(at(now_s)), now_s)
    assert lists == [16, 31, 46]
    play.tell(HeadFound(at(now_s), seen(record(500, topology=VIEW), now_s)), now_s)
    assert play.state.head is not None
    assert play.state.head.epoch == 500
    assert none_of(CreateEpoch, tuple(play.log))
