"""Nodes that nothing tells apart may be exchanged: of all states that differ in names alone, one is visited.

The nodes of a state are put in the order of what they are like when nobody's name counts. Where two are alike, either
order will do: that some states are then visited under two sets of names costs time and hides nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from msgspec.structs import replace

from tests.model.numbering import Late, Numbered
from tests.model.state import NAMES, Dead, Guardian, Keeper, Process, key_of, renamed

__all__ = ["ORDERS", "Symmetry", "in_order"]

_T = TypeVar("_T")
Order = tuple[int, int, int]
ORDERS: tuple[Order, ...] = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


class Symmetry:
    """Exchanges the nodes of states that are made of `parts`, `buckets` and `lates`."""

    def __init__(self, parts: Numbered, buckets: Numbered, lates: Numbered) -> None:
        self._parts = parts
        self._all = (parts, buckets, lates)
        self._ranks: list[bytes | None] = [b"\x00"]
        self._exchanged: dict[Order, tuple[dict[int, int], dict[int, int], dict[int, int]]] = {}

    def order(self, slots: list[int]) -> Order | None:
        """Which node comes first, second and third; None where they are in order as they are."""
        known = self._ranks
        if len(known) < len(self._parts):
            known += [None] * (len(self._parts) - len(known))
        first = known[slots[0]] or self._rank(slots[0])
        second = known[slots[1]] or self._rank(slots[1])
        third = known[slots[2]] or self._rank(slots[2])
        if first <= second <= third:
            return None
        ranks = (first, second, third)
        order = sorted(range(3), key=ranks.__getitem__)
        return order[0], order[1], order[2]

    def exchanged(self, bucket: int, slots: list[int], late: int, order: Order) -> tuple[int, list[int], int]:
        """The same state when node `order[0]` bears the first name, and so on."""
        known = self._exchanged.get(order)
        if known is None:
            known = self._exchanged[order] = ({0: 0}, {0: 0}, {0: 0})
        parts, buckets, lates = known
        there = []
        for slot in (*order, 3, 4):
            number = slots[slot]
            other = parts.get(number)
            there.append(self._work_out(0, number, order) if other is None else other)
        now = buckets.get(bucket)
        then = lates.get(late)
        return (
            self._work_out(1, bucket, order) if now is None else now,
            there,
            self._work_out(2, late, order) if then is None else then,
        )

    def _work_out(self, what: int, number: int, order: Order) -> int:
        names = [""] * 3
        for now, before in enumerate(order):
            names[before] = NAMES[now]
        numbered = self._all[what]
        other = numbered.of(in_order(renamed(numbered.values[number], tuple(names))))
        self._exchanged[order][what][number] = other
        return other

    def _rank(self, number: int) -> bytes:
        """What a part is like when nobody's name counts."""
        part: Any = self._parts.values[number]
        own = part.node if isinstance(part, Dead) else part.election.seat.node
        masked = renamed(part, tuple("own" if name == own else "oth" for name in NAMES))
        rank = self._ranks[number] = hashlib.blake2b(key_of(masked), digest_size=8).digest()
        return rank


def in_order(value: _T) -> _T:
    """`value` with its sets, which are kept as tuples, in the one order that equal sets have."""
    if isinstance(value, Late):
        return replace(value, requests=tuple(sorted(value.requests, key=key_of)))
    if isinstance(value, Process | Keeper | Guardian) and value.call is not None and len(value.call.answers) > 1:
        return replace(value, call=replace(value.call, answers=tuple(sorted(value.call.answers, key=key_of))))
    return value
