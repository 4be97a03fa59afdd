"""Keys: each is built in one way, read back in one way, and what is not one of ours is foreign (design section 2)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.errors import SettingsError
from holocron.layout import (
    EPOCHS,
    HISTORY,
    MAX_NUMBER,
    check_node_id,
    check_prefix,
    fresh_node_id,
    history_key,
    history_range,
    identity_key,
    member_id,
    member_key,
    number_of,
    numbered,
    state_key,
)

NUMBERS = st.integers(1, MAX_NUMBER)
NODE_IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}\Z", fullmatch=True)
# Near misses: a key of ours with something before, after or in place of a piece of it.
SCRAPS = st.one_of(st.text(max_size=4), st.sampled_from(["\n", "/", ".json", "0", "~", "\u0661", "\x00", "-"]))


def test_the_largest_number_is_the_largest_that_json_keeps() -> None:
    """2^53 - 1, the last integer that a reader with floating point keeps exact."""
    assert MAX_NUMBER == 2**53 - 1 == 9007199254740991
    assert float(MAX_NUMBER) + 1 == float(MAX_NUMBER + 1)
    assert len(str(MAX_NUMBER)) == 16


# --- numbered objects -----------------------------------------------------------------------------------------------


@given(
    number=NUMBERS,
    prefix=st.sampled_from([EPOCHS, "control/", "nodes/a/journal/"]),
    suffix=st.sampled_from(["", ".json"]),
)
def test_a_number_comes_back_from_its_key(number: int, prefix: str, suffix: str) -> None:
    """16 digits, whatever chain it is."""
    key = numbered(prefix, number, suffix)
    assert re.fullmatch(re.escape(prefix) + r"[0-9]{16}" + re.escape(suffix), key)
    assert number_of(prefix, key, suffix) == number
    assert number_of(prefix, key, ".other") is None
    assert number_of("other/", key, suffix) is None


@given(one=NUMBERS, other=NUMBERS)
def test_keys_sort_as_numbers_do(one: int, other: int) -> None:
    """A LIST in key order is a LIST in the order of the chain."""
    assert (numbered(EPOCHS, one) < numbered(EPOCHS, other)) is (one < other)
    assert (history_key(one, MAX_NUMBER) < history_key(other, MAX_NUMBER)) is (one < other)


@pytest.mark.parametrize("number", [-1, MAX_NUMBER + 1, 10**16, 10**300])
def test_a_number_that_no_key_can_hold_is_refused(number: int) -> None:
    """Never a key of 17 digits, which would sort among the smaller ones."""
    with pytest.raises(SettingsError, match="cannot be numbered under epochs/"):
        numbered(EPOCHS, number)


def test_the_edges_of_what_is_numbered() -> None:
    """Zero is where a LIST starts after, and the number of nothing."""
    assert numbered(EPOCHS, 0) == "epochs/0000000000000000.json"
    assert number_of(EPOCHS, numbered(EPOCHS, 0)) is None
    assert number_of(EPOCHS, numbered(EPOCHS, 1)) == 1
    assert number_of(EPOCHS, numbered(EPOCHS, MAX_NUMBER)) == MAX_NUMBER
    assert number_of(EPOCHS, f"epochs/{MAX_NUMBER + 1}.json") is None
    assert number_of(EPOCHS, "epochs/9999999999999999.json") is None


@given(number=NUMBERS, where=st.integers(0, 30), cut=st.integers(0, 3), scrap=SCRAPS)
def test_what_is_not_the_one_key_of_a_number_is_foreign(number: int, where: int, cut: int, scrap: str) -> None:
    """No two keys share a number: another suffix, another length, other digits or a newline make it foreign (I12)."""
    key = numbered(EPOCHS, number)
    other = key[:where] + scrap + key[where + cut :]
    found = number_of(EPOCHS, other)
    assert found is None or numbered(EPOCHS, found) == other


@pytest.mark.parametrize(
    "key",
    [
        "epochs/000000000000001.json",
        "epochs/00000000000000001.json",
        "epochs/0000000000000001",
        "epochs/0000000000000001.JSON",
        "epochs/0000000000000001.json\n",
        "epochs/0000000000000001\n.json",
        "epochs/0000000000000001.json.json",
        "epochs/000000000000000\u0661.json",
        "epochs/+000000000000001.json",
        "epochs/000000000000_001.json",
        "epochs/ 000000000000001.json",
        "epochs/a/0000000000000001.json",
        "/epochs/0000000000000001.json",
        "0000000000000001.json",
        "epochs/.json",
        "epochs/",
    ],
)
def test_near_misses_have_no_number(key: str) -> None:
    """What `int` would take, or a person would, is foreign (I12)."""
    assert number_of(EPOCHS, key) is None


@given(key=st.text(max_size=60))
def test_any_text_is_a_key_of_ours_or_foreign(key: str) -> None:
    """Reading a key never raises, whatever a stranger called an object (I12)."""
    for text in (before + key + after for before in ("", EPOCHS, "members/", HISTORY) for after in ("", ".json")):
        number = number_of(EPOCHS, text)
        assert number is None or numbered(EPOCHS, number) == text
        node = member_id(text)
        assert node is None or member_key(node) == text
        covered = history_range(text)
        assert covered is None or history_key(*covered) == text


# --- the history ----------------------------------------------------------------------------------------------------


@given(first=NUMBERS, last=NUMBERS)
def test_a_range_comes_back_from_its_key(first: int, last: int) -> None:
    """Both ends are in the name, and an end before the beginning is nobody's range."""
    assert history_range(history_key(first, last)) == ((first, last) if first <= last else None)


@pytest.mark.parametrize(
    "key",
    [
        "history/0000000000000000-0000000000000001.json",
        "history/0000000000000001-9999999999999999.json",
        "history/0000000000000001-0000000000000002.json\n",
        "history/0000000000000001-0000000000000002",
        "history/0000000000000001_0000000000000002.json",
        "history/1-2.json",
        "history/",
        "epochs/0000000000000001-0000000000000002.json",
        "xhistory/0000000000000001-0000000000000002.json",
    ],
)
def test_what_is_not_a_range_is_foreign(key: str) -> None:
    """What somebody else put into history/ is passed over (I12)."""
    assert history_range(key) is None


# --- nodes ----------------------------------------------------------------------------------------------------------


@given(node=NODE_IDS)
def test_a_node_comes_back_from_its_key(node: str) -> None:
    """What names a node can stand in every key of it."""
    assert check_node_id(node) == node
    assert member_id(member_key(node)) == node
    assert identity_key(node) == f"nodes/{node}/identity.json"
    assert state_key(node) == f"nodes/{node}/state.json"


@pytest.mark.parametrize(
    "node",
    ["", "-a", "_a", "A", "a b", "a/b", "../a", "a.json", "a\n", "\na", "a\x00", "ä", "\u0661", "a" * 64, "a" * 10_000],
)
def test_what_cannot_name_a_node_is_refused_in_one_line(node: str) -> None:
    """The pattern ends in \\Z: a trailing newline is no part of a name (design section 11)."""
    with pytest.raises(SettingsError, match="cannot name a node") as caught:
        check_node_id(node)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250
    assert member_id(f"members/{node}.json") is None


@given(node=NODE_IDS, scrap=SCRAPS, where=st.integers(0, 80))
def test_a_key_that_is_nearly_a_nodes_is_its_own_or_foreign(node: str, scrap: str, where: int) -> None:
    """Foreign keys among the members name nobody (I12)."""
    key = member_key(node)
    other = key[:where] + scrap + key[where:]
    found = member_id(other)
    assert found is None or member_key(found) == other


def test_a_fresh_node_id_is_twelve_hex_digits_and_nobodys() -> None:
    """Two nodes that start at once are two nodes (design section 2)."""
    ids = {fresh_node_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{12}", one) and check_node_id(one) for one in ids)


# --- prefixes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "bare"),
    [
        ("leader", "leader"),
        ("/leader/", "leader"),
        ("//a/b//", "a/b"),
        ("team=a/env=prod/v1.2_x-y", "team=a/env=prod/v1.2_x-y"),
        ("x" * 512, "x" * 512),
    ],
)
def test_a_prefix_loses_its_outer_slashes(prefix: str, bare: str) -> None:
    """`/leader/` and `leader` are one cluster."""
    assert check_prefix(prefix) == bare
    assert check_prefix(bare) == bare


@pytest.mark.parametrize(
    "prefix",
    ["", "/", "a//b", "a/../b", ".", "..", ".hidden", "a/.b", "-a", "a b", "a\n", "a\\b", "a?", "a%2F", "ä", "x" * 513],
)
def test_what_cannot_be_a_prefix_is_refused_in_one_line(prefix: str) -> None:
    """No prefix leads out of itself, hides, or needs to be escaped anywhere."""
    with pytest.raises(SettingsError, match="cannot be a prefix") as caught:
        check_prefix(prefix)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
