"""What may be seen of a node from outside: all that metrics and the HTTP endpoints ever ask of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holocron.observe.statistics import Statistics
from holocron.records import Leader, Member

__all__ = ["Observed", "ObservedLease", "View"]


class ObservedLease(Protocol):
    """Leadership while it lasts."""

    @property
    def valid(self) -> bool: ...

    @property
    def term(self) -> int: ...

    @property
    def remaining_s(self) -> float: ...


class View(Protocol):
    """The leader's view of everyone."""

    @property
    def epoch(self) -> int: ...

    @property
    def term(self) -> int: ...

    @property
    def leader(self) -> Leader: ...

    @property
    def members(self) -> Sequence[Member]: ...


class Observed(Protocol):
    """A node, as `holocron.Node` is one; nothing here asks the store for anything."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def cluster(self) -> str: ...

    @property
    def incarnation(self) -> int: ...

    @property
    def role(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def lease(self) -> ObservedLease | None: ...

    @property
    def failure(self) -> Exception | None: ...

    def leader(self) -> Leader | None: ...

    def topology(self) -> View | None: ...

    def statistics(self) -> Statistics: ...
