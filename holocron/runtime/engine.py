"""The engine of one node: it carries out what the protocol asks, and brings back what came of it.

It decides nothing about who leads. It lives on its world's one thread of control and never waits there, so it needs
no lock, and a simulation can run it as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from msgspec.structs import replace as changed

from holocron.clock import Instant, elapsed_waiter_s, stamp
from holocron.errors import RecordUnreadable
from holocron.layout import CONTROL, EPOCH_FLOOR, EPOCHS, state_key
from holocron.protocol import election
from holocron.protocol.election import Election, Rules, Seat
from holocron.protocol.membership import Roll, inherited
from holocron.protocol.messages import (
    AskedToRelease,
    ChainFoundEmpty,
    ClaimLost,
    ClaimOrphaned,
    ClaimRefused,
    ClaimUnknown,
    ClaimWon,
    ControlHandled,
    CreateEpoch,
    Draft,
    Event,
    HeadChanged,
    HeadConfirmed,
    HeadFound,
    LookFailed,
    LookForHead,
    NextAbsent,
    NextFound,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    PollFailed,
    ReadNext,
    Seen,
    SettlePublish,
    StoreBroken,
    SupersededByNewer,
    Ticked,
    TopologyFormed,
)
from holocron.records import Control, Epoch, Heir, Leader, State, decode, encode
from holocron.runtime.boarding import Aboard
from holocron.runtime.history import epoch_of
from holocron.runtime.keeper import tidy
from holocron.runtime.presence import Beaten, NewerFound, first_beacon, heartbeat, look_at_members, next_beacon
from holocron.runtime.views import GcResult
from holocron.runtime.world import World, run
from holocron.settings import Settings
from holocron.store.base import Absent, Deadline, Denied, Found, Oversize, Procedure, Reply, Store, Unclear
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
from holocron.store.register import Held, Replaced, replace

__all__ = ["Engine", "Notice", "StoodDown", "StoreLost", "StoreRegained"]

# The server's Date and LastModified have a grain of one second each (rule 11).
_STORE_CLOCK_GRAIN_S = 2.0


class StoreLost(msgspec.Struct, frozen=True):
    """Notice: the store has stopped answering."""

    error: str


class StoreRegained(msgspec.Struct, frozen=True):
    """Notice: the store answers again."""


class StoodDown(msgspec.Struct, frozen=True):
    """Notice: an operator asked this leader to hand over; the shell drains its work and then releases."""

    heir: str | None
    by: str


class NewerIncarnation(msgspec.Struct, frozen=True):
    """Notice: a newer incarnation of this node was found; the election has stopped."""

    incarnation: int


Notice = (
    NoteTenureBegan
    | NoteTenureRenewed
    | NoteTenureEnded
    | NoteElectionLost
    | NoteReleased
    | NoteStopped
    | HeadChanged
    | SettlePublish
    | StoreLost
    | StoreRegained
    | StoodDown
    | NewerIncarnation
)


class Engine:
    """One node at work in `world`.

    Args:
        store: the root of the cluster; `home`: the root of the node's own records.
        aboard: the incarnation that this process is.
        ttl_max_s: the longest lease that the cluster allows, from its genesis.
        notify: called with each `Notice`, on the world's thread; it must not wait.
    """

    def __init__(
        self,
        world: World,
        store: Store,
        home: Store,
        aboard: Aboard,
        settings: Settings,
        ttl_max_s: float,
        notify: Callable[[Notice], None],
        *,
        assume_dead: bool = False,
    ) -> None:
        identity = aboard.identity
        self.world = world
        self.store = store
        self.home = home
        self.identity = identity
        self.settings = settings
        self.notify = notify
        self.chain = Chain(store, EPOCHS, EPOCH_FLOOR, identity.cluster)
        self.controls = Chain(store, CONTROL, None, identity.cluster)
        self.election = Election(
            seat=Seat(identity.node, identity.incarnation, identity.session, identity.priority),
            rules=Rules(
                ttl_s=settings.ttl_s,
                belief_s=settings.belief_s,
                renew_every_s=settings.renew_every,
                stagger_s=settings.stagger_s,
                ttl_max_s=ttl_max_s,
                assume_dead=assume_dead,
            ),
        )
        self._hint = aboard.last_epoch or None
        self._floor = 1
        self._timer = 0
        self._unreachable = False
        self._closed = False
        # Presence.
        self._beacon = first_beacon(
            identity, aboard.beacon, home.uri, round(settings.heartbeat_every * 1000), world.now().wall_s
        )
        self._beacon_etag = aboard.beacon_etag
        self._beating = False
        self._roll: Roll | None = None
        self._looking = False
        # The leader's errands.
        self._asking_control = False
        self._tidying = False
        self._written: dict[int, Epoch] = {}
        # What the node's state.json says already.
        self._state_etag = aboard.state_etag
        self._state_told: object = None
        self._saving = False

    # --- from outside -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look at the chain, show up among the members, and go on from there."""
        self.feed(Ticked())
        self._beat()

    def feed(self, event: Event) -> None:
        """Tell the election of `event`, and carry out what follows."""
        now = self.world.now()
        self.election, actions = election.step(self.election, event, now)
        for action in actions:
            match action:
                case LookForHead(known=known):
                    run(self.world, self._look(known, now), self.feed)
                case ReadNext(number=number):
                    run(self.world, self._poll(number, now), self.feed)
                case CreateEpoch(draft=draft, since=since, within_s=within_s):
                    run(
                        self.world, self._create(draft, Deadline(since, within_s, self._attempt_s(within_s))), self.feed
                    )
                case _:
                    self._note(action)
        self._arm()

    def close(self, done: Callable[[], None]) -> None:
        """Say goodbye: one last beacon and the node's state, then nothing more."""
        self._closed = True
        self._beacon = next_beacon(
            self._beacon, self.world.nonce(), self.world.now().wall_s, stopped=True, standing=False, role="stopped"
        )
        last = heartbeat(self.store, self.home, self._beacon, self._beacon_etag, self._short())
        run(self.world, last, lambda _: run(self.world, self._save(force=True), lambda _: done()))

    def quit(self) -> None:
        """Do nothing more and say nothing: another incarnation is this node now."""
        self._closed = True

    # --- the clock --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        due_s = None if self._closed else election.due_s(self.election, self.world.now())
        self._timer += 1
        if due_s is None:
            return
        timer = self._timer
        # A suspend stops the world's timers, so none is trusted to be on time; the rules read the clock themselves.
        self.world.call_later(due_s, lambda: self.feed(Ticked()) if timer == self._timer and not self._closed else None)

    def _attempt_s(self, within_s: float) -> float:
        return min(self.settings.attempt_s, max(within_s / 2, 0.05))

    def _short(self) -> Deadline:
        """How long an errand may take that is no part of a lease: about a renewal's time, from now."""
        within_s = max(self.settings.renew_every, 2 * self.settings.attempt_s)
        return Deadline(self.world.now(), within_s, self.settings.attempt_s)

    # --- what the election asks -------------------------------------------------------------------------------------

    def _look(self, known: int | None, asked: Instant) -> Procedure[Event]:
        deadline = self._short()
        while True:
            found = yield from self.chain.head(known or self._hint, deadline)
            match found:
                case NoHead():
                    self._store_answers()
                    return ChainFoundEmpty(asked)
                case Dishonest(error=error):
                    return StoreBroken(error)
                case Trouble(error=error):
                    self._store_fails(error)
                    return LookFailed()
                case Head(number=number):
                    if number == known:
                        self._store_answers()
                        return HeadConfirmed(asked)
                    reply = yield from self.chain.read(number, deadline)
                    seen = self._seen(number, reply)
                    if isinstance(seen, Seen):
                        self._store_answers()
                        self._hint = None
                        # Rule 11: the store's clock may vouch for waiting only at a cold start.
                        return HeadFound(asked, seen if known is not None else self._credited(seen, reply.answer))
                    if isinstance(reply.answer, Absent):
                        continue
                    self._store_fails(seen)
                    return LookFailed()

    def _poll(self, number: int, asked: Instant) -> Procedure[Event]:
        reply = yield from self.chain.read(number, self._short())
        trip_s = elapsed_waiter_s(reply.asked, reply.now)
        if isinstance(reply.answer, Absent):
            self._store_answers()
            return NextAbsent(asked, trip_s)
        seen = self._seen(number, reply)
        if isinstance(seen, Seen):
            self._store_answers()
            return NextFound(seen, trip_s)
        self._store_fails(seen)
        return PollFailed()

    def _create(self, draft: Draft, deadline: Deadline) -> Procedure[Event]:
        identity = self.identity
        record = Epoch(
            cluster=identity.cluster,
            nonce=self.world.nonce(),
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
            ttl_ms=round(self.settings.ttl_s * 1000),
            renew_ms=max(1, round(self.settings.renew_every * 1000)),
            floor=self._floor,
            control=draft.control,
            heir=Heir(node=draft.heir) if draft.heir is not None else None,
            published=draft.published,
            topology=draft.topology,
            written=stamp(self.world.now().wall_s),
        )
        outcome: Outcome = yield from self.chain.create(draft.epoch, encode(record), deadline)
        match outcome:
            case Created(floor=floor):
                self._store_answers()
                if floor < self._floor:
                    return StoreBroken(f"{EPOCH_FLOOR} was {self._floor} and is {floor}: the store was rolled back")
                self._floor = floor
                self._remember(record)
                return ClaimWon(Seen(record.epoch, record, record.nonce, self.world.now()))
            case Lost(found=found):
                self._store_answers()
                if isinstance(found, Absent):
                    return ClaimLost(None)
                seen = self._seen(draft.epoch, Reply(found, deadline.since, self.world.now()))
                return ClaimLost(seen if isinstance(seen, Seen) else None)
            case Orphan():
                return ClaimOrphaned()
            case Dishonest(error=error):
                return StoreBroken(error)
            case Unknown(error=error):
                self._store_fails(error)
                return ClaimUnknown()
            case Refused(error=error):
                self._store_fails(error)
                return ClaimRefused()

    def _seen(self, number: int, reply: Reply) -> Seen | str:
        """The epoch in `reply`, or one line that says why there is none to see."""
        answer = reply.answer
        if isinstance(answer, Oversize):
            return Seen(number, None, f"oversize:{answer.etag}", reply.now)
        if isinstance(answer, Denied | Unclear):
            return answer.error
        if not isinstance(answer, Found):
            return f"{self.chain.key(number)}: {type(answer).__name__}"
        key = self.chain.key(number)
        try:
            record = epoch_of(answer.body, number, key, self.identity.cluster)
        except RecordUnreadable:
            return Seen(number, None, hashlib.sha256(answer.body).hexdigest(), reply.now)
        return Seen(number, record, record.nonce, reply.now)

    def _credited(self, seen: Seen, answer: object) -> Seen:
        """`seen`, with what the store's own Date and LastModified say of its age counted as waiting, if that is on."""
        if not self.settings.trust_store_clock or not isinstance(answer, Found) or seen.record is None:
            return seen
        if answer.date_s is None or answer.modified_s is None:
            return seen
        return changed(seen, credit_s=max(0.0, answer.date_s - answer.modified_s - _STORE_CLOCK_GRAIN_S))

    def _remember(self, record: Epoch) -> None:
        """Keep what this leader wrote itself, so that retention need not read it back."""
        self._written[record.epoch] = record
        for number in list(self._written)[: -(self.settings.keep_epochs + 2 * self.settings.trim_batch)]:
            del self._written[number]

    # --- what the election tells ------------------------------------------------------------------------------------

    def _note(self, notice: Notice) -> None:
        self.notify(notice)
        match notice:
            case NoteTenureBegan():
                head = self.election.head
                self._roll = inherited(head.record.topology if head is not None and head.record is not None else ())
                self._look_around()
                self._errands()
                self._state_changed()
            case NoteTenureRenewed():
                self._errands()
            case NoteTenureEnded():
                self._roll = None
                self._state_changed()
            case HeadChanged():
                self._state_changed()

    def _store_fails(self, error: str) -> None:
        if not self._unreachable:
            self._unreachable = True
            self.notify(StoreLost(error))

    def _store_answers(self) -> None:
        if self._unreachable:
            self._unreachable = False
            self.notify(StoreRegained())

    # --- presence ---------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if self._closed:
            return
        self.world.call_later(self.settings.heartbeat_every, self._beat)
        if self.election.tenure is not None:
            self._look_around()
        self.show()
        self._state_changed()

    def show(self) -> None:
        """Rewrite this node's beacon now."""
        if self._beating or self._closed:
            return
        self._beating = True
        head = self.election.head
        self._beacon = next_beacon(
            self._beacon,
            self.world.nonce(),
            self.world.now().wall_s,
            epoch=head.epoch if head is not None else 0,
            role=election.role(self.election),
            standing=self.election.standing,
        )
        run(self.world, heartbeat(self.store, self.home, self._beacon, self._beacon_etag, self._short()), self._beaten)

    def _beaten(self, result: Beaten | NewerFound | Trouble) -> None:
        self._beating = False
        match result:
            case Beaten(etag=etag):
                self._beacon_etag = etag
            case NewerFound(incarnation=incarnation):
                if not self._closed:
                    self.notify(NewerIncarnation(incarnation))
                    self.feed(SupersededByNewer())
            case Trouble(error=error):
                self._store_fails(error)

    def _look_around(self) -> None:
        if self._looking or self._roll is None:
            return
        self._looking = True
        look = look_at_members(
            self.store,
            self._roll,
            self.identity.cluster,
            self.settings.heartbeat_every,
            self.world.now,
            self._short(),
        )
        run(self.world, look, self._looked_around)

    def _looked_around(self, result: Roll | Trouble) -> None:
        self._looking = False
        if isinstance(result, Roll) and self._roll is not None:
            self._roll = result
            self.feed(TopologyFormed(result.members))

    # --- the leader's errands ---------------------------------------------------------------------------------------

    def _errands(self) -> None:
        if not self._asking_control:
            self._asking_control = True
            run(self.world, self._read_control(self.election.control + 1), self._control_read)
        head = self.election.head
        due = head is not None and head.epoch - self._floor >= self.settings.keep_epochs + self.settings.trim_batch
        if due and not self._tidying and head is not None:
            self._tidying = True
            tidying = tidy(
                self.chain,
                self.store,
                head.epoch,
                self.identity.cluster,
                self.world.nonce(),
                self.settings,
                self._written,
                # No part of a lease: what a slow store leaves undone goes on from where it stopped.
                Deadline(self.world.now(), 60.0, self.settings.attempt_s),
            )
            run(self.world, tidying, self._tidied)

    def _tidied(self, result: GcResult | Trouble | Dishonest) -> None:
        # Not on every renewal where nothing was old enough yet, or the store had no time.
        self.world.call_later(self.settings.heartbeat_every, self._may_tidy)
        if isinstance(result, Dishonest):
            self.feed(StoreBroken(result.error))
        elif isinstance(result, GcResult):
            self._floor = max(self._floor, result.floor)

    def _may_tidy(self) -> None:
        self._tidying = False

    def _read_control(self, number: int) -> Procedure[Control | int | None]:
        """Control request `number`; its number where it cannot be read and is passed over; None where there is none."""
        reply = yield from self.controls.read(number, self._short())
        if isinstance(reply.answer, Oversize):
            return number
        if not isinstance(reply.answer, Found):
            return None
        try:
            control = decode(Control, reply.answer.body, self.controls.key(number), self.identity.cluster)
        except RecordUnreadable:
            return number
        return control if control.number == number else number

    def _control_read(self, result: Control | int | None) -> None:
        self._asking_control = False
        tenure = self.election.tenure
        if result is None or tenure is None:
            return
        if isinstance(result, int):
            self.feed(ControlHandled(result))
            return
        self.feed(ControlHandled(result.number))
        # A request is meant for the term it names; one for an earlier term has come true already.
        if result.term == tenure.term:
            self.notify(StoodDown(result.heir.node if result.heir is not None else None, result.by))

    def release(self, heir: str | None) -> None:
        """Give up leadership; the work is drained."""
        self.feed(AskedToRelease(heir))

    # --- the node's state -------------------------------------------------------------------------------------------

    def _state_changed(self) -> None:
        """Save what changed, if what a resume would want to know did; a steady leader's renewals do not."""
        if self._saving or self._closed or self._telling() == self._state_told:
            return
        self._saving = True
        run(self.world, self._save(), self._saved)

    def _saved(self, done: bool) -> None:
        # Whatever changed meanwhile waits for the next change or heartbeat.
        self._saving = False

    def _telling(self) -> object:
        head = self.election.head
        record = head.record if head is not None else None
        if record is None:
            return (election.role(self.election), None)
        role = election.role(self.election)
        return (role if role == "leader" else "follower", record.term, record.leader.node, record.topology)

    def _save(self, force: bool = False) -> Procedure[bool]:
        head = self.election.head
        record = head.record if head is not None else None
        if head is None or (self._telling() == self._state_told and not force):
            return False
        telling = self._telling()
        state = State(
            cluster=self.identity.cluster,
            nonce=self.world.nonce(),
            node=self.identity.node,
            incarnation=self.identity.incarnation,
            epoch=head.epoch,
            term=record.term if record is not None else 0,
            role=election.role(self.election),
            leader=record.leader if record is not None else None,
            topology=record.topology if record is not None else (),
            topology_epoch=head.epoch,
            written=stamp(self.world.now().wall_s),
        )
        key = state_key(self.identity.node)
        for _ in range(2):
            result = yield from replace(self.home, key, encode(state), self._state_etag, self._short())
            if isinstance(result, Replaced):
                self._state_etag, self._state_told = result.etag, telling
                return True
            if not isinstance(result, Held) or not isinstance(result.found, Found):
                self._state_etag = None
                return False
            try:
                other = decode(State, result.found.body, key, self.identity.cluster)
            except RecordUnreadable:
                # Never overwritten; the node lives without, and its beacon still tells its last epoch.
                return False
            if other.incarnation > self.identity.incarnation:
                return False
            self._state_etag = result.found.etag
        return False
