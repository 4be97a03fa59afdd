"""What an operator may do to a cluster from outside: forget a node, ask the leader to hand over or to pause, trim
the chain."""

from __future__ import annotations

import time
from typing import Literal

from msgspec import UNSET, UnsetType
from msgspec.structs import replace as changed

from holocron.clock import stamp
from holocron.errors import HolocronError, NodeUnknown, NotLeader, OutcomeUnknown
from holocron.layout import CONTROL, identity_key, member_key
from holocron.records import Control, Epoch, Heir, Identity, decode, encode
from holocron.runtime.hinting import send
from holocron.runtime.keeper import tidy
from holocron.runtime.reader import WITHIN_S, Reader, nonce, refuse, sound
from holocron.runtime.views import GcResult
from holocron.settings import Settings
from holocron.store.base import Absent, Delete, Deleted, Found, Store
from holocron.store.chain import Chain, Created, Lost, Refused, Trouble, Unknown
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace

__all__ = ["forget", "gc", "pause", "step_down"]


def forget(reader: Reader, node_id: str, home: str | None, *, force: bool) -> None:
    """Remove a dead node: its identity is closed to whoever may still run under it, its beacon goes."""
    store = reader.home(home)
    identity = reader.identity(store, node_id)
    if identity is None:
        beacon = None if reader.genesis() is None else reader.beacon(node_id)
        raise reader.unknown(node_id, store, beacon)
    if not force:
        _refuse_living(reader, node_id)
    _close_identity(reader, store, node_id, identity)
    gone = reader.ask(reader.store, Delete(member_key(node_id)))
    if not isinstance(gone, Deleted):
        refuse(gone, member_key(node_id))


def step_down(reader: Reader, heir: Heir | None, by: str, timeout: float | None) -> int:
    """Ask the leader to hand over; the number of the request, once it is written."""
    head = _led(reader, "hand over")
    if heir is not None:
        _check_heir(reader, heir)
    elif isinstance(head.paused_ms, int):
        raise HolocronError(f"leadership stays with {head.leader.node} while it is paused: name an heir, or unpause")
    return _ask(reader, head, "step-down", heir, by, timeout)


def pause(reader: Reader, for_s: float, by: str, timeout: float | None) -> int:
    """Ask the leader to pause for `for_s` (0: no more); the number of the request, once it is written."""
    head = _led(reader, "pause" if for_s else "end a pause")
    return _ask(reader, head, "pause" if for_s else "unpause", None, by, timeout, round(for_s * 1000) or UNSET)


def _led(reader: Reader, what: str) -> Epoch:
    seen = reader.head()
    if seen is None or seen.record.kind == "release":
        raise NotLeader(f"{reader.store.uri} has no leader that could {what}")
    return seen.record


def _ask(
    reader: Reader,
    head: Epoch,
    request: Literal["step-down", "pause", "unpause"],
    heir: Heir | None,
    by: str,
    timeout: float | None,
    for_ms: int | UnsetType = UNSET,
) -> int:
    """Write a request to the leader of `head`; its number."""
    chain = Chain(reader.store, CONTROL, None, reader.uuid)
    deadline = reader.deadline(timeout)
    number = head.control
    while True:
        number += 1
        control = Control(
            cluster=reader.uuid,
            nonce=nonce(),
            number=number,
            request=request,
            term=head.term,
            heir=heir,
            by=by[:1024],
            written=stamp(time.time()),
            for_ms=for_ms,
        )
        outcome = reader.drive(chain.create(number, encode(control), deadline))
        match outcome:
            case Created():
                places = [row.hints for row in head.topology if row.node == head.leader.node]
                send((place for place in places if isinstance(place, str)), reader.uuid, number, kind="control")
                return number
            case Lost():
                # Someone else asked first; theirs stands, and ours comes after it.
                continue
            case Unknown(error=error):
                raise OutcomeUnknown(f"{chain.key(number)} may have been written: {error}")
            case Refused(error=error, denied=denied):
                refuse(Trouble(error, denied), chain.key(number))
            case _:
                refuse(outcome, chain.key(number))


def _check_heir(reader: Reader, heir: Heir) -> None:
    """The leader would give up its lease for whomever it is told, and nobody would come: so it is not told at all."""
    beacon = reader.beacon(heir.node)
    if beacon is None:
        raise NodeUnknown(f"no node {heir.node} is in the cluster at {reader.store.uri}, so it cannot lead next")
    if beacon.stopped or not beacon.standing or beacon.priority == 0:
        raise HolocronError(f"{heir.node} has stopped or does not stand for election, so it cannot lead next")


def gc(reader: Reader, settings: Settings) -> GcResult:
    """Take old epochs out of the chain into the history (rule 12)."""
    uuid, chain = reader.uuid, reader.chain()
    head = reader.head_number(chain)
    if head is None:
        return GcResult(removed=0, first=None, last=None, floor=1)
    # The work of hundreds of requests.
    deadline = reader.deadline(WITHIN_S * 12)
    return sound(reader.drive(tidy(chain, reader.store, head, uuid, nonce(), settings, None, deadline)))


def _refuse_living(reader: Reader, node_id: str) -> None:
    beacon = reader.beacon(node_id)
    if beacon is None or beacon.stopped:
        return
    seen = reader.head()
    row = None if seen is None else next((one for one in seen.record.topology if one.node == node_id), None)
    if row is None:
        raise HolocronError(f"{node_id} shows itself and no leader has judged it yet: stop it, or say force")
    if row.status == "alive":
        raise HolocronError(f"{node_id} is alive, says the last leader: stop it first, or say force")


def _close_identity(reader: Reader, store: Store, node_id: str, found: tuple[Identity, str]) -> None:
    """Mark it forgotten under an incarnation above all others, so that whoever runs as it is superseded."""
    key = identity_key(node_id)
    deadline = reader.deadline()
    while not found[0].forgotten:
        closed = changed(found[0], incarnation=found[0].incarnation + 1, nonce=nonce(), session=nonce(), forgotten=True)
        result = reader.drive(replace(store, key, encode(closed), found[1], deadline))
        match result:
            case Replaced():
                return
            case Held(found=Found(body=body, etag=etag)):
                found = decode(Identity, body, key, reader.uuid), etag
            case Held(found=Absent()):
                return
            case Held(found=there):
                refuse(there, key)
            case NotDone(error=error, denied=denied):
                refuse(Trouble(error, denied), key)
            case Unsettled(error=error):
                raise OutcomeUnknown(f"{key} may have been written: {error}")
