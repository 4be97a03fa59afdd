"""One incarnation of a node and its journal: the shipped `Journaling`, taken apart after each step and put together.

Its writer is pure and is kept as what it holds. Generators cannot be copied, so each request under way is kept with
the replies that its procedure was given, and driven afresh through them. Nothing else survives from step to step.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec.structs import replace

from holocron.clock import Instant
from holocron.runtime import journaling
from holocron.runtime.journaling import Journaling
from holocron.settings import Settings
from holocron.state import checkpoint, journal, writer
from holocron.state.journal import Author, Fenced, Spoilt, journal_chain
from holocron.state.writer import Batch, Writer
from holocron.store.base import Answer, Delete, Put, Request, Store
from holocron.store.chain import Chain
from tests.model.journal_bounds import JournalBounds
from tests.model.journal_bucket import CLUSTER, NODE
from tests.model.journal_parts import Acked, Broken, Call, Ended, Finding, Heard, Incarnation, Stepped
from tests.model.state import NOW

__all__ = ["LATER", "SHIPPED", "Alive", "JournalSubject", "Settled", "acting", "writes_of"]

# Retention at its most aggressive: it spares nothing for being young.
SETTINGS = Settings(keep_age_s=0.0)
# Later than any deadline.
LATER = Instant(1e6, 1e6, 1e6)


def _one_place(prefix: str, _: int) -> str:
    return prefix


class JournalSubject(msgspec.Struct, frozen=True):
    """The code under exploration. Whatever is not named is what ships.

    `chain` is the class of the chain of slots, `prefix` may give an incarnation a place of its own, and `patches` are
    put in place of what modules hold, while the subject acts.
    """

    journaling: type[Journaling] = Journaling
    chain: type[Chain] = Chain
    prefix: Callable[[str, int], str] = _one_place
    patches: tuple[tuple[Any, str, Any], ...] = ()


SHIPPED = JournalSubject()


# --- a world for it to act in ---------------------------------------------------------------------------------------


class _Frame:
    """Time, nonces and a store that does nothing: every request is noted with the call that made it."""

    uri = "model://"

    def __init__(self) -> None:
        self.instant = NOW
        self.nonces: Iterator[str] = iter(())
        # Which batch is being written at this moment, and what each waits for.
        self.current: tuple[Batch, str] | None = None
        self.sent: dict[tuple[Batch, str], tuple[Request, Callable[[Answer], None]]] = {}
        self.heard: dict[tuple[Batch, str], tuple[Heard, ...]] = {}
        self._due: deque[tuple[tuple[Batch, str] | None, Callable[[], None]]] = deque()

    def now(self) -> Instant:
        return self.instant

    def nonce(self) -> str:
        return next(self.nonces)

    def uniform(self, low: float, high: float) -> float:
        return low

    def close(self) -> None:
        pass

    def perform(self, store: Store, request: Request, timeout_s: float, done: Callable[[Answer], None]) -> None:
        assert self.current is not None
        self.sent[self.current] = request, done

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        # A wait may be as short as nothing: whatever it leads to may take effect at any time after.
        self._due.append((self.current, call))

    def begins(self, batch: Batch, nonce: str) -> None:
        """This batch is sent afresh, and nothing is heard of it yet."""
        self.current = batch, nonce
        self.heard[self.current] = ()

    def settle(self) -> None:
        """Do what is to be done later."""
        while self._due:
            self.current, call = self._due.popleft()
            call()

    def tell(self, which: tuple[Batch, str], heard: Heard) -> None:
        """Give the request of this batch its answer."""
        _, done = self.sent.pop(which)
        self.current = which
        self.instant = NOW if heard.in_time else LATER
        self.heard[which] = (*self.heard[which], heard)
        done(heard.answers[0])
        self.settle()


@contextmanager
def acting(subject: JournalSubject, bounds: JournalBounds) -> Iterator[None]:
    """While this lasts, modules hold what `subject` puts in place, and numbers are as small as the bounds say."""
    held: list[tuple[Any, str, Any]] = []
    small = (
        (writer, "WINDOW", bounds.window),
        (journal, "WINDOW", bounds.window),
        (checkpoint, "KEPT", bounds.kept),
    )
    for module, name, value in (*small, *subject.patches):
        held.append((module, name, getattr(module, name)))
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in reversed(held):
            setattr(module, name, value)


class Settled:
    """What the application is told of one entry."""

    def __init__(self, alive: Alive, position: int, entry: bytes) -> None:
        self.position = position
        self.entry = entry
        self._alive = alive
        alive.unsettled.append(self)

    def __call__(self, end: Fenced | Spoilt | None) -> None:
        if self not in self._alive.unsettled:
            self._alive.findings.append(Broken(f"I9: {self.entry.decode()} is settled twice"))
            return
        self._alive.unsettled.remove(self)
        if end is None:
            self._alive.log.append(self.entry)
            self._alive.findings.append(Acked(self.entry, self.position, self._alive.before.number))


@functools.cache
def _driven(kind: Any) -> Any:
    """`kind`, which tells its frame what it begins to send."""

    class Driven(kind):  # type: ignore[misc]  # whichever class is explored
        def _send(self, batch: Batch, nonce: str) -> None:
            self._world.begins(batch, nonce)
            super()._send(batch, nonce)

    return Driven


class Alive:
    """An incarnation put together."""

    def __init__(self, subject: JournalSubject, incarnation: Incarnation) -> None:
        self.before = incarnation
        self.frame = frame = _Frame()
        self.findings: list[Finding] = []
        # Entries of which the application was told neither that they are durable nor that they may not be.
        self.unsettled: list[Settled] = []
        self.log = list(incarnation.log)
        self.end: Fenced | Spoilt | None = None
        author = Author(CLUSTER, NODE, incarnation.number)

        kind: Any = subject.journaling
        self.journaling: Any = _driven(kind)(frame, frame, author, SETTINGS, self._ended)
        chain = journal_chain(frame, author)  # type: ignore[arg-type]  # nobody asks this store but its driver
        prefix = subject.prefix(chain.prefix, incarnation.number)
        self.journaling.slots = subject.chain(chain.store, prefix, chain.floor_key, CLUSTER, suffix="")
        if incarnation.writer is not None:
            self.journaling._writer = _thawed(incarnation.writer)
        for position, entry in incarnation.waiting:
            self.journaling._waiting.append((position, Settled(self, position, entry)))
        for call in incarnation.calls:
            if call.batch is not None:
                self.journaling._send(call.batch, call.nonce)
                for heard in call.heard:
                    frame.tell((call.batch, call.nonce), heard)
        frame.instant = NOW
        self.drawn = incarnation.drawn
        frame.nonces = self._draw()

    def _draw(self) -> Iterator[str]:
        while True:
            self.drawn += 1
            yield f"{self.before.number}-{self.drawn}"

    def _ended(self, end: Fenced | Spoilt) -> None:
        self.end = end

    def apart(self, others: tuple[Call, ...]) -> Stepped:
        """Taken apart again; `others` are the calls under way that write no batch."""
        calls = list(others)
        for (batch, nonce), (request, _) in self.frame.sent.items():
            calls.append(Call("write", nonce, batch, heard=self.frame.heard[batch, nonce], requests=(request,)))
        if self.end is not None:
            self._check_end()
            ended = Ended(self.before.number, isinstance(self.end, Fenced), self.end.error)
            return Stepped(None, (*self.findings, ended), writes_of(calls))
        held = self.journaling._writer
        after = replace(
            self.before,
            writer=_frozen(held) if held is not None else None,
            waiting=tuple((settled.position, settled.entry) for _, settled in self.journaling._waiting),
            log=tuple(self.log),
            calls=tuple(sorted(calls, key=lambda call: (call.kind, call.batch.slot if call.batch else 0))),
            drawn=self.drawn,
        )
        return Stepped(after, tuple(self.findings))

    def _check_end(self) -> None:
        """After its end a journal has told everyone who waits, and refuses an entry without doing a thing (I10)."""
        for settled in self.unsettled:
            self.findings.append(Broken(f"I10: the journal has ended, and {settled.entry.decode()} is never settled"))
        if self.journaling._writer is None:
            return
        under_way = len(self.frame.sent)
        refused: list[object] = []
        self.journaling.append(b"refused", refused.append)
        self.frame.settle()
        if refused != [self.end] or len(self.frame.sent) != under_way:
            self.findings.append(Broken("I10: an entry that came after the end is not refused, or is written"))


def writes_of(calls: list[Call] | tuple[Call, ...]) -> tuple[Request, ...]:
    """The writes that these calls have under way."""
    return tuple(r for call in calls for r in call.requests if isinstance(r, Put | Delete))


# --- the writer -----------------------------------------------------------------------------------------------------

_KINDS: dict[str, Callable[[Any], Any]] = {"deque": deque, "set": set, "list": list, "dict": dict}


def _frozen(held: Writer) -> tuple[tuple[str, str, Any], ...]:
    """All that a writer holds, as a value."""
    return tuple(sorted(_named(name, value) for name, value in vars(held).items()))


def _named(name: str, value: Any) -> tuple[str, str, Any]:
    kind = type(value).__name__
    if kind not in _KINDS:
        return name, "", value
    return name, kind, tuple(sorted(value.items() if kind == "dict" else value) if kind in ("set", "dict") else value)


def _thawed(frozen: tuple[tuple[str, str, Any], ...]) -> Writer:
    # Whichever class of writer the journal has: a broken one may be in its place.
    held: Writer = object.__new__(journaling.__dict__["Writer"])
    for name, kind, value in frozen:
        setattr(held, name, _KINDS[kind](value) if kind else value)
    return held
