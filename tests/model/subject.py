"""What is explored: the functions that ship, or any of them replaced by one that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holocron.clock import Instant
from holocron.protocol import election
from holocron.protocol.election import Election, Rules
from holocron.protocol.messages import Action, Event, Tenure
from holocron.runtime.asking import EpochChain
from holocron.runtime.guarding.releasing import release
from holocron.settings import Settings
from holocron.store.base import Procedure
from holocron.store.chain import Chain

__all__ = ["RULES", "SETTINGS", "SHIPPED", "Subject"]

# One tick is one second. The lease of four ticks is believed for three, so the holder's clock may lose one in four.
# Retention is at its most aggressive: it spares nothing for being young.
SETTINGS = Settings(ttl_s=4.0, margin_s=1.0, renew_every_s=1.5, stagger_s=1.0, ttl_max_s=8.0, keep_age_s=0.0)
RULES = Rules(
    ttl_s=SETTINGS.ttl_s,
    belief_s=SETTINGS.belief_s,
    renew_every_s=SETTINGS.renew_every,
    stagger_s=SETTINGS.stagger_s,
    ttl_max_s=SETTINGS.ttl_max_s,
)


class Subject(msgspec.Struct, frozen=True):
    """The code under exploration. Whatever is not named is what ships.

    `step`, `due_s` and `believes` are the election's own. `asking` makes the procedures that carry out its actions
    (a class with the constructor and the methods `look`, `poll` and `create` of `EpochChain`), and `chain` is the
    class of the chain that these procedures, retention and guardians work on. `release` is what a guardian does.
    `rules` is what every node goes by, and `settings` is what its records say.
    """

    step: Callable[[Election, Event, Instant], tuple[Election, tuple[Action, ...]]] = election.step
    due_s: Callable[[Election, Instant], float | None] = election.due_s
    believes: Callable[[Tenure | None, Instant], bool] = election.believes
    asking: type[EpochChain] = EpochChain
    chain: type[Chain] = Chain
    release: Callable[..., Procedure[object]] = release
    rules: Rules = RULES
    settings: Settings = SETTINGS


SHIPPED = Subject()
