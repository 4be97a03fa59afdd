"""What an incarnation does and is told, by the procedures that ship.

A procedure under way is driven afresh through all that it heard; but most are told one thing only, right after they
were first driven, so for a while each is kept as it stands, to be told that.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from holocron.clock import Instant
from holocron.state.journal import Fenced, Spoilt
from holocron.state.slots import Checkpoint
from holocron.store.base import Ask, Pause, Procedure, Reply, Step, Together
from holocron.store.chain import Trouble
from tests.model.journal_parts import Call, Ended, Heard, Incarnation, Replayed, Stepped
from tests.model.journal_process import LATER, Alive, JournalSubject, Settled, writes_of
from tests.model.state import NOW

__all__ = ["Driver"]

# How many procedures are kept as they stand.
_STANDING = 4_000


class Driver:
    """Every incarnation's moves, by `subject`'s own functions."""

    def __init__(self, subject: JournalSubject) -> None:
        self._subject = subject
        self._standing: dict[tuple[Incarnation, Call], _Procedure] = {}

    def opening(self, incarnation: Incarnation) -> Stepped:
        """It begins to open its journal, not for the first time perhaps."""
        tries = incarnation.tries + 1
        call = Call("open", f"{incarnation.number}-open-{tries}")
        return self._continued(replace(incarnation, tries=tries), call, None)

    def checkpointing(self, incarnation: Incarnation) -> Stepped:
        """The application has a checkpoint taken of where it stands."""
        kept = incarnation.kept + 1
        position, snapshot = len(incarnation.log), b",".join(incarnation.log)
        slot = Alive(self._subject, incarnation).journaling.slot_of(position)
        call = Call("keep", f"{incarnation.number}-keep-{kept}", position=position, slot=slot, snapshot=snapshot)
        return self._continued(replace(incarnation, kept=kept), call, None)

    def appended(self, incarnation: Incarnation, entry: bytes) -> Stepped:
        """The application hands in `entry`."""
        alive = Alive(self._subject, incarnation)
        settled = Settled(alive, 0, entry)
        settled.position = alive.journaling.append(entry, settled)
        alive.frame.settle()
        return alive.apart(_others(incarnation))

    def crashed(self, incarnation: Incarnation) -> Stepped:
        """Its process is no more; what it has sent may land, now or at any time, or never."""
        return Stepped(None, (), writes_of(incarnation.calls))

    def told(self, incarnation: Incarnation, call: Call, heard: Heard) -> Stepped:
        """`call` is given its answer."""
        if call.batch is None:
            others = tuple(each for each in incarnation.calls if each is not call)
            return self._continued(replace(incarnation, calls=others), call, heard)
        alive = Alive(self._subject, incarnation)
        alive.frame.tell((call.batch, call.nonce), heard)
        return alive.apart(_others(incarnation))

    def _continued(self, incarnation: Incarnation, call: Call, heard: Heard | None) -> Stepped:
        """An open or a checkpoint goes on up to its next request; `call` is not among the calls of `incarnation`."""
        call = replace(call, requests=(), answers=())
        # What a procedure does is a function of what it heard and of nobody's writes.
        alone = replace(incarnation, calls=(), writer=None, waiting=(), log=(), drawn=0)
        procedure = self._standing.pop((alone, call), None)
        if procedure is None:
            procedure = _Procedure(Alive(self._subject, replace(incarnation, calls=())), call)
        if heard is not None:
            procedure.tell(heard)
            call = replace(call, heard=(*call.heard, heard))
        alive = Alive(self._subject, incarnation)
        if procedure.ended:
            return _concluded(alive, procedure, _others(incarnation))
        self._standing[alone, call] = procedure
        if len(self._standing) > _STANDING:
            del self._standing[next(iter(self._standing))]
        return alive.apart((*_others(incarnation), replace(call, requests=procedure.step.requests)))


def _others(incarnation: Incarnation) -> tuple[Call, ...]:
    return tuple(each for each in incarnation.calls if each.batch is None)


class _Procedure:
    """An open or a checkpoint, driven through all that it heard, and what came of it.

    Args:
        alive: an incarnation that nothing else happens to.
    """

    def __init__(self, alive: Alive, call: Call) -> None:
        self.call = call
        self.alive = alive
        self.ended = False
        self.result: object = None
        self.restored: list[tuple[bytes, int]] = []
        self.consumed: list[tuple[int, bytes]] = []
        alive.frame.nonces = (f"{call.nonce}-{n}" for n in range(1_000_000))
        if call.kind == "open":
            procedure: Procedure[Any] = alive.journaling.open(self._restore, lambda *entry: self.consumed.append(entry))
        else:
            procedure = alive.journaling.checkpoint(call.snapshot, call.position)
        self.step = _Step(procedure, next(procedure), NOW)
        for heard in call.heard:
            self.tell(heard)

    def _restore(self, snapshot: bytes, position: int) -> None:
        self.restored[:] = [(snapshot, position)]
        self.consumed.clear()

    def tell(self, heard: Heard) -> None:
        """Go on, with the step answered."""
        try:
            self.step = self.step.after(heard)
        except StopIteration as stop:
            self.ended, self.result = True, stop.value


class _Step:
    """Where a procedure stands: at one request, or at several side by side. A wait may be as short as nothing."""

    def __init__(self, procedure: Procedure[Any], step: Step, now: Instant) -> None:
        while isinstance(step, Pause) or (isinstance(step, Together) and not step.procedures):
            step = procedure.send(Reply(None, now, now))
        self._procedure = procedure
        self._inner = step.procedures if isinstance(step, Together) else ()
        asks = [next(each) for each in self._inner] if isinstance(step, Together) else [step]
        self.requests = tuple(ask.request for ask in asks if isinstance(ask, Ask))

    def after(self, heard: Heard) -> _Step:
        """The next step, with this one answered."""
        now = NOW if heard.in_time else LATER
        if not self._inner:
            return _Step(self._procedure, self._procedure.send(Reply(heard.answers[0], NOW, now)), now)
        results = tuple(_result(p, Reply(a, NOW, now)) for p, a in zip(self._inner, heard.answers, strict=True))
        return _Step(self._procedure, self._procedure.send(Reply(None, NOW, now, results)), now)


def _result(procedure: Procedure[object], reply: Reply) -> object:
    """What a procedure of one request comes to."""
    try:
        step = procedure.send(reply)
    except StopIteration as stop:
        return stop.value
    raise AssertionError(f"side by side with others it goes on with {step}")


def _concluded(alive: Alive, procedure: _Procedure, others: tuple[Call, ...]) -> Stepped:
    """`alive`, its procedure having ended."""
    opened = procedure.call.kind == "open"
    match procedure.result:
        case None:
            snapshot, position = procedure.restored[0] if procedure.restored else (b"", 0)
            log = [*(snapshot.split(b",") if snapshot else ()), *(entry for _, entry in procedure.consumed)]
            positions = (position, *(at for at, _ in procedure.consumed))
            alive.log = log
            held = alive.journaling._writer = procedure.alive.journaling._writer
            alive.findings.append(Replayed(tuple(log), positions, alive.before.number, held.fence))
        case Fenced() | Spoilt() as end if opened:
            alive.end = end
        case Spoilt(error=error):
            alive.findings.append(Ended(alive.before.number, False, error, final=False))
        case Checkpoint(position=position) if not opened:
            # As `checkpoint` has just done in a journal that nothing was appended to meanwhile.
            alive.journaling.forget(position)
        case Trouble():
            pass
        case result:
            raise AssertionError(f"{result} cannot come of {procedure.call.kind}")
    return alive.apart(others)
