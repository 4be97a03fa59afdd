"""Rule 14: a pause keeps leadership where it is, for a bounded time, and only ever makes a wait longer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holocron.protocol.guarding import release_after
from holocron.protocol.messages import (
    AskedToPublish,
    AskedToRelease,
    ClaimRefused,
    ClaimWon,
    ControlHandled,
    CreateEpoch,
    HeadConfirmed,
    HeadFound,
    NextFound,
    Publishing,
    Seen,
    SettlePublish,
)
from holocron.protocol.state import paused_s
from holocron.protocol.turns import turn_s
from holocron.records import Epoch
from tests.protocol.made import RENEW_S, TTL_S, Play, at, member, record, seat, seen

PAUSE_S = 64.0


def paused(one: Epoch, for_s: float = PAUSE_S) -> Epoch:
    """`one`, with so much of a pause left."""
    return replace(one, paused_ms=int(for_s * 1000))


def knowing(head: Epoch, **who: int | str) -> Play:
    """A node that read `head` at 0."""
    play = Play(seat(**who))  # type: ignore[arg-type]  # as `seat` takes them
    play.tell(HeadFound(at(0), seen(head, 0)), 0)
    return play


def wait_s(play: Play) -> float:
    """How long the node waits from its read of the head."""
    assert play.state.head is not None
    return turn_s(play.state, play.state.head)


def drafted(play: Play, when: float) -> CreateEpoch:
    """The epoch that the node asks for at `when`."""
    return next(one for one in play.tick(when) if isinstance(one, CreateEpoch))


def led() -> Play:
    """A node that leads since 0, with epoch 2."""
    play = knowing(record(1, 1, "a", release=True, session="gone"))
    create = next(one for one in play.log if isinstance(one, CreateEpoch))
    won(play, create, 0)
    return play


def paused_by(create: CreateEpoch, one: Epoch) -> Epoch:
    """`one`, with the pause of the draft."""
    return paused(one, create.draft.paused_s) if create.draft.paused_s else one


def won(play: Play, create: CreateEpoch, when: float) -> None:
    """Tell the leader that the epoch it asked for is its own."""
    mine = paused_by(create, record(create.draft.epoch, create.draft.term, "a", session="a-1"))
    play.tell(ClaimWon(Seen(mine.epoch, mine, mine.nonce, at(when))), when)


@pytest.mark.parametrize("release", [False, True])
def test_nobody_else_follows_before_the_pause_is_over(release: bool) -> None:
    """Rule 14: whether the lease lapsed or was released, another node waits for what is left of the pause."""
    play = knowing(paused(record(5, 5, "b", release=release)))
    assert play.looks(0, PAUSE_S - 0.5) is None
    looked_s = play.looks(PAUSE_S - 0.5, PAUSE_S + 2)
    assert looked_s is not None
    assert looked_s >= PAUSE_S


@pytest.mark.parametrize("left_s", [0.001, TTL_S / 2, TTL_S])
def test_a_pause_never_shortens_a_wait(left_s: float) -> None:
    """Rules 3 and 14, I8: a pause that is shorter than the lease changes nothing about it."""
    plain, other = knowing(record(5, 5, "b")), knowing(paused(record(5, 5, "b"), left_s))
    assert wait_s(other) == wait_s(plain) >= TTL_S


def test_the_same_node_waits_as_ever() -> None:
    """Rules 11 and 14: the leader's next incarnation waits out the lease and not the pause."""
    again = knowing(paused(record(5, 5, "a", incarnation=1)), incarnation=2)
    plain = knowing(record(5, 5, "a", incarnation=1), incarnation=2)
    assert wait_s(again) == wait_s(plain) < PAUSE_S
    stopped = knowing(paused(record(5, 5, "a", incarnation=1, release=True)), incarnation=2)
    assert wait_s(stopped) == 0.0


def test_a_named_heir_follows_at_once() -> None:
    """Rules 9 and 14: a planned hand-over is a decision, and goes through in a pause; everyone else still waits."""
    view = (member("a"), member("c", 2))
    head = paused(record(5, 5, "b", release=True, heir="c", topology=view))
    assert wait_s(knowing(head, node="c")) == 0.0
    assert wait_s(knowing(head)) >= PAUSE_S


def test_a_pause_rides_in_the_next_epoch_at_once_and_is_counted_down() -> None:
    """Rule 14: whoever asked is answered with the epoch that says so; each renewal says how much is left."""
    play = led()
    asked = play.tell(AskedToPublish(Publishing(7, pause_s=PAUSE_S)), 0.5)
    create = next(one for one in asked if isinstance(one, CreateEpoch))
    assert (create.draft.paused_s, create.draft.published) == (PAUSE_S, None)
    assert not any(isinstance(one, SettlePublish) for one in play.log)
    won(play, create, 0.75)
    assert SettlePublish(7, create.draft.epoch) in play.log
    later = drafted(play, 0.5 + RENEW_S)
    assert later.draft.paused_s == PAUSE_S - RENEW_S
    won(play, later, 0.5 + RENEW_S)
    assert paused_s(play.state.pause, at(0.5 + PAUSE_S)) == 0.0


@pytest.mark.parametrize("pause_s", [2 * PAUSE_S, 0.0])
@pytest.mark.parametrize("due", [False, True])
def test_the_epoch_that_says_a_request_was_handled_says_what_became_of_the_pause(pause_s: float, due: bool) -> None:
    """Rule 14: over a running pause an operator could not tell the two apart else, also where a renewal was due."""
    play = led()
    won(play, next(o for o in play.tell(ControlHandled(3, PAUSE_S), 0.5) if isinstance(o, CreateEpoch)), 0.5)
    asked_s = 0.5 + RENEW_S if due else 1.0
    create = next(o for o in play.tell(ControlHandled(4, pause_s), asked_s) if isinstance(o, CreateEpoch))
    assert (create.draft.control, create.draft.paused_s) == (4, pause_s)


def test_a_request_that_comes_while_a_renewal_is_under_way_rides_in_the_next() -> None:
    """Rule 14: the renewal says that it was not handled yet; the next, also where that one is refused, says both."""
    play = led()
    renewal = drafted(play, RENEW_S)
    play.tell(ControlHandled(4, PAUSE_S), RENEW_S)
    assert (renewal.draft.control, renewal.draft.paused_s) == (0, 0.0)
    refused = play.tell(ClaimRefused(), RENEW_S)
    again = next((one for one in refused if isinstance(one, CreateEpoch)), None) or drafted(play, RENEW_S + 1)
    assert (again.draft.control, again.draft.paused_s) == (4, PAUSE_S)


def test_who_releases_pauses_no_more() -> None:
    """Rules 9 and 14: a request that comes too late is passed over, and the release does not carry it."""
    play = led()
    renewal = drafted(play, RENEW_S)
    play.tell(AskedToRelease(None), RENEW_S)
    play.tell(ControlHandled(4, PAUSE_S), RENEW_S)
    won(play, renewal, RENEW_S)
    release = [one for one in play.log if isinstance(one, CreateEpoch)][-1]
    assert (release.draft.kind, release.draft.paused_s) == ("release", 0.0)


def test_unpause_ends_it() -> None:
    """Rule 14: the next epoch says nothing of a pause any more, and whoever follows waits as ever."""
    play = led()
    won(
        play,
        next(o for o in play.tell(AskedToPublish(Publishing(1, pause_s=PAUSE_S)), 0.5) if isinstance(o, CreateEpoch)),
        0.5,
    )
    asked = play.tell(AskedToPublish(Publishing(2, pause_s=0.0)), 1)
    create = next(one for one in asked if isinstance(one, CreateEpoch))
    assert create.draft.paused_s == 0.0
    won(play, create, 1)
    assert play.state.pause is None
    follower = knowing(paused(record(5, 5, "b")))
    follower.tell(NextFound(seen(record(6, 5, "b"), 3)), 3)
    assert wait_s(follower) < PAUSE_S


def test_a_value_and_a_pause_ride_together() -> None:
    """Rules 13 and 14: neither hides the other, and both are answered with the one epoch."""
    play = led()
    play.tick(RENEW_S)
    play.tell(AskedToPublish(Publishing(1, b"v")), RENEW_S)
    play.tell(AskedToPublish(Publishing(2, pause_s=PAUSE_S)), RENEW_S)
    refused = play.tell(ClaimRefused(), RENEW_S)
    create = next((one for one in refused if isinstance(one, CreateEpoch)), None) or drafted(play, RENEW_S + 1)
    assert create.draft.paused_s == PAUSE_S
    assert create.draft.published is not None
    assert create.draft.published.value == b"v"


def test_what_is_left_goes_over_to_whoever_leads_next() -> None:
    """Rule 14: neither a release nor a takeover ends a pause, and none makes it longer."""
    play = led()
    won(
        play,
        next(o for o in play.tell(AskedToPublish(Publishing(1, pause_s=PAUSE_S)), 0.5) if isinstance(o, CreateEpoch)),
        0.5,
    )
    release = next(one for one in play.tell(AskedToRelease("c"), 1) if isinstance(one, CreateEpoch))
    assert (release.draft.kind, release.draft.paused_s) == ("release", PAUSE_S - 0.5)
    heir = knowing(paused(record(5, 5, "b", release=True, heir="a", topology=(member("a"),)), PAUSE_S))
    taken = next(one for one in heir.log if isinstance(one, CreateEpoch))
    assert taken.draft.paused_s == PAUSE_S


def test_a_takeover_after_the_pause_carries_none() -> None:
    """Rule 14, I11: once it has run out there is a leader again, and nothing of the pause is left."""
    play = knowing(paused(record(5, 5, "b")))
    looked_s = play.looks(0, PAUSE_S + 4)
    assert looked_s is not None
    taken = next(o for o in play.tell(HeadConfirmed(at(looked_s)), looked_s) if isinstance(o, CreateEpoch))
    assert taken.draft.paused_s == 0.0


def test_a_guardians_release_ends_no_pause() -> None:
    """Rules 14 and 15: a leader that was killed in a pause is followed by its own node alone, at once."""
    release = release_after(paused(record(5, 5, "b")), "guardian", "then")
    assert wait_s(knowing(release)) >= PAUSE_S
    assert wait_s(knowing(release, node="b", incarnation=2)) == 0.0
