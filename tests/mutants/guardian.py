"""Mutants of the guardian: of holocron/protocol/guarding.py and holocron/runtime/guarding."""

from __future__ import annotations

from holocron.protocol import guarding
from holocron.runtime.guarding import releasing
from holocron.testing.simulation.misfortune import Misfortune
from tests.mutants.breaking import Mutant, edit

__all__ = ["MUTANTS"]

# Leaders die and others follow, some of whom are resumed while their former selves live.
KILLED = Misfortune({}, {"crash": 0.3, "usurp": 0.2})
# The same, where requests that were under way land late and answers are lost.
KILLED_LATE = Misfortune({"answer_lost": 0.1, "slow": 0.2, "crash_after": 0.02}, {"crash": 0.3})

_DEAD = "if parent != guarded:"
_MINE = 'same and record.kind == "lease" and record.term == charge.term'

MUTANTS = (
    Mutant(
        name="a guardian releases while the process lives",
        rule="rule 15",
        edits=(edit(guarding.verdict, _DEAD, "if parent != guarded or cut_off_s > 0:"),),
        misfortune=KILLED,
    ),
    Mutant(
        name="a guardian releases another's term",
        rule="rule 15",
        edits=(edit(guarding.is_of, _MINE, 'record.kind == "lease"'),),
        misfortune=KILLED,
    ),
    Mutant(
        name="a guardian releases for the node, whichever process of it leads",
        rule="rule 15",
        edits=(
            edit(guarding.is_of, f"return {_MINE}", 'return leader.node == charge.node and record.kind == "lease"'),
        ),
        misfortune=KILLED,
    ),
    Mutant(
        name="a guardian's release loses what was published",
        rule="rule 15",
        edits=(edit(guarding.release_after, "heir=None,", "heir=None,\n        published=None,"),),
        misfortune=KILLED,
    ),
    Mutant(
        name="a guardian's release names another predecessor",
        rule="I5",
        edits=(edit(guarding.release_after, "previous=head.nonce", "previous=head.previous"),),
        misfortune=KILLED,
    ),
    Mutant(
        name="a guardian does not read on to the head",
        rule="I5",
        edits=(
            edit(
                releasing.release,
                "head = _tenure(chain, charge, record.epoch, found)",
                "head = __import__('msgspec').structs.replace(head, epoch=record.epoch)",
            ),
        ),
        misfortune=KILLED_LATE,
    ),
)
