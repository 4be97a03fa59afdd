"""Everything that Holocron raises: one tree, one type for each distinct reaction of the caller.

Losing an election is an outcome and never an exception. What is raised here means that something asked for
could not be done, and the message always says what to do about it.
"""

from __future__ import annotations

__all__ = [
    "HolocronError",
    "LeadTimeout",
    "LeadershipLost",
    "MissingExtra",
    "NodeExists",
    "NodeStopped",
    "NodeUnknown",
    "NotLeader",
    "OutcomeUnknown",
    "RecordUnreadable",
    "SettingsError",
    "StoreDenied",
    "StoreError",
    "StoreUnfit",
    "StoreUnreachable",
    "Superseded",
]


class HolocronError(Exception):
    """The base of every error that Holocron raises on purpose."""


class SettingsError(HolocronError, ValueError):
    """A value given by the caller makes no sense (an id, a URI, a duration, a relation between timings).

    Reaction: mend the value; nothing was read or written.
    """


class MissingExtra(HolocronError, ImportError):
    """An optional part is not installed. Reaction: install the extra that the message names."""


class StoreError(HolocronError):
    """The base of what can be wrong with the store."""


class StoreUnreachable(StoreError):
    """The store did not answer in time, or answered that it cannot serve now. Reaction: try again later."""


class StoreDenied(StoreError):
    """The store answered that it will not do this: credentials, permissions, a bucket that does not exist.

    Reaction: mend the configuration; trying again changes nothing.
    """


class StoreUnfit(StoreError):
    """The store breaks a promise that the protocol stands on: conditional writes that do not hold, an epoch
    chain that went backward, a prefix that was wiped under a running cluster.

    Reaction: do not run a cluster on this store; `holocron doctor` says what was found.
    """


class RecordUnreadable(HolocronError):
    """An object under the prefix could not be read as the record its key calls for.

    It is never overwritten and never taken for absent. Reaction: look at the object that the message names;
    a record of a newer format wants a newer Holocron.
    """


class NodeUnknown(HolocronError):
    """No node of this id has ever lived under this home. Reaction: check the id and the store, or start anew."""


class NodeExists(HolocronError):
    """A node of this id exists already. Reaction: resume it, or start under another id."""


class NodeStopped(HolocronError):
    """The node was stopped; this call needs a running one. Reaction: start or resume a node."""


class Superseded(HolocronError):
    """A newer incarnation of this node has taken its place. Reaction: stop; this process is the past."""


class NotLeader(HolocronError):
    """The call is the leader's alone and this node does not lead; nothing was written."""


class LeadershipLost(NotLeader):
    """The lease is over. Nothing that was refused with this error took or will take effect.

    `reason` is a `holocron.Reason`: why leadership ended.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class OutcomeUnknown(HolocronError):
    """A write was sent and could not be settled in time: it may have taken effect, now or later.

    Reaction: read before writing again.
    """


class LeadTimeout(HolocronError, TimeoutError):
    """Leadership did not come within the time given. Reaction: wait longer, or go on as a follower."""
