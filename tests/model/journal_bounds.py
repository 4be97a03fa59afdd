"""How much one exploration of a journal allows, and the worlds that are explored."""

from __future__ import annotations

import msgspec

__all__ = ["BUDGETS", "LONG", "SHORT", "JournalBounds", "JournalBudget"]


class JournalBudget(msgspec.Struct, frozen=True):
    """How often each misfortune or wish may happen in one life, at most 7 times each."""

    # What the application hands in, one entry each time.
    append: int = 0
    # How often a checkpoint may be begun, of what is acknowledged by then.
    checkpoint: int = 0
    # A process that dies, its writes under way or not.
    crash: int = 0
    # A node that is resumed while its former self lives on.
    usurped: int = 0
    # An answer or a request that never arrives, after which it is asked again or given up; a 412 to one's own nonce.
    lost: int = 0
    # A write that lands at any time after its client has asked again or given up.
    late: int = 0
    # The newest checkpoint can no longer be read.
    damaged: int = 0


BUDGETS = JournalBudget.__struct_fields__


class JournalBounds(msgspec.Struct, frozen=True):
    """One exploration: so many incarnations of one node, so much misfortune."""

    name: str
    incarnations: int = 2
    budget: JournalBudget = JournalBudget()
    # How many slots may be in flight. What ships has 4; with 2 the same things happen within fewer slots.
    window: int = 2
    # How many checkpoints are kept. What ships keeps 2; with 1 slots go after the first.
    kept: int = 2
    # What the first incarnation has done before anything goes wrong: "a" for an entry appended, "c" for a checkpoint
    # taken. None: nothing is there at all, and it has not even begun.
    begun: str | None = ""
    # What a lost answer may also be: a connection refused, a 409, a 403.
    strange_answers: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.incarnations <= 3:
            raise ValueError(f"{self.incarnations} incarnations: the model has places for 3")
        if self.kept < 2 and self.budget.damaged:
            raise ValueError("a damaged checkpoint is survived by the one before it, and only one is kept")
        for name in BUDGETS:
            if not 0 <= getattr(self.budget, name) <= 7:
                raise ValueError(f"{name}={getattr(self.budget, name)}: a budget is 0 to 7")


def _world(
    name: str, *, incarnations: int = 2, window: int = 2, kept: int = 2, begun: str | None = "", strange: bool = False,
    **budget: int,
) -> JournalBounds:  # fmt: skip
    return JournalBounds(f"journal: {name}", incarnations, JournalBudget(**budget), window, kept, begun, strange)


# The short ones are visited whole by the tests; the long ones as far as they are let.
SHORT = (
    _world("two begin it", begun=None, append=1, usurped=1, lost=1),
    _world("a former self lives on", append=3, usurped=1),
    _world("three incarnations", incarnations=3, append=2, usurped=2),
    _world("crash and crash again", incarnations=3, begun="a", append=3, crash=2),
    _world("lost and late", append=2, usurped=1, lost=1, late=1),
    _world("strange answers", append=2, usurped=1, lost=1, strange=True),
    _world("checkpoints", begun="ac", append=2, usurped=1, checkpoint=1),
    _world("one checkpoint kept", append=2, usurped=1, checkpoint=1, kept=1),
    _world("a damaged checkpoint", begun="aac", append=1, crash=1, usurped=1, checkpoint=1, damaged=1),
    _world("the window that ships", window=4, begun="aaa", append=4, usurped=1),
)
LONG = (
    _world("two begin it, lost and late", begun=None, append=1, usurped=1, lost=1, late=1),
    _world("crash again, lost and late", incarnations=3, begun="a", append=3, crash=2, lost=1, late=1),
    _world("crash and former self, late", incarnations=3, append=3, crash=1, usurped=1, late=1),
    _world("late writes where slots went", append=2, usurped=1, checkpoint=1, kept=1, late=1),
    _world("three and a checkpoint", incarnations=3, append=2, crash=1, usurped=1, checkpoint=1, kept=1),
    _world("three alive and a checkpoint", incarnations=3, append=2, usurped=2, checkpoint=1, kept=1),
    _world("two checkpoints", begun="ac", append=2, usurped=1, checkpoint=2, late=1),
    _world(
        "damage, crash, late",
        incarnations=3,
        begun="aac",
        append=1,
        crash=1,
        usurped=1,
        checkpoint=1,
        late=1,
        damaged=1,
    ),
    _world("the window that ships, lost", window=4, begun="aaa", append=4, usurped=1, lost=1, late=1),
)
