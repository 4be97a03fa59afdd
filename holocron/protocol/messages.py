"""What goes into the election and what comes out of it: events are past tense, actions imperative."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holocron.clock import Instant
from holocron.records import Cause, Epoch, Member, Published

__all__ = [
    "Action",
    "AskedToPublish",
    "AskedToRelease",
    "BeliefLapsed",
    "ChainFound",
    "ChainFoundEmpty",
    "ClaimLost",
    "ClaimOrphaned",
    "ClaimRefused",
    "ClaimUnknown",
    "ClaimWon",
    "ControlHandled",
    "CreateEpoch",
    "Draft",
    "Event",
    "HeadChanged",
    "HeadConfirmed",
    "HeadFound",
    "Hinted",
    "LookFailed",
    "LookForHead",
    "NextAbsent",
    "NextFound",
    "NoteElectionLost",
    "NoteReleased",
    "NoteStopped",
    "NoteTenureBegan",
    "NoteTenureEnded",
    "NoteTenureRenewed",
    "PollFailed",
    "Publishing",
    "ReadNext",
    "Reason",
    "Seen",
    "SettlePublish",
    "StandingChanged",
    "StoreBroken",
    "SupersededByNewer",
    "Tenure",
    "Ticked",
    "TopologyFormed",
]


class Reason(StrEnum):
    """Why leadership ended (rule 13). Values are what logs and metrics carry."""

    EXPIRED = "expired"
    TAKEN_OVER = "taken over"
    SUPERSEDED = "superseded"
    STORE_UNREACHABLE = "store unreachable"
    RELEASED = "released"
    STORE_DISHONEST = "store dishonest"


# --- values ---------------------------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """An epoch as this process knows it.

    `record` is None where the object cannot be read: held by someone we cannot read, for as long as the cluster
    allows any lease to last. `mark` is what the successor must name as its predecessor: the record's nonce, or the
    digest of unreadable bytes. `read` is the instant at which our read of it *ended*, from which a waiter counts.
    `credit_s` is waiting that the store's own clock vouches for (rule 11, opt-in), else 0. `carried` is what was
    published last below an epoch that cannot be read, where this process had not seen that itself.
    """

    epoch: int
    record: Epoch | None
    mark: str
    read: Instant
    credit_s: float = 0.0
    carried: Published | None = None


class Tenure(msgspec.Struct, frozen=True):
    """What a leader believes: `term` is its fencing token, and it lasts `belief_s` from `since`, no longer (rule 2)."""

    term: int
    epoch: int
    since: Instant
    belief_s: float


class Publishing(msgspec.Struct, frozen=True):
    """What waits to ride in the next epoch, and the ticket under which its caller waits for the outcome.

    A value to be published, or a pause of so many seconds (rule 14; 0 ends one), whichever is not None.
    """

    ticket: int
    value: bytes | None = None
    pause_s: float | None = None


class Draft(msgspec.Struct, frozen=True):
    """An epoch as the rules want it. The shell adds the cluster, a fresh nonce, the wall time and the known floor."""

    epoch: int
    term: int
    kind: str
    cause: Cause
    previous: str
    control: int
    heir: str | None
    published: Published | None
    topology: tuple[Member, ...]
    # What is left of a pause, 0 without one.
    paused_s: float = 0.0


# --- events ---------------------------------------------------------------------------------------------------------


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed; nothing else happened."""


class HeadFound(msgspec.Struct, frozen=True):
    """A LIST that began at `asked` showed that `seen` is the head, and it was then read."""

    asked: Instant
    seen: Seen


class HeadConfirmed(msgspec.Struct, frozen=True):
    """A LIST that began at `asked` showed that the epoch known to be the head still is."""

    asked: Instant


class ChainFoundEmpty(msgspec.Struct, frozen=True):
    """A LIST that began at `asked` showed that no epoch was ever created."""

    asked: Instant


class LookFailed(msgspec.Struct, frozen=True):
    """The head could not be found out; the store did not answer."""


class NextFound(msgspec.Struct, frozen=True):
    """A read showed that the next epoch exists."""

    seen: Seen
    took_s: float = 0.0


class NextAbsent(msgspec.Struct, frozen=True):
    """A read that began at `asked` was told that there is no next epoch: nothing new, and no more than that."""

    asked: Instant
    took_s: float = 0.0


class PollFailed(msgspec.Struct, frozen=True):
    """The read of the next epoch did not come through."""


class ClaimWon(msgspec.Struct, frozen=True):
    """The epoch asked for is ours and above the floor; `mark` is its nonce."""

    seen: Seen


class ClaimLost(msgspec.Struct, frozen=True):
    """Someone else holds the epoch asked for; `seen` where it could be found out who."""

    seen: Seen | None


class ClaimUnknown(msgspec.Struct, frozen=True):
    """The epoch asked for may or may not be ours: time ran out before it could be told."""


class ClaimRefused(msgspec.Struct, frozen=True):
    """The epoch asked for was certainly not created."""


class ClaimOrphaned(msgspec.Struct, frozen=True):
    """The epoch asked for lies below the floor: we slept through history, and what we wrote is no part of it."""


class StandingChanged(msgspec.Struct, frozen=True):
    """The application wants to lead, or no longer."""

    standing: bool


class AskedToPublish(msgspec.Struct, frozen=True):
    """The application wants a value, or a pause, to ride in the next epoch."""

    publishing: Publishing


class AskedToRelease(msgspec.Struct, frozen=True):
    """Work is drained: give up leadership, to `heir` first if one is named."""

    heir: str | None


class TopologyFormed(msgspec.Struct, frozen=True):
    """The leader's own view of everyone, for the next lock file."""

    members: tuple[Member, ...]


class ControlHandled(msgspec.Struct, frozen=True):
    """Control requests up to `number` have been dealt with; the last one wants a pause of `pause_s` (rule 14; 0 ends
    one), unless that is None.

    One event, so that the first epoch that says that the request was handled is the one that the pause rides in.
    """

    number: int
    pause_s: float | None = None


class BeliefLapsed(msgspec.Struct, frozen=True):
    """Someone asked whether the lease is valid and was told no; it must never be told yes again."""


class SupersededByNewer(msgspec.Struct, frozen=True):
    """A newer incarnation of this node was found (rule 11)."""


class StoreBroken(msgspec.Struct, frozen=True):
    """The store went back on its word (rule 13)."""

    why: str


class Hinted(msgspec.Struct, frozen=True):
    """Someone says that epoch `epoch` is there. Nobody vouches for it (rule 16)."""

    epoch: int


Event = (
    Ticked
    | HeadFound
    | HeadConfirmed
    | ChainFoundEmpty
    | LookFailed
    | NextFound
    | NextAbsent
    | PollFailed
    | ClaimWon
    | ClaimLost
    | ClaimUnknown
    | ClaimRefused
    | ClaimOrphaned
    | StandingChanged
    | AskedToPublish
    | AskedToRelease
    | TopologyFormed
    | ControlHandled
    | BeliefLapsed
    | SupersededByNewer
    | StoreBroken
    | Hinted
)
# The events that tell how the one request in flight on the epoch chain ended.
ChainFound = HeadFound | HeadConfirmed | ChainFoundEmpty


# --- actions --------------------------------------------------------------------------------------------------------


class LookForHead(msgspec.Struct, frozen=True):
    """LIST the epochs from `known` on (None: from the floor) and read the head if it is another than `known`."""

    known: int | None


class ReadNext(msgspec.Struct, frozen=True):
    """GET epoch `number`."""

    number: int


class CreateEpoch(msgspec.Struct, frozen=True):
    """Create the epoch of `draft`; what is not settled within `within_s` of `since` is unknown."""

    draft: Draft
    since: Instant
    within_s: float


class NoteTenureBegan(msgspec.Struct, frozen=True):
    """This node leads."""

    tenure: Tenure


class NoteTenureRenewed(msgspec.Struct, frozen=True):
    """This node leads on."""

    tenure: Tenure


class NoteTenureEnded(msgspec.Struct, frozen=True):
    """This node leads no more."""

    tenure: Tenure
    reason: Reason


class NoteElectionLost(msgspec.Struct, frozen=True):
    """This node tried to lead and another was first, or the outcome is not known."""


class NoteReleased(msgspec.Struct, frozen=True):
    """A release asked for is done with: written as `epoch`, or None where it was not (the lease lapses by itself)."""

    epoch: int | None


class NoteStopped(msgspec.Struct, frozen=True):
    """This node takes no further part: superseded, or on a store that broke its word."""

    reason: Reason
    why: str


class HeadChanged(msgspec.Struct, frozen=True):
    """The newest epoch that this node knows is another than before."""

    seen: Seen


class SettlePublish(msgspec.Struct, frozen=True):
    """Tell the caller of `ticket`: published in `epoch`; or not and never (`refused`); or else not known."""

    ticket: int
    epoch: int | None
    refused: bool = False


Action = (
    LookForHead
    | ReadNext
    | CreateEpoch
    | NoteTenureBegan
    | NoteTenureRenewed
    | NoteTenureEnded
    | NoteElectionLost
    | NoteReleased
    | NoteStopped
    | HeadChanged
    | SettlePublish
)
