"""Durations and moments, as flags give them and people read them."""

from __future__ import annotations

__all__ = ["age", "seconds"]


def seconds(flag: str, text: str | None) -> float | None:
    """The seconds that a flag's value names, None where it was not given; `SettingsError` names the flag."""
    from holocron.errors import SettingsError
    from holocron_cli.checks import parse_duration_s

    if text is None:
        return None
    try:
        return parse_duration_s(text)
    except SettingsError as error:
        raise SettingsError(f"{flag}: {error}") from None


def age(value_s: float | None) -> str:
    """How long ago, "-" where nobody knows."""
    from holocron_cli.checks import show_duration

    return "-" if value_s is None else f"{show_duration(max(0.0, value_s))} ago"
