"""What retention lets go (rule 12)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.protocol.retention import BATCHES_AT_ONCE, compact, plan
from holocron.records import Past
from holocron.settings import Settings


def old(first: int, last: int, age_s: float = 1e6) -> tuple[tuple[int, float], ...]:
    """Epochs `first` to `last`, all of one age."""
    return tuple((number, age_s) for number in range(first, last + 1))


@pytest.mark.parametrize(
    ("head", "below"),
    [(1, None), (19, None), (20, 11), (29, 11), (30, 21), (1000, 81)],
)
def test_whole_batches_go_and_the_newest_stay(head: int, below: int | None) -> None:
    """The newest `keep_epochs` stay; a batch goes when it is full; never more than eight at once."""
    settings = Settings(keep_epochs=10, trim_batch=10, keep_age_s=60)
    assert plan(old(1, head), head, 1, settings) == below


def test_what_is_young_what_lies_behind_a_gap_and_what_has_no_age_stays() -> None:
    """Minimum age holds for each epoch; what cannot be explained or dated is left alone."""
    settings = Settings(keep_epochs=2, trim_batch=2, keep_age_s=60)
    assert plan(old(1, 4) + old(5, 20, 59.9), 20, 1, settings) == 5
    assert plan(old(1, 3) + old(6, 20), 20, 1, settings) == 3
    assert plan(old(2, 20), 20, 1, settings) is None
    assert plan(old(1, 2) + old(3, 20, math.nan), 20, 1, settings) == 3


@given(
    floor=st.integers(1, 50),
    ages=st.lists(st.floats(0, 1000), max_size=120),
    keep_epochs=st.integers(2, 40),
    keep_age_s=st.floats(0, 1000),
    trim_batch=st.integers(1, 20),
)
def test_the_head_and_what_is_too_young_are_never_proposed(
    floor: int, ages: list[float], keep_epochs: int, keep_age_s: float, trim_batch: int
) -> None:
    """The head is never deleted (I14), nor are the newest, nor what is younger than the minimum age."""
    settings = Settings(keep_epochs=keep_epochs, keep_age_s=keep_age_s, trim_batch=trim_batch)
    numbered = tuple((floor + index, age_s) for index, age_s in enumerate(ages))
    head = floor + len(ages) - 1
    below = plan(numbered, head, floor, settings)
    if below is None:
        return
    assert floor < below <= head - keep_epochs + 1
    assert all(age_s >= keep_age_s for number, age_s in numbered if number < below)
    assert (below - floor) % trim_batch == 0
    assert trim_batch <= below - floor <= trim_batch * BATCHES_AT_ONCE


def test_a_history_is_whole_or_not_at_all() -> None:
    """What retention took out is kept whole, nothing lost (design section 2)."""
    pasts = tuple(Past(epoch=number, record=None, raw=b"x") for number in (3, 4, 5))
    record = compact(3, 5, pasts, "c", "n")
    assert (record.first, record.last, record.epochs) == (3, 5, pasts)
    for wrong in (pasts[:2], pasts[::-1], (*pasts, pasts[0])):
        with pytest.raises(ValueError, match="each of these epochs once"):
            compact(3, 5, wrong, "c", "n")
