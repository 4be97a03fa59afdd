"""Every mutant is caught, and the substitution that makes one leaves nothing behind."""

from __future__ import annotations

from contextlib import suppress

import pytest

from holocron.protocol import election
from holocron.store.chain import Chain
from holocron.testing.simulation import simulate
from tests.mutants.breaking import Mutant, broken, edit
from tests.mutants.hunting import EVERY, hunt, known

KNOWN = known()


@pytest.mark.sim
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """The life that caught it in the last whole hunt is lived first, so this is quick; if it no longer tells, all the
    seeds from 0 are tried as `make mutants` does, and one of them has to. A mutant that only crashes proves nothing.
    """
    death = hunt(mutant, KNOWN.get(mutant.name))
    assert death is not None, f"{mutant.name} outlived every check"
    print(f"{mutant.name}: {death.check} in the life of seed {death.seed} ({death.regime})")
    assert mutant.crashes or not death.crash, death.what
    if mutant.misfortune is not None or mutant.hints:
        # What it died of is what was broken, and not the misfortune that it was given.
        whole = simulate(death.seed, death.regime, mutant.misfortune, hints=mutant.hints)
        assert whole.ok, whole


def test_names_tell_mutants_apart() -> None:
    """Each mutant has a name of its own, by which the life that catches it is remembered."""
    names = [mutant.name for mutant in EVERY]
    assert len(set(names)) == len(names)
    assert set(KNOWN) <= set(names)


@pytest.mark.parametrize("old", ["no such text", "number"])
def test_an_edit_whose_text_is_not_there_once_is_refused(old: str) -> None:
    """A mutant that breaks nothing any more, or nobody knows which of several places, would prove nothing."""
    mutant = Mutant(name="made up", rule="none", edits=(edit(Chain.create, old, "x"),))
    whole = Chain.create.__code__
    with pytest.raises(AssertionError, match=r"made up: .* times in Chain\.create"), broken(mutant):
        pytest.fail("it was broken all the same")
    assert Chain.create.__code__ is whole


def test_the_code_is_whole_again_afterwards() -> None:
    """Whatever happens while it is broken, the code that ships is what it was, to the object."""
    mutant = Mutant(name="made up", rule="none", edits=(edit(election._draft, "state.head.mark", '"x"'),))
    function, whole = election._draft, election._draft.__code__
    meanwhile = None
    with suppress(ZeroDivisionError), broken(mutant):
        assert election._draft is function
        meanwhile = function.__code__
        raise ZeroDivisionError
    assert meanwhile is not None
    assert meanwhile is not whole
    assert function.__code__ is whole


def test_edits_of_one_function_add_up() -> None:
    """Several edits of one function are all in force, also under a name that it was imported by before."""
    subject = Chain.number  # What was looked up before is broken too.
    mutant = Mutant(
        name="made up",
        rule="none",
        edits=(
            edit(subject, "number_of(self.prefix", "(self.prefix"),
            edit(subject, "self.suffix)", "self.suffix)[0]"),
        ),
    )
    chain = Chain(None, "epochs/", None, "c")  # type: ignore[arg-type]  # `number` asks no store
    with broken(mutant):
        told: object = subject(chain, "whatever")
    assert told == "epochs/"
    assert subject(chain, "epochs/0000000000000007.json") == 7
