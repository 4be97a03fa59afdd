"""What goes into which slot and what may be acknowledged when: the pure heart of the journal (I9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.state.slots import BATCH_LIMIT_BYTES
from holocron.state.writer import WINDOW, Batch, Writer

FENCE = 10


def beyond_the_first_slots(position: int = 0) -> Writer:
    """A writer that has left the slots behind its fence, where only one may be in flight."""
    writer = Writer(FENCE, position)
    for _ in range(WINDOW - 1):
        writer.add(b"x")
        batch = writer.take()
        assert batch is not None
        writer.written(batch)
    return writer


def taken(writer: Writer) -> Batch:
    """The next batch, which there is."""
    batch = writer.take()
    assert batch is not None
    return batch


def test_what_waits_goes_together() -> None:
    """Group commit: entries handed in before a slot is sent share it, with positions in order."""
    writer = Writer(FENCE, 7)
    assert [writer.add(b"a"), writer.add(b"b")] == [8, 9]
    assert writer.take() == Batch(FENCE + 1, 8, (b"a", b"b"))
    assert writer.take() is None


def test_one_slot_at_a_time_behind_the_fence_and_several_later() -> None:
    """Where a void slot may be met nothing else is in flight; behind that, a window of slots is."""
    writer = Writer(FENCE, 0)
    writer.add(b"a")
    first = taken(writer)
    writer.add(b"b")
    assert writer.take() is None
    writer.written(first)
    assert taken(writer).slot == FENCE + 2
    pipelined = beyond_the_first_slots()
    flight = []
    for _ in range(WINDOW):
        pipelined.add(b"x")
        flight.append(taken(pipelined).slot)
    pipelined.add(b"x")
    assert pipelined.take() is None
    assert flight == [FENCE + WINDOW + n for n in range(WINDOW)]


def test_acknowledgements_go_out_in_slot_order_only() -> None:
    """A slot that is durable waits for the one before it: a crash there may leave a hole (I9)."""
    writer = beyond_the_first_slots()
    before = writer.acknowledged
    batches = []
    for _ in range(3):
        writer.add(b"x")
        batches.append(taken(writer))
    writer.written(batches[2])
    writer.written(batches[1])
    assert writer.acknowledged == before
    writer.written(batches[0])
    assert writer.acknowledged == before + 3
    assert writer.idle


def test_a_void_slot_moves_the_batch_one_on() -> None:
    """An older incarnation's slot behind the fence is skipped, and no entry with it."""
    writer = Writer(FENCE, 0)
    writer.add(b"a")
    batch = taken(writer)
    writer.void(batch)
    assert not writer.idle
    assert writer.take() == Batch(FENCE + 2, 1, (b"a",))
    writer.add(b"b")
    assert writer.take() is None


def test_a_void_slot_where_there_can_be_none_is_refused() -> None:
    """Further from the fence than any older incarnation may have been, it would tear the order."""
    writer = beyond_the_first_slots()
    writer.add(b"x")
    with pytest.raises(ValueError, match="cannot be void"):
        writer.void(taken(writer))


def test_a_batch_ends_where_it_would_be_too_large() -> None:
    """At most 8 MiB go into one slot; one entry always does."""
    writer = beyond_the_first_slots()
    half = bytes(BATCH_LIMIT_BYTES // 2)
    for _ in range(3):
        writer.add(half)
    assert len(taken(writer).entries) == 2
    assert len(taken(writer).entries) == 1


def test_a_checkpoint_knows_the_slot_of_a_position() -> None:
    """What an acknowledged position lies in, and this fence for what was before it."""
    writer = Writer(FENCE, 5)
    assert writer.slot_of(5) == FENCE
    for data in (b"a", b"b"):
        writer.add(data)
    batch = taken(writer)
    with pytest.raises(ValueError, match="not acknowledged"):
        writer.slot_of(6)
    writer.written(batch)
    assert writer.slot_of(6) == writer.slot_of(7) == FENCE + 1
    writer.forget(7)
    assert writer.slot_of(7) == FENCE + 1


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_every_entry_is_acknowledged_once_and_in_order_whatever_the_order_of_answers(
    steps: list[tuple[int, bool]],
) -> None:
    """However appends, answers and void slots fall, each entry is in one slot and positions never skip (I9)."""
    writer = Writer(FENCE, 0)
    flight: list[Batch] = []
    durable: dict[int, Batch] = {}
    handed_in = 0
    for pick, void in steps:
        writer.add(b"%d" % handed_in)
        handed_in += 1
        while (batch := writer.take()) is not None:
            flight.append(batch)
            assert len(flight) <= WINDOW
        if not flight:
            continue
        chosen = flight.pop(pick % len(flight))
        if void and chosen.slot < FENCE + WINDOW:
            writer.void(chosen)
        else:
            assert chosen.slot not in durable
            durable[chosen.slot] = chosen
            writer.written(chosen)
    entries = [entry for slot in sorted(durable) for entry in durable[slot].entries]
    acknowledged = entries[: writer.acknowledged]
    assert acknowledged == [b"%d" % number for number in range(writer.acknowledged)]
