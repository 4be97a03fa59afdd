"""Mutants of the engine and of what surrounds it: of holocron/runtime."""

from __future__ import annotations

from holocron.runtime import boarding, history, keeper, presence
from holocron.runtime.asking import EpochChain
from holocron.runtime.engine import Engine
from holocron.runtime.lease import Lease
from holocron.runtime.remembering import Memory
from tests.mutants.breaking import (
    BELATED,
    HELD,
    LAGGING,
    MEDDLED,
    RESUMED_SINCE,
    SET_BACK,
    TRIMMED_MEANWHILE,
    WIPED,
    Mutant,
    edit,
)

__all__ = ["MUTANTS"]

MUTANTS = (
    # --- the lease --------------------------------------------------------------------------------------------------
    Mutant(
        name="a lease lapses when the engine says so, not by the clock",
        rule="rule 4",
        edits=(edit(Lease.valid, "if believes(self._tenure, self._clock.now()):", "if True:"),),
    ),
    Mutant(
        name="a lease that was over is valid again after a renewal",
        rule="rule 6",
        edits=(edit(Lease.extend, "if self._reason is not None:\n        return False\n", "self._reason = None\n"),),
    ),
    Mutant(
        name="a wait is counted from the start of the read",
        rule="rule 3",
        edits=(
            edit(
                EpochChain._seen,
                "return Seen(number, record, record.nonce, reply.now)",
                "return Seen(number, record, record.nonce, reply.asked)",
            ),
        ),
        misfortune=BELATED,
    ),
    # --- incarnations -----------------------------------------------------------------------------------------------
    Mutant(
        name="a former self does not look for a newer one",
        rule="rule 11",
        edits=(edit(presence.heartbeat, "if other.incarnation > beacon.incarnation:", "if False:"),),
    ),
    Mutant(
        name="a resume does not raise the incarnation",
        rule="I9",
        edits=(edit(boarding.revive, "incarnation=identity.incarnation + 1", "incarnation=identity.incarnation"),),
    ),
    Mutant(
        name="a former self writes over what the newer one remembers",
        rule="I9",
        edits=(edit(Memory.save, "if other.incarnation > self._identity.incarnation:", "if False:"),),
    ),
    # --- requests to the leader -------------------------------------------------------------------------------------
    Mutant(
        name="a request is said to be handled a while before its pause rides",
        rule="rule 14",
        edits=(
            edit(
                Engine._control_read,
                "self.feed(ControlHandled(result.number, pause_s))",
                "self.feed(ControlHandled(result.number))\n    late = ControlHandled(result.number, pause_s)\n"
                "    self.world.call_later(self.settings.ttl_s / 2, lambda: self.feed(late))",
            ),
        ),
        misfortune=HELD,
    ),
    # --- retention --------------------------------------------------------------------------------------------------
    Mutant(
        name="the chain is trimmed without a history",
        rule="rule 12",
        edits=(edit(keeper.tidy, "yield from _archive(store, pasts, cluster, nonce, deadline)", "None"),),
    ),
    Mutant(
        name="a history that is there already is taken as it is",
        rule="rule 12",
        edits=(
            edit(
                keeper._archive,
                "case Held(found=Found(body=there)):\n",
                "case Held(found=Found(body=there)):\n            return None\n",
            ),
        ),
    ),
    # --- what is noticed --------------------------------------------------------------------------------------------
    Mutant(
        name="a record that cannot be read is an error",
        rule="I12",
        edits=(
            edit(
                EpochChain._seen,
                "except RecordUnreadable as error:\n",
                "except RecordUnreadable as error:\n        raise\n",
            ),
        ),
        crashes=True,
    ),
    Mutant(
        name="what another cluster wrote is read as our own",
        rule="I12",
        edits=(
            edit(
                EpochChain._seen,
                "read_once(answer, self.chain.key(number), self._identity.cluster)",
                '__import__("holocron.records").records.decode(Epoch, answer.body, self.chain.key(number))',
            ),
        ),
    ),
    Mutant(
        name="our own retention is taken for a roll-back",
        rule="rule 13",
        edits=(edit(EpochChain.create, "if floor < record.floor:", "if floor < self.floor:"),),
        misfortune=TRIMMED_MEANWHILE,
    ),
    Mutant(
        name="retention does not mind a hole",
        rule="I7",
        edits=(edit(keeper.tidy, "if missing is not None:", "if False:"),),
        misfortune=SET_BACK,
    ),
    Mutant(
        name="an operator's request to an earlier leader is obeyed by a later one",
        rule="rule 13",
        edits=(edit(Engine._control_read, "meant = result.term == tenure.term", "meant = True"),),
    ),
    Mutant(
        name="a stranger's file under epochs/ keeps a cluster from being founded",
        rule="I11",
        edits=(edit(boarding._refuse_if_orphaned, "if number_of(EPOCHS, entry.key) is not None:", "if True:"),),
        misfortune=MEDDLED,
    ),
    Mutant(
        name="what was published below a spoilt epoch is not looked for",
        rule="I2",
        edits=(edit(EpochChain._carrying, "return changed(seen, carried=published)", "return seen"),),
        regime="production",
    ),
    Mutant(
        name="a beacon that is back at a former incarnation's is overwritten",
        rule="rule 13",
        edits=(edit(presence.heartbeat, "(former or (other.session", "((other.session"),),
        misfortune=RESUMED_SINCE,
    ),
    Mutant(
        name="a beacon that is gone tells nothing",
        rule="rule 13",
        edits=(edit(presence._why_gone, "chain = Chain(", "return None\n            chain = Chain("),),
        misfortune=WIPED,
    ),
    Mutant(
        name="a head is proof enough that the prefix was not wiped",
        rule="rule 13",
        edits=(edit(presence._why_gone, "if isinstance(floor, Dishonest | Trouble):", "if False:"),),
        misfortune=WIPED,
    ),
    Mutant(
        name="epochs behind a gap are never this cluster's own",
        rule="rule 13",
        edits=(edit(history.behind_gap, "if stray is None:", "if True:"),),
        misfortune=LAGGING,
    ),
)
