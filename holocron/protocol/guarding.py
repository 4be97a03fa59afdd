"""What a guardian may do for the process that it guards (rule 15): when, for which tenure, and what it then writes.

A guardian is a small process beside one that leads. It takes no part in the election: it never renews and never leads.
All it ever does is to write, once and for a process that is dead, the release which that one can no longer write.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from holocron.protocol.membership import standing_of
from holocron.records import Epoch

__all__ = ["PATIENCE_S", "Charge", "Verdict", "is_of", "release_after", "verdict"]

# How long a guardian that nobody can tell anything any more waits on for the death that would explain it.
PATIENCE_S = 10.0

Verdict = Literal["watch", "release", "leave"]


class Charge(msgspec.Struct, frozen=True):
    """A tenure under guard: whose it is, its `term`, and the newest `epoch` that is known to be part of it."""

    node: str
    incarnation: int
    session: str
    term: int
    epoch: int


def verdict(guarded: int, parent: int, cut_off_s: float) -> Verdict:
    """What a guardian does next: watch on, write the release, or go without a word.

    Args:
        guarded: the process that started the guardian, by its number.
        parent: the parent of the guardian now. Another than `guarded`: that one is dead, and nothing else says so.
        cut_off_s: for how long the line from the process has been closed; 0 while it is open. That is no death: a
            process may close all of its descriptors and live on, and believe.
    """
    if parent != guarded:
        return "release"
    return "leave" if cut_off_s >= PATIENCE_S else "watch"


def is_of(record: Epoch, charge: Charge) -> bool:
    """Whether `record` is a lease of the very tenure under guard: its node, its process and its term."""
    leader = record.leader
    same = (leader.node, leader.incarnation, leader.session) == (charge.node, charge.incarnation, charge.session)
    return same and record.kind == "lease" and record.term == charge.term


def release_after(head: Epoch, nonce: str, written: str) -> Epoch:
    """The release that follows `head`, as its leader would have written it: what was published and the view go on.
    The dead stand for nothing, until they are resumed and say so.

    Args:
        written: the wall-clock time, for people only.
    """
    return replace(
        head,
        nonce=nonce,
        epoch=head.epoch + 1,
        kind="release",
        cause="released",
        previous=head.nonce,
        heir=None,
        topology=standing_of(head.topology, head.leader.node, False),
        written=written,
    )
