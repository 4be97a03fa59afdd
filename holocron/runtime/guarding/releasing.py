"""The release that a guardian writes for a dead process (rule 15), as a procedure over the chain of epochs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from holocron.clock import Instant, stamp
from holocron.errors import RecordUnreadable
from holocron.protocol.guarding import Charge, is_of, release_after
from holocron.records import Epoch, decode, encode
from holocron.store.base import Answer, Deadline, Found, Procedure
from holocron.store.chain import Chain, Created, Lost

__all__ = ["release"]


def release(
    chain: Chain,
    charge: Charge,
    now: Callable[[], Instant],
    nonce: Callable[[], str],
    deadline: Deadline,
    told: Callable[[Epoch], object] = lambda _: None,
) -> Procedure[Epoch | None]:
    """Release the tenure of `charge`, whose process is dead; the release, or None where there is nothing to release.

    One GET, one PUT and one GET (the floor) where the last epoch that was told is the head. No LIST has to come first:
    this stands where a renewal of the dead process would have stood, and a slot that was trimmed meanwhile shows in the
    floor, as it would have shown to that renewal. A renewal that was under way at the death may have taken the next
    number. Then the release follows that one; whoever else has taken it has released us from releasing.

    Args:
        told: called with the release as soon as it can be read, a round trip before it is known to count (rule 16).
    """
    reply = yield from chain.read(charge.epoch, deadline)
    head = _tenure(chain, charge, charge.epoch, reply.answer)
    while head is not None:
        record = release_after(head, nonce(), stamp(now().wall_s))
        outcome = yield from chain.create(record.epoch, encode(record), deadline, partial(told, record))
        match outcome:
            case Created():
                return record
            case Lost(found=found):
                head = _tenure(chain, charge, record.epoch, found)
            case _:
                # Refused, unknown, an orphan: the lease lapses by itself, as it would have without a guardian.
                return None
    return None


def _tenure(chain: Chain, charge: Charge, number: int, answer: Answer | None) -> Epoch | None:
    """Epoch `number`, if `answer` shows that it is part of the tenure of `charge`."""
    if not isinstance(answer, Found):
        return None
    try:
        record = decode(Epoch, answer.body, chain.key(number), chain.cluster)
    except RecordUnreadable:
        return None
    return record if is_of(record, charge) else None
