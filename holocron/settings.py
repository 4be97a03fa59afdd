"""Timings and limits: plain values, their relations checked once, with a message that says what to change."""

from __future__ import annotations

import re

import msgspec

from holocron.errors import SettingsError

__all__ = [
    "DEFAULT_TTL_S",
    "MAX_TTL_S",
    "MIN_TTL_S",
    "VALUE_LIMIT_BYTES",
    "Settings",
    "parse_duration_s",
    "show_duration",
]

DEFAULT_TTL_S = 10.0
MIN_TTL_S = 1.0
MAX_TTL_S = 600.0
# What a leader may publish rides in every lock file until the next value replaces it, so it has to stay small.
PAUSE_MAX_S = 86_400.0
VALUE_LIMIT_BYTES = 64 * 1024

_WHOLE = ("keep_epochs", "trim_batch")
_MAY_BE_NONE = ("renew_every_s", "margin_s", "heartbeat_every_s", "drain_s")
_ABSURD = 1e15

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)?\Z")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_duration_s(text: str) -> float:
    """The seconds that `text` names: "10s", "250ms", "1.5m", "2h", "7d", or a bare number of seconds."""
    match = _DURATION.match(text.strip())
    if match is None:
        raise SettingsError(f"{text[:40]!r} is not a duration: say 10s, 250ms, 1.5m, 2h or 7d")
    return float(match.group(1)) * _UNIT_S[match.group(2)]


def show_duration(seconds: float) -> str:
    """`seconds` as a person would write it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.3g}s"
    if seconds < 7200:
        return f"{seconds / 60:.3g}m"
    if seconds < 172_800:
        return f"{seconds / 3600:.3g}h"
    days = seconds / 86400
    return f"{days:.3g}d" if days < 1000 else f"{days:.0f}d"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The timings of one node. Nodes of one cluster may differ; each lease lasts what its own record says.

    Every field that is None follows from `ttl_s` as its comment says; read it through the property beside it.
    Relations are checked when the value is made, and `SettingsError` names the two that disagree.
    """

    # How long a lease lasts in the bucket: a follower waits this long after its last read of the head.
    ttl_s: float = DEFAULT_TTL_S
    # How often a leader renews. None: a third of the ttl, so that two renewals may fail before the lease is lost.
    renew_every_s: float | None = None
    # What the holder gives up at the end of its lease (rule 3). None: 10 % of the ttl, at least 100 ms.
    margin_s: float | None = None
    # How far apart the heirs of a lapsed lease try (rule 8); three observed round trips if those take longer.
    stagger_s: float = 0.150
    # How often a node rewrites its presence beacon, and the leader looks at everyone's. None: the ttl.
    heartbeat_every_s: float | None = None
    # How long a leader that was asked to step down waits for its work to finish. None: the ttl.
    drain_s: float | None = None
    # Retention (rule 12): the newest epochs that always stay, and the age below which any epoch stays.
    keep_epochs: int = 128
    keep_age_s: float = 300.0
    # How many epochs retention takes out at a time: one history file each.
    trim_batch: int = 64
    # Genesis only: the bounds of ttl for the whole cluster, written once by its first node.
    ttl_min_s: float = MIN_TTL_S
    ttl_max_s: float = MAX_TTL_S
    # Rule 11: after a cold start, let the store's own clocks (Date less LastModified, less 2 s) count as waiting.
    trust_store_clock: bool = False

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if name != "trust_store_clock":
                _check_number(name, getattr(self, name))
        _between("ttl_s", self.ttl_s, MIN_TTL_S, MAX_TTL_S)
        _between("ttl_max_s", self.ttl_max_s, MIN_TTL_S, MAX_TTL_S)
        _between("ttl_min_s", self.ttl_min_s, MIN_TTL_S, self.ttl_max_s, "ttl_max_s")
        _between("ttl_s", self.ttl_s, self.ttl_min_s, self.ttl_max_s, "ttl_min_s and ttl_max_s")
        _between("margin_s", self.margin, 0.05, self.ttl_s / 2, "half of ttl_s")
        _between("renew_every_s", self.renew_every, 0.05, self.belief_s / 2, "half of what margin_s leaves of ttl_s")
        _between("stagger_s", self.stagger_s, 0.010, self.ttl_s, "ttl_s")
        _between("heartbeat_every_s", self.heartbeat_every, 0.1, 3600.0)
        _between("drain_s", self.drain, 0.0, 86400.0)
        _between("keep_epochs", self.keep_epochs, 2, 100_000)
        _between("trim_batch", self.trim_batch, 1, 1000)
        _between("keep_age_s", self.keep_age_s, 0.0, 10 * 365 * 86400.0)

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of a healthy leader."""
        return self.ttl_s / 3 if self.renew_every_s is None else self.renew_every_s

    @property
    def margin(self) -> float:
        """Seconds by which the holder stops believing before anyone may follow it."""
        return max(self.ttl_s * 0.1, 0.1) if self.margin_s is None else self.margin_s

    @property
    def belief_s(self) -> float:
        """How long a holder believes in a lease, counted from before it asked for it (rules 2 and 3)."""
        return self.ttl_s - self.margin

    @property
    def drift(self) -> float:
        """How much slower the holder's clock may run than a waiter's, as a fraction, with exclusion still kept."""
        return self.margin / self.ttl_s

    @property
    def heartbeat_every(self) -> float:
        """Seconds between two rewrites of a node's beacon."""
        return self.ttl_s if self.heartbeat_every_s is None else self.heartbeat_every_s

    @property
    def drain(self) -> float:
        """Seconds that work may take to finish before a release is given up and the lease left to lapse."""
        return self.ttl_s if self.drain_s is None else self.drain_s

    @property
    def attempt_s(self) -> float:
        """How long one request may take: short enough that a silent store leaves room to try again in the lease."""
        return max(self.ttl_s / 5, 0.25)


def _check_number(name: str, value: object) -> None:
    """Callers without a type checker give text and fractions too, and a fraction of an epoch would spoil the floor."""
    whole = name in _WHOLE
    if value is None and name in _MAY_BE_NONE:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else int | float)
        # What is not a number, or has more digits than anyone would read, is in no range.
        or not 0 <= value <= _ABSURD
    ):
        kind = "whole" if whole else "finite"
        raise SettingsError(f"{name}={repr(value)[:40]} makes no sense: a {kind} number, not below zero")


def _between(name: str, value: float, low: float, high: float, why: str = "") -> None:
    if not low <= value <= high:
        because = f" ({why})" if why else ""
        raise SettingsError(f"{name} is {value:g} and must be between {low:g} and {high:g}{because}")


def check_pause(for_s: float) -> float:
    """`for_s` if a pause may last so long (rule 14); `SettingsError` if not."""
    if not 1.0 <= for_s <= PAUSE_MAX_S:
        raise SettingsError(f"a pause lasts from 1 second to 24 hours, not {for_s:g} s: pause again before it is over")
    return float(for_s)
