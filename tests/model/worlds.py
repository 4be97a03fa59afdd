"""The worlds that are explored: the short ones whole, within a minute together; the long one as far as it is let."""

from __future__ import annotations

from tests.model.bounds import Bounds, Budget

__all__ = ["LONG", "SHORT"]

# Three nodes and four epochs everywhere, but where it says otherwise. With no slack everything that is due happens
# before the next tick, in any order, unless somebody is stopped, asleep, dead or not answered: that keeps the time
# that nothing goes wrong short, and leaves room for what does.
SHORT = (
    Bounds("crash and resume", slack=0, budget=Budget(crash=1)),
    Bounds("a former self lives on", slack=0, budget=Budget(usurped=1)),
    Bounds("a stopped process", slack=0, budget=Budget(stopped=1, skewed=1)),
    Bounds("a sleeping machine", slack=0, budget=Budget(asleep=1)),
    Bounds("lost and late", slack=0, budget=Budget(lost=1, late=1)),
    Bounds("strange answers", slack=0, budget=Budget(lost=1, published=1), strange_answers=True),
    Bounds("retention", slack=0, budget=Budget(trimmed=1)),
    Bounds("a guardian", epochs=3, slack=0, led=True, guarded=True, budget=Budget(crash=1)),
    Bounds("release and publish", slack=0, budget=Budget(released=1, published=1)),
    Bounds("heirs in order", slack=0, budget=Budget(released=1), ranked=True),
    Bounds("clocks that lie", epochs=3, slack=0, budget=Budget(stopped=1, skewed=2), clocks_lie=True),
    Bounds("never forced to act", nodes=2, epochs=2, budget=Budget(skewed=1)),
    Bounds("polls at their pace", nodes=2, epochs=2, paced=True),
    Bounds(
        "a release found by a slow poll",
        nodes=2,
        epochs=3,
        slack=0,
        paced=True,
        led=True,
        budget=Budget(released=1, stopped=1),
    ),
)
# Each but the last is visited whole as well, if `--states` allows ten million.
LONG = (
    Bounds("crash and stop", slack=0, led=True, budget=Budget(crash=1, stopped=1)),
    Bounds("crash and sleep", slack=0, led=True, budget=Budget(crash=1, asleep=1)),
    Bounds("former self, late write", slack=0, led=True, budget=Budget(usurped=1, late=1)),
    Bounds("former self, stop", slack=0, led=True, budget=Budget(usurped=1, stopped=1)),
    Bounds("value, stop, loss", slack=0, led=True, budget=Budget(published=1, stopped=1, lost=1)),
    Bounds("release and sleep", slack=0, led=True, budget=Budget(released=1, asleep=1)),
    Bounds("stop and retention", slack=0, led=True, budget=Budget(stopped=1, trimmed=1)),
    Bounds("release, stop, retention", slack=0, led=True, budget=Budget(released=1, stopped=1, trimmed=1)),
    Bounds("a guardian of four epochs", slack=0, led=True, guarded=True, budget=Budget(crash=1)),
    Bounds("a guardian, stop, loss", slack=0, led=True, guarded=True, budget=Budget(crash=1, stopped=1, lost=1)),
    Bounds("a guardian, late, retention", slack=0, led=True, guarded=True, budget=Budget(crash=1, late=1, trimmed=1)),
    Bounds("crash, late, retention", epochs=3, slack=0, led=True, budget=Budget(crash=1, late=1, trimmed=1)),
    Bounds(
        "a slow poll, stop, retention",
        nodes=2,
        slack=0,
        paced=True,
        led=True,
        budget=Budget(released=1, stopped=1, trimmed=1),
    ),
    Bounds(
        "everything at once",
        slack=0,
        led=True,
        budget=Budget(lost=1, late=1, crash=1, asleep=1, trimmed=1),
    ),
)
