"""Timings and limits: their relations hold in every `Settings` there is, and a message says which two disagree."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.errors import SettingsError
from holocron.settings import DEFAULT_TTL_S, MAX_TTL_S, MIN_TTL_S, Settings, parse_duration_s, show_duration


def refused(**chosen: Any) -> str:
    """The one line that says why there are no such settings."""
    with pytest.raises(SettingsError) as caught:
        Settings(**chosen)
    line = str(caught.value)
    assert line.isprintable()
    return line


# --- relations ------------------------------------------------------------------------------------------------------


def test_what_follows_from_the_ttl() -> None:
    """Defaults: 10 s, a renewal each third of it, a margin of a tenth, a heartbeat and a drain of a ttl (rule 3)."""
    plain = Settings()
    assert plain.ttl_s == DEFAULT_TTL_S == 10.0
    assert plain.renew_every == pytest.approx(10 / 3)
    assert (plain.margin, plain.belief_s, plain.drift) == (1.0, 9.0, 0.1)
    assert (plain.heartbeat_every, plain.drain, plain.attempt_s) == (10.0, 10.0, 2.0)
    # The margin is never less than 100 ms by itself, nor an attempt shorter than a quarter of a second.
    assert (Settings(ttl_s=1.0).margin, Settings(ttl_s=1.0).attempt_s) == (0.1, 0.25)
    assert plain.trust_store_clock is False


def test_what_is_chosen_is_kept() -> None:
    """A value that was given is never replaced by one that follows from the ttl, zero included."""
    chosen = Settings(ttl_s=20.0, renew_every_s=1.0, margin_s=2.0, heartbeat_every_s=3.0, drain_s=0.0)
    assert (chosen.renew_every, chosen.margin, chosen.heartbeat_every, chosen.drain) == (1.0, 2.0, 3.0, 0.0)
    assert chosen.belief_s == 18.0


@pytest.mark.parametrize("ttl_s", [MIN_TTL_S, 1.5, DEFAULT_TTL_S, MAX_TTL_S])
def test_every_ttl_that_is_allowed_needs_nothing_else(ttl_s: float) -> None:
    """From 1 s to 10 min, a ttl alone is enough."""
    assert Settings(ttl_s=ttl_s).ttl_s == ttl_s


NUMBERS = st.one_of(st.floats(0, 30), st.sampled_from([0.05, 0.1, 1.0, 10.0, 600.0]), st.floats(), st.integers(0, 700))


@given(
    st.fixed_dictionaries(
        {"ttl_s": st.floats(1, 30)},
        optional={
            "renew_every_s": NUMBERS | st.none(),
            "margin_s": NUMBERS | st.none(),
            "stagger_s": NUMBERS,
            "heartbeat_every_s": NUMBERS | st.none(),
            "drain_s": NUMBERS | st.none(),
            "keep_age_s": NUMBERS,
            "keep_epochs": st.integers(-1, 200),
            "trim_batch": st.integers(-1, 200),
            "ttl_min_s": NUMBERS,
            "ttl_max_s": NUMBERS,
        },
    )
)
def test_settings_that_disagree_do_not_exist(chosen: dict[str, Any]) -> None:
    """Whatever is given: an error in one line, or timings by which the rules are safe (rules 3, 5, 8 and 12)."""
    try:
        made = Settings(**chosen)
    except SettingsError:
        refused(**chosen)
        return
    # The margin is paid by the holder, and belief outlives a renewal that failed, tried again once.
    assert made.belief_s + made.margin == pytest.approx(made.ttl_s)
    assert 0.05 <= made.margin <= made.ttl_s / 2
    assert 0 < made.drift <= 0.5
    assert 2 * made.renew_every <= made.belief_s
    assert made.ttl_min_s <= made.ttl_s <= made.ttl_max_s <= MAX_TTL_S
    assert made.ttl_min_s >= MIN_TTL_S
    assert made.stagger_s <= made.ttl_s
    assert made.attempt_s <= made.belief_s / 2
    # The head stays, whatever is trimmed, and so does the one before it.
    assert made.keep_epochs >= 2
    assert made.trim_batch >= 1
    assert all(math.isfinite(value) for value in msgspec.structs.asdict(made).values() if value is not None)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"ttl_s": 0.5}, ["ttl_s", "1 and 600"]),
        ({"ttl_s": 601.0, "ttl_max_s": 601.0}, ["ttl_s", "1 and 600"]),
        ({"ttl_s": 20.0, "ttl_max_s": 15.0}, ["ttl_s is 20", "15", "ttl_max_s"]),
        ({"ttl_s": 5.0, "ttl_min_s": 6.0}, ["ttl_s is 5", "6", "ttl_min_s"]),
        ({"ttl_min_s": 20.0, "ttl_max_s": 15.0}, ["ttl_min_s is 20", "15", "ttl_max_s"]),
        ({"ttl_min_s": 0.5}, ["ttl_min_s is 0.5"]),
        ({"ttl_max_s": 601.0}, ["ttl_max_s is 601"]),
        ({"margin_s": 0.0}, ["margin_s is 0", "0.05"]),
        ({"margin_s": 6.0}, ["margin_s is 6", "5", "ttl_s"]),
        ({"renew_every_s": 5.0}, ["renew_every_s is 5", "4.5", "margin_s", "ttl_s"]),
        ({"renew_every_s": 0.0}, ["renew_every_s is 0"]),
        ({"margin_s": 5.0}, ["renew_every_s is 3.33333", "2.5", "margin_s"]),
        ({"stagger_s": 11.0}, ["stagger_s is 11", "10", "ttl_s"]),
        ({"stagger_s": 0.001}, ["stagger_s is 0.001"]),
        ({"heartbeat_every_s": 0.0}, ["heartbeat_every_s is 0"]),
        ({"heartbeat_every_s": 3601.0}, ["heartbeat_every_s is 3601"]),
        ({"drain_s": 90_000.0}, ["drain_s is 90000"]),
        ({"keep_epochs": 1}, ["keep_epochs is 1", "between 2"]),
        ({"keep_epochs": 100_001}, ["keep_epochs"]),
        ({"trim_batch": 0}, ["trim_batch is 0"]),
        ({"trim_batch": 1001}, ["trim_batch is 1001"]),
        ({"keep_age_s": 1e9}, ["keep_age_s"]),
    ],
)
def test_a_message_says_what_is_and_what_may_be(chosen: dict[str, Any], names: list[str]) -> None:
    """The name, its value, the bounds, and where another setting draws one of them, that one's name."""
    line = refused(**chosen)
    assert all(name in line for name in names), line


@pytest.mark.parametrize("name", [name for name in Settings.__struct_fields__ if name != "trust_store_clock"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -1e-9, True, "10s", b"1", [1], 10**400])
def test_what_is_no_number_makes_no_sense(name: str, value: object) -> None:
    """Not a number at all, not a finite one, a negative one: refused by name, never a traceback from within."""
    line = refused(**{name: value})
    assert line.startswith(f"{name}=")
    assert len(line) < 120


@pytest.mark.parametrize("name", ["keep_epochs", "trim_batch"])
def test_epochs_are_counted_in_whole_numbers(name: str) -> None:
    """A fraction of an epoch would come to stand in the floor, where nobody could read it."""
    assert "whole" in refused(**{name: 5.5})
    assert name in refused(**{name: None})


# --- durations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("250ms", 0.25),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        ("7d", 604800.0),
        ("10", 10.0),
        ("0", 0.0),
        ("0.000001s", 1e-6),
        (" 10s\n", 10.0),
        ("007s", 7.0),
        ("999999999d", 999999999 * 86400.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """As people write them; a bare number is seconds."""
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "-1s",
        "+1s",
        "1 s",
        "1S",
        "1w",
        "1ss",
        "1e3",
        "1e3s",
        "nan",
        "inf",
        "1,5s",
        ".5s",
        "5.",
        "1.2.3s",
        "1h30m",
        "0x10",
        "1_000s",
        "10s\x00",
        "\u0661\u0660s",
        "9" * 10 + "s",
        "9" * 10_000,
        "1.1234567s",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """One line that shows how to say it."""
    with pytest.raises(SettingsError, match=r"say 10s, 250ms, 1\.5m, 2h or 7d") as caught:
        parse_duration_s(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@given(text=st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """A finite number of seconds, not below zero, or one type of error."""
    try:
        seconds = parse_duration_s(text)
    except SettingsError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0


@given(seconds=st.one_of(st.floats(0.001, 1e9), st.integers(1, 1000)))
def test_a_duration_that_is_shown_can_be_read_back(seconds: float) -> None:
    """What a message says, a person can put into a setting: the same, to the digits shown."""
    assert parse_duration_s(show_duration(seconds)) == pytest.approx(seconds, rel=0.005, abs=0.0005)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (10.0, "10s"), (90.0, "90s"), (600.0, "10m"), (7200.0, "2h"), (604800.0, "7d"), (3e8, "3472d")],
)
def test_a_duration_is_shown_as_people_say_it(seconds: float, text: str) -> None:
    """Three digits of the unit that fits."""
    assert show_duration(seconds) == text
