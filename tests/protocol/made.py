"""Records, instants and one node's play through the election, with everything that does not matter filled in.

All timings are binary fractions, so that the edges of a lease can be asserted exactly.
"""

from __future__ import annotations

from typing import TypeVar

from holocron.clock import Instant
from holocron.protocol.election import Election, Rules, Seat, due_s, step
from holocron.protocol.messages import (
    Action,
    ChainFoundEmpty,
    ClaimWon,
    CreateEpoch,
    Draft,
    Event,
    HeadConfirmed,
    HeadFound,
    LookForHead,
    NextAbsent,
    ReadNext,
    Seen,
    Ticked,
)
from holocron.records import Epoch, Heir, Leader, Member, Published, Status

TTL_S, BELIEF_S, RENEW_S, STAGGER_S, TTL_MAX_S = 8.0, 7.0, 2.0, 0.25, 64.0
RULES = Rules(ttl_s=TTL_S, belief_s=BELIEF_S, renew_every_s=RENEW_S, stagger_s=STAGGER_S, ttl_max_s=TTL_MAX_S)

_A = TypeVar("_A", bound=Action)


def at(seconds: float, *, asleep_s: float = 0.0, wall_step_s: float = 0.0) -> Instant:
    """The instant `seconds` into the test, `asleep_s` of it suspended, with the wall clock set by `wall_step_s`."""
    return Instant(1000.0 + seconds, 1000.0 + seconds - asleep_s, 2.0**30 + seconds + wall_step_s)


def member(node: str, rank: int = 1, priority: int = 1, standing: bool = True, status: Status = "alive") -> Member:
    """A row of a leader's view."""
    return Member(node=node, incarnation=1, status=status, rank=rank, priority=priority, standing=standing)


def record(
    epoch: int,
    term: int = 1,
    leader: str = "b",
    *,
    incarnation: int = 1,
    session: str | None = None,
    release: bool = False,
    previous: str | None = None,
    ttl_s: float = TTL_S,
    renew_s: float = RENEW_S,
    heir: str | None = None,
    published: Published | None = None,
    control: int = 0,
    topology: tuple[Member, ...] = (),
) -> Epoch:
    """Epoch `epoch` as `leader` wrote it; its nonce is `nonce-<epoch>`."""
    return Epoch(
        cluster="c",
        nonce=f"nonce-{epoch}",
        epoch=epoch,
        term=term,
        kind="release" if release else "lease",
        cause="renewed",
        leader=Leader(node=leader, incarnation=incarnation, session=session or f"{leader}-{incarnation}"),
        previous=(f"nonce-{epoch - 1}" if epoch > 1 else "") if previous is None else previous,
        ttl_ms=int(ttl_s * 1000),
        renew_ms=int(renew_s * 1000),
        floor=1,
        control=control,
        heir=Heir(node=heir) if heir is not None else None,
        published=published,
        topology=topology,
        written="",
    )


def seen(one: Epoch, read_s: float, credit_s: float = 0.0) -> Seen:
    """`one`, the read of which ended `read_s` into the test."""
    return Seen(one.epoch, one, one.nonce, at(read_s), credit_s)


def unreadable(epoch: int, read_s: float) -> Seen:
    """An epoch held by someone we cannot read."""
    return Seen(epoch, None, f"digest-{epoch}", at(read_s))


def seat(node: str = "a", incarnation: int = 1, priority: int = 1) -> Seat:
    """The seat of a node's only process of that incarnation."""
    return Seat(node, incarnation, f"{node}-{incarnation}", priority)


class Play:
    """One node's part: it is told events, and remembers its state and all that it did."""

    def __init__(self, who: Seat | None = None, rules: Rules = RULES, standing: bool = True) -> None:
        self.state = Election(who or seat(), rules, standing=standing)
        self.log: list[Action] = []

    def tell(self, event: Event, when: float | Instant) -> tuple[Action, ...]:
        """What the node does about `event` at `when`."""
        now = when if isinstance(when, Instant) else at(when)
        self.state, actions = step(self.state, event, now)
        self.log += actions
        return actions

    def tick(self, when: float | Instant) -> tuple[Action, ...]:
        """What the node does of itself at `when`."""
        return self.tell(Ticked(), when)

    def looks(self, start_s: float, end_s: float) -> float | None:
        """When the node next looks for the head, if from `start_s` on no poll finds anything; None: not by `end_s`."""
        now_s = start_s
        while now_s <= end_s:
            actions = self.tick(now_s)
            if any(isinstance(action, ReadNext) for action in actions):
                actions += self.tell(NextAbsent(at(now_s)), now_s)
            if any(isinstance(action, LookForHead) for action in actions):
                return now_s
            wait_s = due_s(self.state, at(now_s))
            assert wait_s is not None
            # A wait that rounds to nothing must not stop the test's time.
            now_s += max(wait_s, 2.0**-20)
        return None

    def idles(self, start_s: float, end_s: float) -> None:
        """From `start_s` to `end_s` nothing changes: no poll finds anything, and every LIST shows what was known."""
        now_s = start_s
        while now_s <= end_s:
            actions = self.tick(now_s)
            while actions:
                at_once: tuple[Action, ...] = ()
                for action in actions:
                    if isinstance(action, ReadNext):
                        at_once += self.tell(NextAbsent(at(now_s)), now_s)
                    elif isinstance(action, LookForHead):
                        empty = action.known is None
                        same = ChainFoundEmpty(at(now_s)) if empty else HeadConfirmed(at(now_s))
                        at_once += self.tell(same, now_s)
                actions = at_once
            wait_s = due_s(self.state, at(now_s))
            assert wait_s is not None
            now_s += max(wait_s, 2.0**-20)

    def draft(self) -> Draft:
        """The epoch that the node asked for last."""
        return self.claim().draft

    def claim(self) -> CreateEpoch:
        """The last request for an epoch."""
        return [action for action in self.log if isinstance(action, CreateEpoch)][-1]

    def wins(self, when: float | Instant) -> tuple[Action, ...]:
        """What the node does when told, at `when`, that the epoch it asked for is its own."""
        now = when if isinstance(when, Instant) else at(when)
        draft, who = self.draft(), self.state.seat
        one = record(
            draft.epoch,
            draft.term,
            who.node,
            incarnation=who.incarnation,
            session=who.session,
            release=draft.kind == "release",
            previous=draft.previous,
            heir=draft.heir,
            published=draft.published,
            topology=draft.topology,
        )
        return self.tell(ClaimWon(Seen(one.epoch, one, one.nonce, now)), now)


def following(
    head: Seen, who: Seat | None = None, rules: Rules = RULES, standing: bool = True, asked_s: float = 0.0
) -> Play:
    """A node that has just found `head` in its first LIST."""
    play = Play(who, rules, standing)
    play.tick(asked_s)
    play.tell(HeadFound(at(asked_s), head), head.read)
    return play


def leading(who: Seat | None = None, rules: Rules = RULES) -> Play:
    """A node that leads an otherwise empty chain: epoch 1, in term 1, its lease counted from 0."""
    play = Play(who, rules)
    play.tick(0)
    play.tell(ChainFoundEmpty(at(0)), 0)
    play.wins(0)
    return play


def only(kind: type[_A], actions: tuple[Action, ...]) -> _A:
    """The one action of `kind` among `actions`."""
    (one,) = [action for action in actions if isinstance(action, kind)]
    return one


def none_of(kind: type[Action], actions: tuple[Action, ...]) -> bool:
    """Whether there is no action of `kind` among `actions`."""
    return not any(isinstance(action, kind) for action in actions)
