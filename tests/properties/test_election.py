"""Whatever events come in whatever order, one node keeps its own promises (rules 1 to 3, 6 to 9 and 13)."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from holocron.clock import Instant, elapsed_holder_s
from holocron.protocol.election import believes
from holocron.protocol.messages import Tenure, Ticked
from tests.properties.chains import Game
from tests.properties.made import instants


@settings(max_examples=4 * settings().max_examples)
@given(seed=st.integers(0, 2**64 - 1), assume_dead=st.booleans(), moves=st.integers(1, 300))
def test_no_sequence_of_events_breaks_a_promise(seed: int, assume_dead: bool, moves: int) -> None:
    """No exception, one request at a time, terms that rise, beliefs that end in time, no early takeover (I6 to I8).

    The moves come from a seed, so that what fails is cut down to its shortest beginning.
    """
    game = Game(Random(seed), assume_dead)
    game.tell(Ticked())
    for _ in range(moves):
        game.play()
        if game.stopped:
            break


@given(
    since=instants(),
    now=instants(),
    belief_s=st.floats(0.5, 600),
    near=st.none() | st.floats(-1, 1),
)
def test_belief_is_never_longer_than_its_length(
    since: Instant, now: Instant, belief_s: float, near: float | None
) -> None:
    """By no reading of the clocks does a tenure last beyond `belief_s` from `since`, as its holder counts (rule 3)."""
    if near is not None:
        shift_s = belief_s + near
        now = Instant(since.boot_s + shift_s, since.mono_s + shift_s, since.wall_s)
    elapsed_s = elapsed_holder_s(since, now)
    assert believes(Tenure(1, 1, since, belief_s), now) is (0 <= elapsed_s < belief_s)
    assert not believes(None, now)
