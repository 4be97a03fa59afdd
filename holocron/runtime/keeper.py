"""Retention, carried out (rule 12): compact into the history, then raise the floor, then delete; in that order.

A crash between any two of these loses nothing: a history file that is there already is taken as it is, and what lies
under the floor goes with the next trim.
"""

from __future__ import annotations

from collections.abc import Mapping

from holocron.errors import RecordUnreadable
from holocron.layout import history_key
from holocron.protocol.retention import compact, plan
from holocron.records import RECORD_LIMIT_BYTES, Epoch, History, Past, decode, encode
from holocron.runtime.history import Unread, behind_gap, read_epoch
from holocron.runtime.views import GcResult
from holocron.settings import Settings
from holocron.store.base import Absent, Deadline, Found, Procedure, Store
from holocron.store.chain import Chain, Dishonest, FloorRead, Trouble
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace

__all__ = ["tidy"]


def tidy(
    chain: Chain,
    store: Store,
    head: int,
    cluster: str,
    nonce: str,
    settings: Settings,
    records: Mapping[int, Epoch] | None,
    deadline: Deadline,
) -> Procedure[GcResult | Trouble | Dishonest]:
    """Take out of the chain what retention lets go; what went, or what stood in the way (nothing is lost then).

    One GET where nothing can be due. An old `head` is safe: what may go below it may go below any later one too.

    Args:
        records: epochs that the caller has read already, by number; they are not read again.
    """
    read = yield from chain.floor(deadline)
    if not isinstance(read, FloorRead):
        return read
    floor = read.floor
    nothing = GcResult(removed=0, first=None, last=None, floor=floor)
    if head - settings.keep_epochs - floor + 1 < settings.trim_batch:
        return nothing
    listed = yield from chain.entries(floor - 1, deadline)
    if isinstance(listed, Trouble):
        return listed
    entries = [(chain.number(entry.key), entry.modified_s) for entry in listed[0]]
    there = {number for number, _ in entries}
    missing = next((number for number in range(floor, head + 1) if number not in there), None)
    if missing is not None:
        # A leader renews without looking back, so this is where it finds out that its chain was cut behind it (I7).
        return (yield from _gone(chain, missing, deadline)) or nothing
    stray = next((n for n, _ in entries if n is not None and n > head and n - 1 not in there), None)
    # Whoever looks for the head sees what lies behind a gap, and a leader never looks.
    broken = yield from behind_gap(chain, stray, deadline)
    if broken is not None:
        return broken
    # How much older than the newest object of the chain, both by the server's one clock: never more than the true age.
    newest_s = max((modified_s for _, modified_s in entries if modified_s is not None), default=0.0)
    ages = tuple(
        (number, newest_s - modified_s if modified_s is not None else 0.0)
        for number, modified_s in entries
        if number is not None
    )
    below = plan(ages, head, floor, settings)
    if below is None:
        return nothing
    for first in range(floor, below, settings.trim_batch):
        last = first + settings.trim_batch - 1
        pasts = yield from _pasts(chain, first, last, records or {}, deadline)
        if isinstance(pasts, Trouble | Dishonest):
            return pasts
        if pasts is None:
            # Someone else trims, and is ahead of us: what is gone is in the history by their hand.
            return nothing
        trouble = yield from _archive(store, pasts, cluster, nonce, deadline)
        if trouble is not None:
            return trouble
    gone = yield from chain.trim(below, nonce, deadline)
    if not isinstance(gone, int):
        return gone
    return GcResult(removed=below - floor, first=floor, last=below - 1, floor=below)


def _pasts(
    chain: Chain, first: int, last: int, records: Mapping[int, Epoch], deadline: Deadline
) -> Procedure[tuple[Past, ...] | Trouble | Dishonest | None]:
    """Epochs `first` to `last` as the history keeps them; None where some were trimmed meanwhile."""
    pasts: list[Past] = []
    for number in range(first, last + 1):
        known = records.get(number)
        reading = known if known is not None else (yield from read_epoch(chain, number, deadline))
        match reading:
            case Epoch():
                pasts.append(Past(epoch=number, record=reading))
            case Unread(raw=None, error=error):
                return Trouble(f"{error}; it cannot be kept in the history, so nothing is taken out")
            case Unread(raw=raw):
                pasts.append(Past(epoch=number, record=None, raw=raw))
            case Trouble():
                return reading
            case Absent():
                return (yield from _gone(chain, number, deadline))
    return tuple(pasts)


def _gone(chain: Chain, number: int, deadline: Deadline) -> Procedure[Trouble | Dishonest | None]:
    """Why epoch `number` is not there: None where someone else trims, and is ahead of us."""
    read = yield from chain.floor(deadline)
    if not isinstance(read, FloorRead):
        return read
    if read.floor <= number:
        return Dishonest(f"{chain.key(number)} is gone, and the floor is {read.floor}: not by retention")
    return None


def _archive(
    store: Store, pasts: tuple[Past, ...], cluster: str, nonce: str, deadline: Deadline
) -> Procedure[Trouble | None]:
    """Have `pasts` stand in the history, in one file or, where that could not be read back, in several."""
    first, last = pasts[0].epoch, pasts[-1].epoch
    body = encode(compact(first, last, pasts, cluster, nonce))
    key = history_key(first, last)
    if len(body) > RECORD_LIMIT_BYTES:
        if first == last:
            return Trouble(f"epoch {first} is too large to be kept as {key}, so nothing is taken out")
        middle = len(pasts) // 2
        for half in (pasts[:middle], pasts[middle:]):
            trouble = yield from _archive(store, half, cluster, nonce, deadline)
            if trouble is not None:
                return trouble
        return None
    result = yield from replace(store, key, body, None, deadline)
    match result:
        case Replaced():
            return None
        case Held(found=Found(body=there)):
            # An earlier attempt, ours or another leader's, that came no further than this.
            try:
                kept = decode(History, there, key, cluster)
            except RecordUnreadable as error:
                return Trouble(f"{error}; nothing is taken out")
            if [(past.epoch, past.record, past.raw) for past in kept.epochs] != [
                (past.epoch, past.record, past.raw) for past in pasts
            ]:
                return Trouble(f"{key} is there and tells another story than the chain; nothing is taken out")
            return None
        case NotDone(error=error, denied=denied):
            return Trouble(error, denied)
        case Held(found=found):
            return Trouble(f"{key} is there and cannot be read ({type(found).__name__.lower()}); nothing is taken out")
        case Unsettled(error=error):
            return Trouble(error)
