"""How much of everything one exploration allows. What is not bounded here is free: who acts, when, and how late."""

from __future__ import annotations

import msgspec

from tests.model.state import NAMES

__all__ = ["BUDGETS", "Bounds", "Budget"]


class Budget(msgspec.Struct, frozen=True):
    """How often each misfortune or wish may happen in one life, at most 3 times each."""

    # An answer or a request that never arrives, a refused connection, a 409, a 403.
    lost: int = 0
    # A write whose client gave up and that lands later, whenever that may be.
    late: int = 0
    # A process that dies (and whose node may then be resumed, once).
    crash: int = 0
    # A node that is resumed while its former self lives on.
    usurped: int = 0
    # A machine that sleeps: MONOTONIC stands still, or in a snapshot everything but the wall clock.
    asleep: int = 0
    # A process that is stopped for a while (SIGSTOP), its clocks running on. Needed only where `slack` is bounded.
    stopped: int = 0
    # A tick in which one node's clocks stand still, or all others' do.
    skewed: int = 0
    published: int = 0
    released: int = 0
    # How often retention may begin.
    trimmed: int = 0


BUDGETS = Budget.__struct_fields__


class Bounds(msgspec.Struct, frozen=True):
    """One exploration: so many nodes, so many epochs, so much misfortune."""

    name: str
    nodes: int = 3
    epochs: int = 4
    budget: Budget = Budget()
    # It begins with a leader that everyone knows of; otherwise with nodes that have just come aboard.
    led: bool = False
    # Leaders write a topology, so heirs have an order and nodes cannot be exchanged.
    ranked: bool = False
    # Polls take their time and come no sooner than they are due. Otherwise one may come at any moment, and is answered
    # at once: that is more than any pace allows, for timers may be late at will and a slow poll is a late one.
    paced: bool = False
    # How many ticks a process may be late with any one step of what it has to do. None: it is never forced to act.
    slack: int | None = None
    # What a lost answer may also be: a connection refused, a 409, a 403.
    strange_answers: bool = False
    # A leader that dies may leave a guardian behind, if its host lives on (rule 15).
    guarded: bool = False
    # Clocks may run apart by more than the margin: then only the promises that need no bound are checked (not I1).
    clocks_lie: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= len(NAMES):
            raise ValueError(f"{self.nodes} nodes: the model has names for {len(NAMES)}")
        if self.budget.skewed > 1 and not self.clocks_lie:
            raise ValueError("two skewed ticks may fall into one lease, and are then beyond the margin")
        if self.guarded and self.budget.usurped:
            raise ValueError("a guardian and a former self have one place between them")
        for name in BUDGETS:
            if not 0 <= getattr(self.budget, name) <= 3:
                raise ValueError(f"{name}={getattr(self.budget, name)}: a budget is 0 to 3")
