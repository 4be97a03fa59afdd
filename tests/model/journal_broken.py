"""Journals that are broken on purpose: an explorer that does not catch them is blind.

Each names the world in which it is caught and the invariant that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from holocron.runtime import journaling
from holocron.runtime.journaling import Journaling
from holocron.state import journal, recovery
from holocron.state.checkpoint import take
from holocron.state.journal import Author, Fenced, Raised, Spoilt, Void, Wrote, raise_fence
from holocron.state.replay import Replay
from holocron.state.slots import Checkpoint, Slot
from holocron.state.writer import Batch, Writer
from holocron.store.base import Absent, Deadline, Delete, Procedure
from holocron.store.chain import Chain, Dishonest, FloorRead, Outcome, Trouble, Unknown
from holocron.store.retry import asked
from tests.model.broken import BelievesClashes
from tests.model.journal_bounds import JournalBounds, JournalBudget
from tests.model.journal_bucket import slot_of
from tests.model.journal_process import SHIPPED, JournalSubject

__all__ = ["BROKEN"]

Kept = Checkpoint | Spoilt | Trouble


def no_fence(
    chain: Chain, author: Author, nonce: Callable[[], str], deadline: Deadline
) -> Procedure[Raised | Fenced | Spoilt | Trouble]:
    """The fence skipped: the last slot that is taken is read up to, and what is appended comes behind it."""
    read = yield from chain.floor(deadline)
    if not isinstance(read, FloorRead):
        # The first incarnation of all has nobody to fence off, and begins the journal as it should.
        return (yield from raise_fence(chain, author, nonce, deadline))
    listed = yield from chain.entries(read.floor - 1, deadline)
    if isinstance(listed, Trouble):
        return listed
    return Raised(read.floor + len(listed[0]) - 1, read.floor)


class AcksBeforeTheFloor(Chain):
    """Entries are acknowledged when they are written, without the floor having been read after it."""

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        if slot_of(number, body).kind == "fence":
            return (yield from super().create(number, body, deadline, there))
        unbounded = Chain(self.store, self.prefix, None, self.cluster, self.suffix)
        return (yield from unbounded.create(number, body, deadline, there))


class FencesBeforeTheFloor(Chain):
    """The fence stands when it is written, without the floor having been read after it."""

    def create(
        self, number: int, body: bytes, deadline: Deadline, there: Callable[[], object] | None = None
    ) -> Procedure[Outcome]:
        if slot_of(number, body).kind == "entries":
            return (yield from super().create(number, body, deadline, there))
        unbounded = Chain(self.store, self.prefix, None, self.cluster, self.suffix)
        return (yield from unbounded.create(number, body, deadline, there))


class AcksOutOfOrder(Writer):
    """Acknowledged as soon as it is durable, whatever may be missing before it."""

    def written(self, batch: Batch) -> None:
        self.acknowledged = max(self.acknowledged, batch.last)
        self._ends.append((batch.last, batch.slot))
        del self._flight[batch.slot]


class NeverSerial(Writer):
    """A full window at once behind the fence, where void slots may be met."""

    def take(self) -> Batch | None:
        fence, self.fence = self.fence, -1_000
        batch = super().take()
        self.fence = fence
        return batch


class TrimsFirst(Journaling):
    """What a checkpoint makes unnecessary is let go, and then the checkpoint is written."""

    def keep(self, snapshot: bytes, position: int, slot: int) -> Procedure[Kept]:
        deadline = Deadline(self._world.now(), 600.0, 600.0)
        raised = yield from self.slots.raise_floor(slot, self._world.nonce(), deadline)
        if isinstance(raised, Trouble):
            return raised
        return (yield from super().keep(snapshot, position, slot))


class NotVerified(Journaling):
    """A checkpoint whose writing was not answered is taken to be there, and is counted as one of the two."""

    def keep(self, snapshot: bytes, position: int, slot: int) -> Procedure[Kept]:
        deadline = Deadline(self._world.now(), 600.0, 600.0)
        author, nonce = self.author, self._world.nonce
        yield from take(self.checkpoints, author, author.incarnation, slot, position, snapshot, nonce, deadline)
        listed = yield from self.checkpoints.entries(0, deadline)
        if isinstance(listed, Trouble):
            return listed
        raised = yield from self.slots.raise_floor(slot if listed[0] else 1, nonce(), deadline)
        return raised if isinstance(raised, Trouble) else Trouble("let go what is below")


class NothingIsVoid(Replay):
    """Whatever lies in a slot is replayed, behind a fence of a newer incarnation too."""

    def read(self, slot: Slot, key: str) -> Iterator[tuple[int, bytes]]:
        if slot.kind == "entries":
            self._incarnation = slot.incarnation
        return super().read(slot, key)


class ForgetsItsNonce(Journaling):
    """After an unknown outcome the batch is sent under another nonce, and does not know itself again."""

    def _sent(self, batch: Batch, nonce: str, outcome: Any) -> None:
        super()._sent(batch, self._world.nonce() if isinstance(outcome, Unknown) else nonce, outcome)


class MovesOn(Journaling):
    """After an unknown outcome the batch goes into the next slot, and may be in both."""

    def _sent(self, batch: Batch, nonce: str, outcome: Any) -> None:
        unknown = isinstance(outcome, Unknown) and batch.slot < self._writer.fence + 2  # type: ignore[union-attr]
        super()._sent(batch, nonce, Void() if unknown else outcome)


class UnknownIsWritten(Journaling):
    """What nobody can tell is taken for done."""

    def _sent(self, batch: Batch, nonce: str, outcome: Any) -> None:
        super()._sent(batch, nonce, Wrote() if isinstance(outcome, Unknown) else outcome)


class DeletesBeforeTheFloor(Journaling):
    """Slots go, and then the floor rises."""

    def keep(self, snapshot: bytes, position: int, slot: int) -> Procedure[Kept]:
        deadline = Deadline(self._world.now(), 600.0, 600.0)
        author, nonce = self.author, self._world.nonce
        taken = yield from take(self.checkpoints, author, author.incarnation, slot, position, snapshot, nonce, deadline)
        for number in range(1, slot):
            yield from asked(self.slots.store, Delete(self.slots.key(number)), deadline)
        yield from self.slots.raise_floor(slot, nonce(), deadline)
        return taken


def fences_anywhere(
    chain: Chain, author: Author, first: int, last: int, deadline: Deadline
) -> Procedure[tuple[Slot, ...] | Spoilt | Trouble | Absent]:
    """A late fence does not look for a newer incarnation's before it."""
    return ()
    yield


class NeverRises(Chain):
    """A floor that is thought to be where it was."""

    def floor(self, deadline: Deadline) -> Procedure[FloorRead | Trouble | Dishonest]:
        return FloorRead(1, "")
        yield


def recovered_by_an_old_floor(slots: Chain, *rest: Any) -> Procedure[int | Fenced | Spoilt | Trouble]:
    """A replay does not read the floor after its slots."""
    chain = NeverRises(slots.store, slots.prefix, slots.floor_key, slots.cluster, slots.suffix)
    return (yield from recovery.recover(chain, *rest))


def read_by_the_true_floor(chain: Chain, *rest: Any) -> Procedure[tuple[Slot, ...] | Spoilt | Trouble | Absent]:
    """Only the floor that explains a slot which is gone is the true one."""
    true = Chain(chain.store, chain.prefix, chain.floor_key, chain.cluster, chain.suffix)
    return (yield from journal.read_slots(true, *rest))


def _own_prefix(prefix: str, incarnation: int) -> str:
    return prefix if incarnation == 1 else f"{prefix}{incarnation}/"


def _with(**changes: Any) -> JournalSubject:
    return replace(SHIPPED, **changes)


def _world(name: str, incarnations: int = 2, begun: str | None = "", kept: int = 2, **budget: int) -> JournalBounds:
    return JournalBounds(name, incarnations, JournalBudget(**budget), begun=begun, kept=kept)


_USURPED = _world("a former self lives on", append=2, usurped=1)
_TWICE = _world("a hole, and two come after", 3, "a", append=4, crash=2)
_LOST = _world("an answer is lost", append=2, crash=1, lost=1)
_TRIMMED = _world("checkpoints", 2, "ac", append=1, checkpoint=1, usurped=1)

_LATE_WORLD = _world("a late write where slots were trimmed", 3, append=2, crash=1, usurped=1, checkpoint=1, kept=1)

#: name: the subject, the world, and how the complaint begins.
BROKEN: dict[str, tuple[JournalSubject, JournalBounds, str]] = {
    "acknowledged before the floor is read": (
        _with(chain=AcksBeforeTheFloor),
        _world("a former self and a checkpoint", append=2, checkpoint=1, usurped=1, kept=1),
        "I2",
    ),
    "fenced before the floor is read": (
        _with(chain=FencesBeforeTheFloor),
        _world("a former self and a checkpoint", append=2, checkpoint=1, usurped=1, kept=1),
        "rule 13",
    ),
    "replayed without the floor after it": (
        _with(
            patches=(
                (journaling, "recover", recovered_by_an_old_floor),
                (recovery, "read_slots", read_by_the_true_floor),
            )
        ),
        _LATE_WORLD,
        "I9",
    ),
    "no fence": (
        _with(patches=((journaling, "raise_fence", no_fence),)),
        _USURPED,
        "I9",
    ),
    "acknowledged out of order": (
        _with(patches=((journaling, "Writer", AcksOutOfOrder),)),
        _world("two in flight", begun="a", append=3),
        "I9",
    ),
    "no slots one at a time behind the fence": (
        _with(patches=((journaling, "Writer", NeverSerial),)),
        _TWICE,
        "I9",
    ),
    "trimmed before the checkpoint is there": (_with(journaling=TrimsFirst), _TRIMMED, "I4"),
    "trimmed before the checkpoint is verified": (_with(journaling=NotVerified), _TRIMMED, "I4"),
    "slots deleted before the floor rises": (_with(journaling=DeletesBeforeTheFloor), _TRIMMED, "I4"),
    "slots of each incarnation's own": (_with(prefix=_own_prefix), _USURPED, "I9"),
    "nothing is void": (_with(patches=((recovery, "Replay", NothingIsVoid),)), _TWICE, "I9"),
    "412 believed without the nonce": (_with(chain=BelievesClashes), _USURPED, "I2"),
    "asked again under another nonce": (_with(journaling=ForgetsItsNonce), _LOST, "rule 13"),
    "an unknown outcome moves on": (_with(journaling=MovesOn), _LOST, "I9"),
    "an unknown outcome taken for done": (_with(journaling=UnknownIsWritten), _LOST, "I9"),
    "a late fence anywhere": (
        _with(patches=((journal, "read_slots", fences_anywhere),)),
        _world("three incarnations", 3, append=2, usurped=2),
        "rule 13",
    ),
}
