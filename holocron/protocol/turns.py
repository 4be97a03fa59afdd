"""Whose turn it is: how long a lease has to be waited out, who follows in which order, and when a node acts next.

Rules 3, 8, 9 and 11 as arithmetic: nothing here changes the state of an election.
"""

from __future__ import annotations

import zlib

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s
from holocron.protocol.messages import Seen
from holocron.protocol.state import Election
from holocron.records import Epoch

__all__ = ["due_s", "heirs", "may_stand", "place", "spread", "turn_has_come", "turn_s"]


def heirs(record: Epoch) -> tuple[str, ...]:
    """Who may follow the leader of `record`, in order (rule 8): a named heir, then by priority, then by rank."""
    able = [m for m in record.topology if m.standing and m.priority > 0 and m.status != "gone"]
    able.sort(key=lambda m: (m.status != "alive", -m.priority, m.rank))
    named = record.heir.node if record.heir is not None else None
    order = [m.node for m in able if m.node not in (record.leader.node, named)]
    return tuple(order if named is None else [named, *order])


class _Order:
    """The heirs of the record that was asked about last, with their places.

    The order is the record's alone, and of a thousand nodes in one process each asks for it several times per failover.
    """

    def __init__(self) -> None:
        self._last: tuple[Epoch | None, dict[str, int]] = (None, {})

    def of(self, record: Epoch) -> dict[str, int]:
        known, places = self._last
        if known is not record:
            places = {node: index for index, node in enumerate(heirs(record))}
            # Replaced whole, so that any thread may ask.
            self._last = (record, places)
        return places


_order = _Order()


def _ours(state: Election, record: Epoch) -> bool:
    """Whether this very process wrote `record`: then nobody else can believe in it."""
    return record.leader.node == state.seat.node and record.leader.session == state.seat.session


def place(state: Election, record: Epoch | None) -> int:
    """This node's place among the heirs; a node the leader did not know comes after all that it did."""
    order = _order.of(record) if record is not None else {}
    if state.seat.node in order:
        return order[state.seat.node]
    if not order:
        # Whoever comes upon a release that names nobody, as a process does that begins alone, lets nobody go first.
        at_once = record is None or record.kind == "release" or record.leader.node == state.seat.node
        return 0 if at_once else spread(state) % 4
    return len(order) + spread(state) % 4


def spread(state: Election) -> int:
    """A number of this node's own, by which a crowd is spread without chance."""
    return zlib.crc32(state.seat.node.encode())


def _lease_s(state: Election, head: Seen) -> float:
    """How long after reading `head` nobody may follow its holder, on a waiter's clock (rules 3, 9, 11)."""
    record = head.record
    if record is None:
        return state.rules.ttl_max_s
    named = record.kind == "release" and record.heir is not None and record.heir.node == state.seat.node
    if isinstance(record.paused_ms, int) and record.leader.node != state.seat.node and not named:
        # Rule 14: leadership stays with the node that has it, or goes to the heir that it names.
        return max(record.ttl_ms, record.paused_ms) / 1000
    if record.kind == "release":
        if _ours(state, record):
            # Whoever releases lets everyone else go first, and everyone notices within a lease.
            return record.ttl_ms / 1000
        if record.heir is not None and record.heir.node != state.seat.node:
            # The named heir reads the release at its next poll; until then nobody overtakes it.
            return record.renew_ms / 1000 * 1.25
        return 0.0
    if _ours(state, record):
        return 0.0
    former_self = record.leader.node == state.seat.node and record.leader.incarnation < state.seat.incarnation
    if state.rules.assume_dead and former_self:
        return 0.0
    return max(0.0, record.ttl_ms / 1000 - head.credit_s)


def turn_s(state: Election, head: Seen) -> float:
    """How long after reading `head` this node may try: the lease, then a stagger for every heir before it (rule 8)."""
    stagger_s = max(state.rules.stagger_s, 3 * state.trip_s)
    return _lease_s(state, head) + place(state, head.record) * stagger_s


def may_stand(state: Election) -> bool:
    """Whether this node would lead at all."""
    return state.standing and state.seat.priority > 0


def turn_has_come(state: Election, now: Instant) -> bool:
    """Whether this node may try for the next epoch at `now`."""
    head = state.head
    if not may_stand(state) or head is None:
        return False
    waited_s = elapsed_waiter_s(head.read, now)
    # A turn never comes before the lease is over, which most often says it all: the place takes a look at everyone.
    return waited_s >= _lease_s(state, head) and waited_s >= turn_s(state, head)


def due_s(state: Election, now: Instant) -> float | None:
    """Seconds until this node next has something to do by itself, or None where only an event can tell."""
    if state.stopped:
        return None
    if state.tenure is not None:
        lapse_s = state.tenure.belief_s - elapsed_holder_s(state.tenure.since, now)
        if state.business is not None:
            return max(0.0, lapse_s)
        # A value that waits is not to wait for the round as well, only for the pause after an attempt that failed.
        renew_s = 0.0 if state.waiting else state.rules.renew_every_s - elapsed_holder_s(state.tenure.since, now)
        if state.from_ is not None:
            renew_s = max(renew_s, state.after_s - elapsed_holder_s(state.from_, now))
        return max(0.0, min(lapse_s, renew_s))
    if state.business is not None:
        return None
    wait_s = 0.0 if state.from_ is None else state.after_s - elapsed_waiter_s(state.from_, now)
    if state.head is not None and may_stand(state) and state.failures == 0:
        waited_s = elapsed_waiter_s(state.head.read, now)
        if _lease_s(state, state.head) - waited_s < wait_s:
            wait_s = min(wait_s, max(0.0, turn_s(state, state.head) - waited_s))
    return max(0.0, wait_s)
