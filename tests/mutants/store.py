"""Mutants of the chain and the register: of holocron/store."""

from __future__ import annotations

from holocron.runtime import world
from holocron.runtime.asking import EpochChain
from holocron.store import chain, register, retry
from holocron.store.chain import Chain
from tests.mutants.breaking import GREEDY, UNCERTAIN, Mutant, edit

__all__ = ["MUTANTS"]

_PERFORM = """world.perform(
                    step.store, step.request, allowed_s, lambda answer: proceed(Reply(answer, asked, world.now()))
                )"""

MUTANTS = (
    # --- what a win is ----------------------------------------------------------------------------------------------
    Mutant(
        name="no floor is read after a win",
        rule="rule 7",
        edits=(
            edit(Chain._above_floor, "if self.floor_key is None:", "if True:"),
            edit(EpochChain.create, "if floor < record.floor:", "if False:"),
        ),
        misfortune=GREEDY,
    ),
    Mutant(
        name="an orphan is a win",
        rule="rule 7",
        edits=(edit(Chain._above_floor, "Orphan(number, floor) if number < floor else ", ""),),
        misfortune=GREEDY,
    ),
    Mutant(
        name="a 412 is lost, whoever's nonce is there",
        rule="I10",
        edits=(edit(register.replace, "if found == body:", "if False:"),),
    ),
    Mutant(
        name="a 412 is won, whoever's nonce is there",
        rule="I3",
        edits=(edit(register.replace, "if found == body:", "if True:"),),
    ),
    Mutant(
        name="a 409 is read as lost",
        rule="rule 5",
        edits=(
            edit(retry._transient, "Unclear | Conflict", "Unclear"),
            edit(
                register.replace,
                'return NotDone(f"{key}: the store kept answering that another write was under way")',
                "return Held(Absent())",
            ),
        ),
    ),
    Mutant(
        name="a 403 is read as absent",
        rule="rule 13",
        edits=(
            edit(
                retry.ask,
                "    told = yield Ask(store, request, deadline)\n",
                "    told = yield Ask(store, request, deadline)\n"
                "    if isinstance(told.answer, Denied) and not isinstance(request, Put):\n"
                "        from holocron.store.base import Absent, List, Listed\n"
                "        answer = Listed(()) if isinstance(request, List) else Absent()\n"
                "        told = Reply(answer, told.asked, told.now)\n",
            ),
        ),
    ),
    Mutant(
        name="no answer is read as not done",
        rule="I10",
        edits=(edit(Chain.create, "return Unknown(error)", "return Refused(error)"),),
    ),
    Mutant(
        name="only the last of several answers counts",
        rule="I10",
        misfortune=UNCERTAIN,
        edits=(edit(retry._again, "maybe_applied = maybe_applied or (", "maybe_applied = False and ("),),
    ),
    Mutant(
        name="the SDK sends once more behind our back, and its 412 is believed",
        rule="I10",
        edits=(
            edit(
                world.run,
                _PERFORM,
                "def heard(answer):\n"
                "                    proceed(Reply(answer, asked, world.now()))\n"
                "                def heard_first(answer):\n"
                "                    from holocron.store.base import Conflict, Put, Unclear\n"
                "                    if isinstance(answer, Unclear | Conflict) and isinstance(step.request, Put):\n"
                "                        world.perform(step.store, step.request, allowed_s, heard)\n"
                "                    else:\n"
                "                        heard(answer)\n"
                "                world.perform(step.store, step.request, allowed_s, heard_first)",
            ),
            edit(
                register.replace,
                "there = yield from asked(store, Get(key), deadline)",
                "return Held(Absent())\n            there = yield from asked(store, Get(key), deadline)",
            ),
        ),
    ),
    # --- the floor --------------------------------------------------------------------------------------------------
    Mutant(
        name="the floor is raised after the deletes",
        rule="I4",
        edits=(
            edit(
                Chain.trim,
                "raised = yield from self.raise_floor(below, nonce, deadline)",
                'raised = FloorRead(below, "")',
            ),
            edit(Chain.trim, "return gone", "yield from self.raise_floor(below, nonce, deadline)\n    return gone"),
        ),
    ),
    Mutant(
        name="the floor may fall",
        rule="I4",
        misfortune=GREEDY,
        edits=(edit(Chain.raise_floor, " or read.floor >= below", " or read.floor == below"),),
    ),
    # --- the head ---------------------------------------------------------------------------------------------------
    Mutant(
        name="a LIST is taken to be in order",
        rule="I7",
        edits=(edit(Chain.entries, "tuple(sorted(found, key=lambda entry: entry.key))", "tuple(found)"),),
    ),
    Mutant(
        name="what lies behind a gap is the head",
        rule="I5",
        edits=(edit(chain._run, "return end", "return numbers[-1] if numbers else end"),),
    ),
)
