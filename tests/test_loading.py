"""The garbage collector while much is loaded that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from holocron.loading import loading


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test does to the collector ends with it."""
    before = gc.isenabled()
    yield
    (gc.enable if before else gc.disable)()


def test_nothing_is_collected_while_much_is_loaded() -> None:
    """The collector rests meanwhile and goes on afterwards, an error notwithstanding."""
    gc.enable()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), loading():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_an_application_that_does_without_goes_on_without() -> None:
    """A collector that was switched off is not switched on."""
    gc.disable()
    with loading():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_one_inside_the_other_ends_with_the_outer_one() -> None:
    """Loading may lead to more loading."""
    gc.enable()
    with loading():
        with loading():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
