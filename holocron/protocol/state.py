"""All that one node knows of the election, and what may be asked of it at any moment."""

from __future__ import annotations

from typing import Literal

import msgspec

from holocron.clock import Instant, elapsed_holder_s
from holocron.protocol.messages import Hinted, Publishing, Seen, Tenure
from holocron.records import Leader, Member, Published

__all__ = ["Business", "Election", "Pause", "Role", "Rules", "Seat", "believes", "leader_of", "paused_s", "role"]

Role = Literal["solo", "follower", "candidate", "leader", "stopped"]


class Seat(msgspec.Struct, frozen=True):
    """Who takes part: a node, its incarnation, and the one process (`session`) that speaks for both."""

    node: str
    incarnation: int
    session: str
    priority: int = 1


class Rules(msgspec.Struct, frozen=True):
    """The timings one node goes by, in seconds; `ttl_max_s` is the cluster's, and bounds any lease we cannot read."""

    ttl_s: float
    belief_s: float
    renew_every_s: float
    stagger_s: float
    ttl_max_s: float
    # The operator vouches that earlier incarnations of this node are dead (rule 11).
    assume_dead: bool = False


class Business(msgspec.Struct, frozen=True):
    """The one request under way on the epoch chain, and since when."""

    kind: Literal["look", "poll", "take", "renew", "release"]
    since: Instant
    tickets: tuple[Publishing, ...] = ()
    # Looks only: the wait is over and this LIST is the one that a takeover starts with (rule 7).
    takeover: bool = False
    # Polls only: the hint that this is done for (rule 16).
    hint: Hinted | None = None


class Pause(msgspec.Struct, frozen=True):
    """Leadership is to stay where it is for `for_s` from `since` on (rule 14)."""

    since: Instant
    for_s: float


class Election(msgspec.Struct, frozen=True):
    """All that one node knows of the election."""

    seat: Seat
    rules: Rules
    standing: bool = False
    stopped: bool = False
    # Whether the chain was ever looked at; before that the node is solo.
    looked: bool = False
    head: Seen | None = None
    tenure: Tenure | None = None
    business: Business | None = None
    # The next look, poll or try: `after_s` from `from_`. None: as soon as may be.
    from_: Instant | None = None
    after_s: float = 0.0
    # Polls in a row that found nothing, and hits since a poll last did (rule 10).
    misses: int = 0
    hits: int = 0
    # A poll that began after this node's turn had come found nothing: the earlier heirs have not acted (rule 8).
    turn_checked: bool = False
    failures: int = 0
    # What this node was told is there, and has not looked for since (rule 16).
    hint: Hinted | None = None
    # How many reads found nothing of what a hint had said, and from when on they are counted.
    wasted: int = 0
    wasted_since: Instant | None = None
    trip_s: float = 0.0
    # The leader's side.
    waiting: tuple[Publishing, ...] = ()
    releasing: bool = False
    heir: str | None = None
    control: int = 0
    published: Published | None = None
    view: tuple[Member, ...] = ()
    # As the head has it; what is left of it goes into the next epoch.
    pause: Pause | None = None


def believes(tenure: Tenure | None, now: Instant) -> bool:
    """Whether a process with this tenure may act as leader at `now` (rules 2, 3 and 4)."""
    return tenure is not None and 0 <= elapsed_holder_s(tenure.since, now) < tenure.belief_s


def paused_s(pause: Pause | None, now: Instant) -> float:
    """How much of `pause` is left at `now`; by the holder's clock, so that it never grows from epoch to epoch."""
    return 0.0 if pause is None else max(0.0, pause.for_s - max(0.0, elapsed_holder_s(pause.since, now)))


def role(state: Election) -> Role:
    """The node's role, as people are told it."""
    if state.stopped:
        return "stopped"
    if state.tenure is not None:
        return "leader"
    if not state.looked:
        return "solo"
    business = state.business
    return "candidate" if business is not None and (business.kind == "take" or business.takeover) else "follower"


def leader_of(state: Election) -> Leader | None:
    """Who leads as far as this node knows, or None: nobody, or someone it cannot read."""
    record = state.head.record if state.head is not None else None
    return record.leader if record is not None and record.kind == "lease" else None
