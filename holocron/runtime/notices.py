"""What an engine tells the shell around it, beside what the election itself tells."""

from __future__ import annotations

import msgspec

from holocron.protocol.messages import (
    HeadChanged,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    SettlePublish,
)

__all__ = ["NewerIncarnation", "Notice", "StoodDown", "StoreLost", "StoreRegained", "Unreadable", "ViewShortened"]


class StoreLost(msgspec.Struct, frozen=True):
    """Notice: the store has stopped answering."""

    error: str


class StoreRegained(msgspec.Struct, frozen=True):
    """Notice: the store answers again."""


class Unreadable(msgspec.Struct, frozen=True):
    """Notice: an object lies where a record of the cluster belongs and cannot be read; it is left as it is."""

    error: str


class ViewShortened(msgspec.Struct, frozen=True):
    """Notice: the view of all members is too large for a lock file, so the lock file has `rows`, and less in each."""

    members: int
    rows: int


class StoodDown(msgspec.Struct, frozen=True):
    """Notice: an operator asked this leader to hand over; the shell drains its work and then releases."""

    heir: str | None
    by: str


class NewerIncarnation(msgspec.Struct, frozen=True):
    """Notice: a newer incarnation of this node was found; the election has stopped."""

    incarnation: int


Notice = (
    NoteTenureBegan
    | NoteTenureRenewed
    | NoteTenureEnded
    | NoteElectionLost
    | NoteReleased
    | NoteStopped
    | HeadChanged
    | SettlePublish
    | StoreLost
    | StoreRegained
    | Unreadable
    | ViewShortened
    | StoodDown
    | NewerIncarnation
)
