"""Mutants of hints: of what is believed in them, and of how often one is read for (rule 16)."""

from __future__ import annotations

from holocron.protocol import election, following, hinting
from holocron.runtime.engine import Engine
from tests.mutants.breaking import Mutant, edit

__all__ = ["MUTANTS"]

MUTANTS = (
    Mutant(
        name="a hint is believed",
        rule="rule 16",
        edits=(edit(election._act, "return _poll(state, now, hint)", 'return _take(state, now, "released")'),),
        hints=True,
    ),
    Mutant(
        name="a hint is read for, however often nothing was found",
        rule="rule 16",
        edits=(edit(hinting.heeds, "(state.wasted < MOST_WASTED or _window_over(state, now))", "True"),),
        regime="production",
        hints=True,
    ),
    Mutant(
        name="a read for a hint moves the polls",
        rule="rule 16",
        edits=(
            edit(following.missed, "if state.business is not None and state.business.hint is not None:", "if False:"),
        ),
        regime="production",
        hints=True,
    ),
    Mutant(
        name="a leader looks for a request at every hint",
        rule="rule 16",
        edits=(edit(Engine._hinted_control, "self._hinted_times < hinting.MOST_WASTED", "True"),),
        regime="production",
        hints=True,
    ),
)
