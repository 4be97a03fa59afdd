"""The published value as a linearizable register: what every reader who reads the store itself may rely on.

Every write that takes effect has a place of its own in one order, the epoch it rides in. So the check needs no search:
operations are linearizable exactly if each that ended before another began has the smaller (or, for reads, an equal)
epoch, and each value read was written in the epoch that it is said to come from.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

__all__ = ["Operation", "linearizable"]


class Operation(msgspec.Struct, frozen=True):
    """A publish or a read that ended. `epoch` is where its value was written: 0 for the value before the first."""

    kind: str
    who: str
    began_s: float
    ended_s: float
    epoch: int
    value: bytes | None


def linearizable(operations: list[Operation], written: dict[int, bytes]) -> Iterator[str]:
    """A sentence for each operation that no order of all of them could explain.

    Args:
        operations: acknowledged publishes and completed reads.
        written: the value that each epoch truly published.
    """
    for one in operations:
        if one.epoch and written.get(one.epoch) != one.value:
            there = written.get(one.epoch)
            yield f"{one.who}: a {one.kind} of {one.value!r} in epoch {one.epoch}, which publishes {there!r}"
    # Sweep in true time: whatever begins now must not be older than what has ended by now.
    ends = sorted(operations, key=lambda one: one.ended_s)
    newest: Operation | None = None
    done = 0
    for one in sorted(operations, key=lambda one: one.began_s):
        while done < len(ends) and ends[done].ended_s < one.began_s:
            if newest is None or ends[done].epoch > newest.epoch:
                newest = ends[done]
            done += 1
        if newest is None:
            continue
        too_old = one.epoch <= newest.epoch if one.kind == "publish" else one.epoch < newest.epoch
        if too_old:
            yield (
                f"{one.who}: a {one.kind} of epoch {one.epoch} began at {one.began_s:.6f} s, after "
                f"{newest.who}'s {newest.kind} of epoch {newest.epoch} had ended at {newest.ended_s:.6f} s"
            )
