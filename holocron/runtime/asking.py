"""What the election asks of the chain of epochs, carried out: each procedure ends in the event that tells what came."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from msgspec import UNSET
from msgspec.structs import replace as changed

from holocron.clock import Instant, elapsed_holder_s, elapsed_waiter_s, stamp
from holocron.errors import RecordUnreadable
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.protocol.membership import fitted
from holocron.protocol.messages import (
    ChainFoundEmpty,
    ClaimLost,
    ClaimOrphaned,
    ClaimRefused,
    ClaimUnknown,
    ClaimWon,
    Draft,
    Event,
    HeadConfirmed,
    HeadFound,
    LookFailed,
    NextAbsent,
    NextFound,
    PollFailed,
    Seen,
    StoreBroken,
)
from holocron.records import Epoch, Heir, Identity, Leader, Member, encode
from holocron.runtime.history import behind_gap, find_epoch
from holocron.runtime.notices import Notice, StoreLost, StoreRegained, Unreadable, ViewShortened
from holocron.runtime.sharing import read_once
from holocron.runtime.world import World
from holocron.settings import Settings
from holocron.store.base import Absent, Deadline, Denied, Found, Oversize, Procedure, Reply, Store, Together, Unclear
from holocron.store.chain import (
    Chain,
    Created,
    Dishonest,
    Head,
    Lost,
    NoHead,
    Orphan,
    Outcome,
    Refused,
    Trouble,
    Unknown,
)

__all__ = ["EpochChain", "Reach", "errand_deadline"]

# The server's Date and LastModified have a grain of one second each (rule 11).
_STORE_CLOCK_GRAIN_S = 2.0
# How many epochs in a row a stranger may have spoilt before what was published under them is given up.
_FAR_BACK = 64


def errand_deadline(world: World, settings: Settings) -> Deadline:
    """How long a request may take that is no part of a lease: about a renewal's time, from now."""
    within_s = max(settings.renew_every, 2 * settings.attempt_s)
    return Deadline(world.now(), within_s, settings.attempt_s)


class Reach:
    """Whether the store answers this node; each change is told once."""

    def __init__(self, notify: Callable[[Notice], None]) -> None:
        self._notify = notify
        self._lost = False
        self._unreadable: set[str] = set()
        self._shortened = False

    def failed(self, error: str) -> None:
        """A request came to nothing."""
        if not self._lost:
            self._lost = True
            self._notify(StoreLost(error))

    def answered(self) -> None:
        """A request was answered."""
        if self._lost:
            self._lost = False
            self._notify(StoreRegained())

    def shortened(self, members: int, rows: int) -> None:
        """The view of `members` is too large for a lock file, which has `rows` of them, and less in each; told once."""
        if not self._shortened:
            self._shortened = True
            self._notify(ViewShortened(members, rows))

    def unreadable(self, error: str) -> None:
        """An answer was no record. It is asked for again and again, and told once."""
        if error not in self._unreadable:
            self._unreadable.add(error)
            self._notify(Unreadable(error))


class EpochChain:
    """The chain of epochs as one node asks it: look for the head, poll for the next, create one.

    Args:
        hint: the last epoch that an earlier incarnation knew, where the first LIST may begin.
    """

    def __init__(
        self, world: World, store: Store, identity: Identity, settings: Settings, reach: Reach, hint: int | None
    ) -> None:
        self.chain = Chain(store, EPOCHS, EPOCH_FLOOR, identity.cluster)
        #: The floor as this node knows it; what retention raises is told here.
        self.floor = 1
        #: What this node wrote itself while it led, so that retention need not read it back.
        self.written: dict[int, Epoch] = {}
        self._world = world
        self._identity = identity
        self._settings = settings
        self._reach = reach
        self._hint = hint
        # When the number after the newest epoch that we know was last known to be free, or None.
        self._free: Instant | None = None

    def look(self, known: int | None, asked: Instant) -> Procedure[Event]:
        """Which epoch is the head, by a LIST; `known` is the one that was, and `asked` when the election asked."""
        deadline = errand_deadline(self._world, self._settings)
        while True:
            start = known or self._hint
            if start is not None and start < self.floor:
                # It may be gone, or lie among what was written in vain: only the floor itself has to be there.
                start = None
            early: object = None
            if known is None and start is not None:
                # At a resume the last epoch that was known is the head most often, so it is read beside the LIST.
                beside = (self.chain.head(start, deadline), self.chain.read(start, deadline))
                found, early = (yield Together(beside)).results
            else:
                found = yield from self.chain.head(start, deadline)
            match found:
                case NoHead(stray=stray):
                    broken = yield from behind_gap(self.chain, stray, deadline)
                    if broken is not None:
                        return StoreBroken(broken.error)
                    self._reach.answered()
                    self._free = asked
                    return ChainFoundEmpty(asked)
                case Dishonest(error=error):
                    return StoreBroken(error)
                case Trouble(error=error):
                    self._reach.failed(error)
                    return LookFailed()
                case Head(number=number, stray=stray, etag=etag):
                    broken = yield from behind_gap(self.chain, stray, deadline)
                    if broken is not None:
                        return StoreBroken(broken.error)
                    self._free = asked
                    if number == known:
                        self._reach.answered()
                        return HeadConfirmed(asked)
                    if number == start and isinstance(early, Reply) and _is(early, etag):
                        # What was listed is what was read, be it before the LIST or after.
                        reply = early
                    else:
                        reply = yield from self.chain.read(number, deadline)
                    if isinstance(reply.answer, Found | Oversize) and not _is(reply, etag):
                        # Not what was listed. Servers may write one ETag in two ways, so the floor decides.
                        trimmed = yield from self.chain.trimmed(number, deadline)
                        if not isinstance(trimmed, bool):
                            return self._undecided(trimmed, LookFailed())
                        if trimmed:
                            continue
                    seen = self._seen(number, reply)
                    if isinstance(seen, Seen) and seen.record is None:
                        seen = yield from self._carrying(seen, known or 0, deadline)
                    if isinstance(seen, Seen):
                        self._reach.answered()
                        self._hint = None
                        # Rule 11: the store's clock may vouch for waiting only at a cold start.
                        return HeadFound(asked, seen if known is not None else self._credited(seen, reply.answer))
                    if isinstance(reply.answer, Absent):
                        continue
                    self._reach.failed(seen)
                    return LookFailed()

    def _carrying(self, seen: Seen, known: int, deadline: Deadline) -> Procedure[Seen | str]:
        """`seen`, which cannot be read, with what was published last before it: an acknowledged value is never lost."""
        for number in range(seen.epoch - 1, max(known, seen.epoch - _FAR_BACK, 0), -1):
            reading = yield from find_epoch(self.chain, self.chain.store, number, deadline)
            match reading:
                case Epoch(published=published):
                    return changed(seen, carried=published)
                case Trouble(error=error):
                    return error
                case Absent():
                    break
        return seen

    def poll(self, number: int, asked: Instant) -> Procedure[Event]:
        """Is epoch `number` there yet?"""
        deadline = errand_deadline(self._world, self._settings)
        reply = yield from self.chain.read(number, deadline)
        trip_s = elapsed_waiter_s(reply.asked, reply.now)
        if isinstance(reply.answer, Absent):
            self._reach.answered()
            self._free = asked
            return NextAbsent(asked, trip_s)
        if isinstance(reply.answer, Found | Oversize) and self._stale(self._free):
            trimmed = yield from self.chain.trimmed(number, deadline)
            if not isinstance(trimmed, bool):
                return self._undecided(trimmed, PollFailed())
            if trimmed:
                # We slept through history, and so did whoever wrote this: only a LIST tells where the chain is now.
                return (yield from self.look(number - 1 or None, asked))
        seen = self._seen(number, reply)
        if isinstance(seen, Seen):
            self._reach.answered()
            return NextFound(seen, trip_s)
        self._reach.failed(seen)
        return PollFailed()

    def create(
        self, draft: Draft, deadline: Deadline, there: Callable[[Epoch], object] = lambda _: None
    ) -> Procedure[Event]:
        """The epoch that `draft` describes, created if nobody else was first.

        Args:
            there: called with it as soon as it can be read, a round trip before it is known to count.
        """
        identity = self._identity
        record = Epoch(
            cluster=identity.cluster,
            nonce=self._world.nonce(),
            epoch=draft.epoch,
            term=draft.term,
            kind="release" if draft.kind == "release" else "lease",
            cause=draft.cause,
            leader=Leader(
                node=identity.node,
                incarnation=identity.incarnation,
                session=identity.session,
                name=identity.name,
                address=identity.address,
            ),
            previous=draft.previous,
            ttl_ms=round(self._settings.ttl_s * 1000),
            renew_ms=max(1, round(self._settings.renew_every * 1000)),
            floor=self.floor,
            control=draft.control,
            heir=Heir(node=draft.heir) if draft.heir is not None else None,
            published=draft.published,
            topology=self._fitted(draft.topology),
            written=stamp(self._world.now().wall_s),
            paused_ms=max(1, round(draft.paused_s * 1000)) if draft.paused_s > 0 else UNSET,
        )
        outcome: Outcome = yield from self.chain.create(draft.epoch, encode(record), deadline, partial(there, record))
        match outcome:
            case Created(floor=floor):
                self._reach.answered()
                # Not by `self.floor`: our own retention may have raised that since the floor was read here.
                if floor < record.floor:
                    return StoreBroken(f"{EPOCH_FLOOR} was {record.floor} and is {floor}: the store was rolled back")
                self.floor = max(self.floor, floor)
                self._remember(record)
                return ClaimWon(Seen(record.epoch, record, record.nonce, self._world.now()))
            case Lost(found=found):
                self._reach.answered()
                if isinstance(found, Found | Oversize) and self._stale(deadline.since):
                    trimmed = yield from self.chain.trimmed(draft.epoch, deadline)
                    if not isinstance(trimmed, bool):
                        return self._undecided(trimmed, ClaimLost(None))
                    found = Absent() if trimmed else found
                if isinstance(found, Absent):
                    return ClaimLost(None)
                seen = self._seen(draft.epoch, Reply(found, deadline.since, self._world.now()))
                return ClaimLost(seen if isinstance(seen, Seen) else None)
            case Orphan(floor=floor):
                self.floor = max(self.floor, floor)
                return ClaimOrphaned()
            case Dishonest(error=error):
                return StoreBroken(error)
            case Unknown(error=error):
                self._reach.failed(error)
                return ClaimUnknown()
            case Refused(error=error):
                self._reach.failed(error)
                return ClaimRefused()

    def _fitted(self, view: tuple[Member, ...]) -> tuple[Member, ...]:
        """`view` as a lock file can hold it; what is left out is told."""
        held = fitted(view)
        if held is not view:
            self._reach.shortened(len(view), len(held))
        return held

    def _stale(self, free: Instant | None) -> bool:
        """Whether an epoch that was not there at `free` may have come and gone since.

        Retention takes out nothing that is young, so for half that long what is found has never been taken out, and the
        floor need not be read to know it: a follower that keeps up pays nothing.
        """
        return free is None or elapsed_holder_s(free, self._world.now()) >= self._settings.keep_age_s / 2

    def _undecided(self, why: Trouble | Dishonest, event: Event) -> Event:
        """The floor could not be read, so `event`; or it breaks the store's word."""
        if isinstance(why, Dishonest):
            return StoreBroken(why.error)
        self._reach.failed(why.error)
        return event

    def _seen(self, number: int, reply: Reply) -> Seen | str:
        """The epoch in `reply`, or one line that says why there is none to see."""
        answer = reply.answer
        if isinstance(answer, Oversize):
            self._reach.unreadable(f"{self.chain.key(number)} is {answer.size} bytes long: Holocron did not write it")
            return Seen(number, None, f"oversize:{answer.etag}", reply.now)
        if isinstance(answer, Denied | Unclear):
            return answer.error
        if not isinstance(answer, Found):
            return f"{self.chain.key(number)}: {type(answer).__name__}"
        try:
            record = read_once(answer, self.chain.key(number), self._identity.cluster)
        except RecordUnreadable as error:
            self._reach.unreadable(str(error))
            return Seen(number, None, hashlib.sha256(answer.body).hexdigest(), reply.now)
        if record.floor <= number:
            # The floor never falls, so a later read of a lower one will show that the store was rolled back.
            self.floor = max(self.floor, record.floor)
        return Seen(number, record, record.nonce, reply.now)

    def _credited(self, seen: Seen, answer: object) -> Seen:
        """`seen`, with what the store's own Date and LastModified say of its age counted as waiting, if that is on."""
        if not self._settings.trust_store_clock or not isinstance(answer, Found) or seen.record is None:
            return seen
        if answer.date_s is None or answer.modified_s is None:
            return seen
        return changed(seen, credit_s=max(0.0, answer.date_s - answer.modified_s - _STORE_CLOCK_GRAIN_S))

    def _remember(self, record: Epoch) -> None:
        """Keep what this leader wrote itself, so that retention need not read it back."""
        self.written[record.epoch] = record
        for number in list(self.written)[: -(self._settings.keep_epochs + 2 * self._settings.trim_batch)]:
            del self.written[number]


def _is(reply: Reply, etag: str) -> bool:
    """Whether `reply` has the object that was listed with `etag`."""
    return isinstance(reply.answer, Found | Oversize) and reply.answer.etag == etag
