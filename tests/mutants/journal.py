"""Mutants of the node's own durable state: of holocron/state and of the journal at work."""

from __future__ import annotations

from holocron.runtime.journaling import Journaling
from holocron.state import checkpoint, journal, recovery
from holocron.state.replay import Replay
from holocron.state.writer import Writer
from tests.mutants.breaking import BURIED, ROTTING, SUPERSEDED, Mutant, edit

__all__ = ["MUTANTS"]

# Whoever was told too early asks for checkpoints too early, and is not to die of that.
_NO_CHECKPOINT_YET = edit(
    Journaling.checkpoint,
    "taken = yield",
    'if position > self.position:\n        return Trouble("not durable yet")\n    taken = yield',
)

MUTANTS = (
    # --- fences -----------------------------------------------------------------------------------------------------
    Mutant(
        name="an append is acknowledged before the floor is read",
        rule="I9",
        edits=(
            edit(
                journal.write,
                "yield from chain.create(",
                "yield from Chain(chain.store, chain.prefix, None, chain.cluster, chain.suffix).create(",
            ),
        ),
        misfortune=BURIED,
    ),
    Mutant(
        name="a resume writes no fence",
        rule="I9",
        edits=(
            edit(
                journal.raise_fence,
                "outcome = yield from chain.create(free, pack(record), deadline)",
                "return Raised(free - 1, found.floor)",
            ),
            # Its first entries stand for the fence, or every replay would say that there is none.
            edit(Replay.read, "if slot.incarnation > self._incarnation:", "if False:"),
        ),
    ),
    Mutant(
        name="a fence goes behind all that is there, not into the first free slot",
        rule="I9",
        edits=(
            edit(
                journal.raise_fence,
                "        proof = yield from _proof(",
                "        free = numbers[-1] + 1 if numbers else free\n        proof = yield from _proof(",
            ),
        ),
        regime="production",
        misfortune=SUPERSEDED,
    ),
    Mutant(
        name="an older incarnation fences behind a newer one",
        rule="I9",
        edits=(edit(journal.raise_fence, "if newest > author.incarnation:", "if False:"),),
        misfortune=SUPERSEDED,
    ),
    Mutant(
        name="a newer incarnation's slot is passed over",
        rule="I9",
        edits=(
            edit(journal._met, "if slot.incarnation > author.incarnation:", "if False:"),
            edit(
                journal._met, "if slot.incarnation < author.incarnation:", "if slot.incarnation != author.incarnation:"
            ),
        ),
    ),
    Mutant(
        name="what a fence made void is replayed",
        rule="I9",
        edits=(edit(Replay.read, "if slot.incarnation < self._incarnation:", "if False:"),),
        regime="production",
        misfortune=SUPERSEDED,
    ),
    Mutant(
        name="each incarnation has slots of its own",
        rule="I9",
        edits=(
            edit(
                journal.journal_chain,
                "journal_prefix(author.node)",
                'journal_prefix(author.node) + f"{author.incarnation}/"',
            ),
        ),
    ),
    # --- acknowledgements -------------------------------------------------------------------------------------------
    Mutant(
        name="what is durable is acknowledged, whatever is missing before it",
        rule="I9",
        edits=(
            edit(Writer.written, "            return\n", "            continue\n"),
            _NO_CHECKPOINT_YET,
        ),
        regime="production",
        misfortune=SUPERSEDED,
    ),
    Mutant(
        name="an append is acknowledged when it is sent",
        rule="I9",
        edits=(
            edit(
                Journaling._pump,
                "        self._send(batch, self._world.nonce())\n",
                "        self._send(batch, self._world.nonce())\n"
                "        while self._waiting and self._waiting[0][0] <= batch.last:\n"
                "            self._waiting.popleft()[1](None)\n",
            ),
            _NO_CHECKPOINT_YET,
        ),
    ),
    Mutant(
        name="an append that is not known is taken for durable",
        rule="I10",
        edits=(
            edit(
                Journaling._sent,
                "self._world.call_later(_PAUSE_S, lambda: self._send(batch, nonce))",
                "self._writer.written(batch)",
            ),
        ),
        regime="production",
    ),
    Mutant(
        name="an append that is not known is tried again under another nonce",
        rule="I10",
        edits=(
            edit(
                Journaling._sent,
                "lambda: self._send(batch, nonce)",
                "lambda: self._send(batch, self._world.nonce())",
            ),
        ),
        regime="production",
    ),
    Mutant(
        name="an append that is not known goes into the next slot once more",
        rule="I10",
        edits=(
            edit(
                Journaling._sent,
                "self._world.call_later(_PAUSE_S, lambda: self._send(batch, nonce))",
                "self._writer._flight.pop(batch.slot)\n"
                "            self._writer._moved = Batch(self._writer._next_slot, batch.first, batch.entries)\n"
                "            self._writer._next_slot += 1",
            ),
        ),
        regime="production",
    ),
    # --- checkpoints ------------------------------------------------------------------------------------------------
    Mutant(
        name="slots go before the checkpoints that replace them are verified",
        rule="I9",
        edits=(
            edit(
                checkpoint.prune,
                "        found = yield from _read(checkpoints, author, number, deadline)\n"
                "        if isinstance(found, Trouble):\n            return found\n"
                "        if isinstance(found, Checkpoint):\n            good.append(number)\n",
                "        good.append(number)\n",
            ),
        ),
        misfortune=ROTTING,
    ),
    Mutant(
        name="slots go that the older of two checkpoints needs",
        rule="I9",
        edits=(edit(checkpoint.prune, "raise_floor(good[-1]", "raise_floor(good[0]"),),
        misfortune=ROTTING,
    ),
    Mutant(
        name="a damaged checkpoint ends the search for one",
        rule="I9",
        edits=(edit(checkpoint.newest, "damaged.append(found.error)\n", "return Newest(None, (found.error,))\n"),),
        misfortune=ROTTING,
    ),
    Mutant(
        name="slots go before the floor rises",
        rule="I9",
        edits=(
            edit(
                checkpoint.prune,
                "raised = yield from slots.raise_floor(good[-1], nonce(), deadline)",
                "gone = yield from _sweep(slots, good[-1], keep_age_s, deadline)\n"
                "    raised = yield from slots.raise_floor(good[-1], nonce(), deadline)",
            ),
        ),
        misfortune=SUPERSEDED,
    ),
    Mutant(
        name="a replay does not notice that slots were let go under it",
        rule="I9",
        edits=(
            edit(recovery.recover, "if again.floor <= first and not", "if not"),
            edit(
                recovery._replayed,
                "        if isinstance(read, Spoilt | Trouble | Absent):\n",
                "        if isinstance(read, Absent):\n            return replay.position\n"
                "        if isinstance(read, Spoilt | Trouble):\n",
            ),
        ),
        misfortune=SUPERSEDED,
    ),
)
