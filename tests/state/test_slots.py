"""What lies in a slot and in a checkpoint, and every way in which it may not (I12)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.errors import RecordUnreadable
from holocron.state.slots import Checkpoint, Slot, pack, unpack

KEY = "nodes/n1/journal/0000000000000007"


def slot(*entries: bytes, **more: object) -> Slot:
    """Slot 7 of node n1."""
    plain = {
        "cluster": "c",
        "nonce": "n",
        "node": "n1",
        "incarnation": 3,
        "slot": 7,
        "kind": "entries",
        "first": 1,
        "entries": entries,
    }
    return Slot(**(plain | more))  # type: ignore[arg-type]  # the test gives what the record wants


@given(st.lists(st.binary(max_size=50)))
def test_a_slot_comes_back_as_it_was_written(entries: list[bytes]) -> None:
    """Any bytes may be appended, none at all included."""
    assert unpack(Slot, pack(slot(*entries)), KEY, "c", "n1", 7).entries == tuple(entries)


def test_a_checkpoint_comes_back_as_it_was_written() -> None:
    """With the position it stands for, and whose slot that is."""
    one = Checkpoint(cluster="c", nonce="n", node="n1", incarnation=2, slot=7, position=40, snapshot=b"all")
    assert unpack(Checkpoint, pack(one), KEY, "c", "n1", 7) == one


@given(st.binary(max_size=300))
def test_any_bytes_are_a_slot_or_unreadable(body: bytes) -> None:
    """Nothing else ever comes of reading what lies in the bucket (I12)."""
    with pytest.raises(RecordUnreadable, match=KEY):
        unpack(Slot, body, KEY, "c", "n1", 7)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_byte_is_noticed(at: int, by: int) -> None:
    """One flipped byte anywhere keeps a slot from being replayed."""
    body = bytearray(pack(slot(b"x" * 100, b"y")))
    body[at % len(body)] ^= by
    try:
        read = unpack(Slot, bytes(body), KEY, "c", "n1", 7)
    except RecordUnreadable:
        return
    # The envelope's nonce stands outside the checksum, and says nothing of what was appended.
    assert read == slot(b"x" * 100, b"y")


@pytest.mark.parametrize("other", [{"node": "n2"}, {"cluster": "d"}, {"slot": 8}])
def test_another_nodes_slot_is_not_ours(other: dict[str, object]) -> None:
    """A copy from elsewhere is refused, and the line names the key and what is in it."""
    with pytest.raises(RecordUnreadable, match="copied there"):
        unpack(Slot, pack(slot(b"x", **other)), KEY, "c", "n1", 7)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    """It is held by someone we cannot read, and the line says what to do."""
    body = msgspec.msgpack.encode([9, b"0" * 16, b"", "n"])
    with pytest.raises(RecordUnreadable, match="upgrade"):
        unpack(Slot, body, KEY, "c", "n1", 7)


def test_deep_nesting_is_unreadable_and_no_crash() -> None:
    """A decoder that catches only its own error would die of it (I12)."""
    with pytest.raises(RecordUnreadable):
        unpack(Slot, b"\x91" * 100_000, KEY, "c", "n1", 7)
