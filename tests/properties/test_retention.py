"""Retention over any listing: what goes is old, whole, below the newest and never the head (rule 12, I4)."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from holocron.protocol.retention import BATCHES_AT_ONCE, compact, plan
from holocron.records import Past
from holocron.settings import Settings

AGES = st.one_of(st.floats(0, 1000), st.sampled_from([0.0, 59.9, 60.0, 1e9, math.inf, -math.inf, math.nan, -1.0]))
SETTINGS = st.builds(
    lambda keep, age_s, batch: Settings(keep_epochs=keep, keep_age_s=age_s, trim_batch=batch),
    st.integers(2, 30),
    st.sampled_from([0.0, 60.0, 1000.0]),
    st.integers(1, 12),
)
FLOOR = 7
# As a store may list it: in order or not, with holes, doubles, things below the floor, and ages that are no numbers.
LISTINGS = st.one_of(
    st.lists(st.tuples(st.integers(0, 60), AGES), max_size=80),
    st.integers(0, 80).map(lambda length: [(FLOOR + index, 1e9) for index in range(length)]),
)


@given(listing=LISTINGS, head=st.integers(1, 90), floor=st.just(FLOOR) | st.integers(1, 30), settings=SETTINGS)
def test_nothing_that_must_stay_is_ever_proposed(
    listing: list[tuple[int, float]], head: int, floor: int, settings: Settings
) -> None:
    """Never the head, none of the newest, none too young or undated, none unseen, none below the floor (I4)."""
    below = plan(tuple(listing), head, floor, settings)
    if below is None:
        return
    gone = range(floor, below)
    assert len(gone) in range(settings.trim_batch, settings.trim_batch * BATCHES_AT_ONCE + 1, settings.trim_batch)
    assert below <= head - settings.keep_epochs + 1, "the head and the newest stay"
    for number in gone:
        ages = [age_s for one, age_s in listing if one == number]
        assert ages, "what was not seen cannot be kept in the history, so it stays"
        assert any(age_s >= settings.keep_age_s for age_s in ages)


@given(
    length=st.integers(10, 60),
    spoils=st.dictionaries(
        st.integers(0, 20), st.sampled_from([math.nan, 59.9, -1.0, -math.inf, None]), min_size=1, max_size=3
    ),
    keep=st.integers(2, 6),
    batch=st.integers(1, 4),
)
def test_one_epoch_that_must_stay_keeps_all_above_it(
    length: int, spoils: dict[int, float | None], keep: int, batch: int
) -> None:
    """A young one, an undated one or a gap ends what may go, as the newest do; whole batches of the rest go."""
    ages = {FLOOR + index: spoils.get(index, 60.0) for index in range(length)}
    listing = tuple((number, age_s) for number, age_s in ages.items() if age_s is not None)
    head = FLOOR + length - 1
    stays = min(FLOOR + min(spoils), head - keep + 1)
    batches = min((stays - FLOOR) // batch, BATCHES_AT_ONCE)
    settings = Settings(keep_epochs=keep, keep_age_s=60.0, trim_batch=batch)
    assert plan(listing, head, FLOOR, settings) == (FLOOR + batches * batch if batches else None)


@given(listing=LISTINGS, head=st.integers(1, 90), settings=SETTINGS, late=st.integers(0, 30))
def test_a_leader_that_knows_an_older_head_proposes_no_more(
    listing: list[tuple[int, float]], head: int, settings: Settings, late: int
) -> None:
    """What may go below an old head may go below any later one, so a plan is never too late (rule 12)."""
    older = plan(tuple(listing), max(1, head - late), FLOOR, settings)
    newer = plan(tuple(listing), head, FLOOR, settings)
    assert older is None or (newer is not None and older <= newer)


@given(length=st.integers(0, 300), settings=SETTINGS, growth=st.lists(st.integers(0, 40), max_size=10))
def test_trimming_again_and_again_keeps_the_chain_short_and_the_history_whole(
    length: int, settings: Settings, growth: list[int]
) -> None:
    """Old epochs go in whole batches, each into one file of the history, with no epoch twice and none left out."""
    head, floor, files = length, 1, list[tuple[int, int]]()
    for more in [0, *growth]:
        head += more
        while True:
            listing = tuple((number, 1e6) for number in range(floor, head + 1))
            below = plan(listing, head, floor, settings)
            if below is None:
                break
            for first in range(floor, below, settings.trim_batch):
                pasts = tuple(Past(epoch=n, record=None, raw=b"") for n in range(first, first + settings.trim_batch))
                history = compact(first, first + settings.trim_batch - 1, pasts, "c", "n")
                files.append((history.first, history.last))
            floor = below
        assert floor == 1 or head - floor + 1 >= settings.keep_epochs, "the newest stay"
        assert head - floor + 1 < settings.keep_epochs + settings.trim_batch, "nothing that may go stays for ever"
    covered = [number for first, last in files for number in range(first, last + 1)]
    assert covered == list(range(1, floor))


@given(first=st.integers(1, 50), numbers=st.lists(st.integers(1, 60), max_size=12), last=st.integers(1, 60))
def test_a_history_that_is_not_whole_is_not_made(first: int, numbers: list[int], last: int) -> None:
    """Each epoch once and in order, or no history at all (design section 2)."""
    assume(numbers != list(range(first, last + 1)))
    pasts = tuple(Past(epoch=number, record=None) for number in numbers)
    try:
        compact(first, last, pasts, "c", "n")
    except ValueError as error:
        assert "each of these epochs once" in str(error)  # noqa: PT017 - that it raised is what the else is for
    else:
        raise AssertionError(f"{numbers} is no history of {first} to {last}")
