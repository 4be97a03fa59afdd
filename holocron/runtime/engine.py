"""The engine of one node: it carries out what the protocol asks, and brings back what came of it.

It decides nothing about who leads. It lives on its world's one thread of control and never waits there, so it needs
no lock, and a simulation can run it as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from holocron.clock import Instant, elapsed_waiter_s
from holocron.errors import RecordUnreadable
from holocron.layout import CONTROL
from holocron.protocol import election, hinting
from holocron.protocol.election import Election, Rules, Seat
from holocron.protocol.membership import Roll, inherited
from holocron.protocol.messages import (
    AskedToRelease,
    ControlHandled,
    CreateEpoch,
    Event,
    HeadChanged,
    Hinted,
    LookForHead,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    ReadNext,
    StoreBroken,
    SupersededByNewer,
    Ticked,
    TopologyFormed,
)
from holocron.records import Control, Epoch, decode
from holocron.runtime.asking import EpochChain, Reach, errand_deadline
from holocron.runtime.boarding import Aboard
from holocron.runtime.hinter import Hinter, Send
from holocron.runtime.hinting import Kind
from holocron.runtime.keeper import tidy
from holocron.runtime.notices import NewerIncarnation, Notice, StoodDown, StoreLost, StoreRegained
from holocron.runtime.presence import (
    Beaten,
    NewerFound,
    Obstructed,
    first_beacon,
    heartbeat,
    look_at_members,
    next_beacon,
)
from holocron.runtime.remembering import Memory
from holocron.runtime.views import GcResult
from holocron.runtime.world import World, run
from holocron.settings import Settings
from holocron.store.base import Deadline, Found, Oversize, Procedure, Store
from holocron.store.chain import Chain, Dishonest, Trouble

__all__ = ["Engine", "NewerIncarnation", "Notice", "StoodDown", "StoreLost", "StoreRegained"]


class Engine:
    """One node at work in `world`.

    Args:
        store: the root of the cluster; `home`: the root of the node's own records.
        aboard: the incarnation that this process is.
        ttl_max_s: the longest lease that the cluster allows, from its genesis.
        notify: called with each `Notice`, on the world's thread; it must not wait.
        hints: where this node listens for hints, and what it sends its own by; it sends none where it has no place.
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
        hints: tuple[str, Send] | None = None,
    ) -> None:
        identity = aboard.identity
        self.world = world
        self.store = store
        self.home = home
        self.identity = identity
        self.settings = settings
        self.notify = notify
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
        self._reach = Reach(notify)
        self._epochs = EpochChain(world, store, identity, settings, self._reach, aboard.last_epoch or None)
        self._memory = Memory(world, home, identity, settings, aboard.state_etag, self._reach.unreadable)
        self._timer = 0
        self._closed = False
        # How long the first heir has to itself: nothing that can wait is asked of the store, nor are other heirs told.
        self._aside_s = settings.stagger_s / 2
        # Presence.
        self._beacon = first_beacon(
            identity,
            aboard.beacon,
            home.uri,
            round(settings.heartbeat_every * 1000),
            world.now().wall_s,
            hints[0] if hints is not None else "",
        )
        self._beacon_etag = aboard.beacon_etag
        self._beat_confirmed = 0
        self._beating = False
        # The first interval is cut by a share of the node's own: a thousand that start at once beat one by one.
        self._beat_share = 0.5 + zlib.crc32(identity.node.encode()) % 512 / 1024
        #: When the beacon was last known to be written.
        self.beaten_at: Instant | None = None
        self._roll: Roll | None = None
        self._looking = False
        # The leader's errands.
        self._asking_control = False
        # Since when, and how often, a hint made it look for a request.
        self._hinted_since: Instant | None = None
        self._hinted_times = 0
        self._tidying = False
        # What tells others of what this node has done, if it is to; and how many hints have come to it.
        self._hinter = (
            None
            if hints is None
            else Hinter(world, identity.cluster, identity.node, self._aside_s, self._known, hints[1])
        )
        self._hints_heard = 0

    # --- from outside -----------------------------------------------------------------------------------------------

    @property
    def chain(self) -> Chain:
        """The chain of epochs."""
        return self._epochs.chain

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
                    run(self.world, self._epochs.look(known, now), self.feed)
                case ReadNext(number=number):
                    run(self.world, self._epochs.poll(number, now), self.feed)
                case CreateEpoch(draft=draft, since=since, within_s=within_s):
                    deadline = Deadline(since, within_s, self._attempt_s(within_s))
                    run(self.world, self._epochs.create(draft, deadline, self._there), self.feed)
                case _:
                    self._note(action)
        self._arm()

    def close(self, done: Callable[[], None]) -> None:
        """Say goodbye: one last beacon and the node's state, then nothing more."""

        def said() -> None:
            if self._hinter is not None:
                self._hinter.remind()
            done()

        self._closed = True
        self._beacon = next_beacon(
            self._beacon, self.world.nonce(), self.world.now().wall_s, stopped=True, standing=False, role="stopped"
        )
        run(
            self.world,
            self._heartbeat(),
            lambda _: run(self.world, self._memory.save(self.election, force=True), lambda _: said()),
        )

    def quit(self) -> None:
        """Do nothing more and say nothing: another incarnation is this node now."""
        self._closed = True

    # --- hints ------------------------------------------------------------------------------------------------------

    def hinted(self, kind: Kind, number: int, delay_s: float = 0.0) -> None:
        """Someone says that there is something to read. On any thread; what would change nothing ends here."""
        self._hints_heard += 1
        if kind == "control":
            if self.election.tenure is not None:
                self.world.call_later(delay_s, self._hinted_control)
        elif hinting.heeds(self.election, Hinted(number), self.world.now()):
            self.world.call_later(delay_s, lambda: self._look_for(Hinted(number)))

    def hints(self) -> dict[str, int]:
        """How many hints were `sent` and `heard` so far."""
        return {"sent": 0 if self._hinter is None else self._hinter.sent, "heard": self._hints_heard}

    def _there(self, record: Epoch) -> None:
        if self._hinter is not None and record.kind == "release":
            self._hinter.there(record)

    def _look_for(self, hint: Hinted) -> None:
        if not self._closed:
            self.feed(hint)

    def _hinted_control(self) -> None:
        """Look for a request, a few times a round at the most: whoever says that it is there may lie (rule 16)."""
        now, since = self.world.now(), self._hinted_since
        if since is None or elapsed_waiter_s(since, now) >= self.settings.renew_every:
            self._hinted_since, self._hinted_times = now, 0
        if self.election.tenure is not None and self._hinted_times < hinting.MOST_WASTED and not self._closed:
            self._hinted_times += 1
            self._ask_control()

    def _known(self) -> int:
        return self.election.head.epoch if self.election.head is not None else 0

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
        return errand_deadline(self.world, self.settings)

    # --- what the election tells ------------------------------------------------------------------------------------

    def _note(self, notice: Notice) -> None:
        self.notify(notice)
        if self._hinter is not None:
            self._hinter.note(notice, self.election.head)
        match notice:
            case NoteTenureBegan():
                head = self.election.head
                self._roll = inherited(head.record.topology if head is not None and head.record is not None else ())
                self._afterwards(self._settle_in)
            case NoteTenureRenewed():
                self._errands()
            case NoteTenureEnded():
                self._roll = None
                self._afterwards(self._remember)
            case HeadChanged() if not self._memory.told:
                # The first one that is seen. What follows waits for the heartbeat: the beacon tells the epoch, and a
                # thousand nodes of one process do not all write at the moment of a failover.
                self._remember()

    def _afterwards(self, call: Callable[[], None]) -> None:
        """Have `call` made a little later: what can wait does not stand in the way of those whom leadership goes to."""
        self.world.call_later(self._aside_s, call)

    def _settle_in(self) -> None:
        if self.election.tenure is not None and not self._closed:
            self._look_around()
            self._errands()
        self._remember()

    def _remember(self) -> None:
        if not self._closed:
            self._memory.keep(self.election)

    # --- presence ---------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if self._closed:
            return
        self.world.call_later(self.settings.heartbeat_every * self._beat_share, self._beat)
        self._beat_share = 1.0
        if self.election.tenure is not None:
            self._look_around()
        self.show()
        self._remember()

    def show_soon(self) -> None:
        """Rewrite this node's beacon a little later, for what is told may come with a change of leaders."""
        self._afterwards(self.show)

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
        run(self.world, self._heartbeat(), self._beaten)

    def _heartbeat(self) -> Procedure[Beaten | NewerFound | Obstructed | Trouble | Dishonest]:
        return heartbeat(self.store, self.home, self._beacon, self._beacon_etag, self._beat_confirmed, self._short())

    def _beaten(self, result: Beaten | NewerFound | Obstructed | Trouble | Dishonest) -> None:
        self._beating = False
        if isinstance(result, Beaten):
            self.beaten_at = self.world.now()
        match result:
            case Beaten(etag=etag, beat=beat):
                self._beacon_etag, self._beat_confirmed = etag, beat
            case Dishonest(error=error):
                if not self._closed:
                    self.feed(StoreBroken(error))
            case NewerFound(incarnation=incarnation):
                if not self._closed:
                    self.notify(NewerIncarnation(incarnation))
                    self.feed(SupersededByNewer())
            case Obstructed(error=error):
                self._reach.unreadable(error)
            case Trouble(error=error):
                self._reach.failed(error)

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
        self._ask_control()
        head = self.election.head
        surplus = self.settings.keep_epochs + self.settings.trim_batch
        if head is not None and head.epoch - self._epochs.floor >= surplus and not self._tidying:
            self._tidying = True
            tidying = tidy(
                self._epochs.chain,
                self.store,
                head.epoch,
                self.identity.cluster,
                self.world.nonce(),
                self.settings,
                self._epochs.written,
                # No part of a lease. It is the work of hundreds of requests, and a slow store may take long over each.
                Deadline(self.world.now(), 600.0, self.settings.attempt_s),
            )
            run(self.world, tidying, self._tidied)

    def _ask_control(self) -> None:
        if not self._asking_control:
            self._asking_control = True
            run(self.world, self._read_control(self.election.control + 1), self._control_read)

    def _tidied(self, result: GcResult | Trouble | Dishonest) -> None:
        # Not on every renewal where nothing was old enough yet, or the store had no time.
        self.world.call_later(self.settings.heartbeat_every, self._may_tidy)
        if isinstance(result, Dishonest):
            self.feed(StoreBroken(result.error))
        elif isinstance(result, GcResult):
            self._epochs.floor = max(self._epochs.floor, result.floor)

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
            return decode(Control, reply.answer.body, self.controls.key(number), self.identity.cluster)
        except RecordUnreadable:
            return number

    def _control_read(self, result: Control | int | None) -> None:
        self._asking_control = False
        tenure = self.election.tenure
        if result is None or tenure is None:
            return
        if isinstance(result, int):
            self.feed(ControlHandled(result))
            return
        # A request is meant for the term it names; one for an earlier term has come true already.
        meant = result.term == tenure.term
        if result.request == "step-down" or not meant:
            self.feed(ControlHandled(result.number))
            if meant:
                self.notify(StoodDown(result.heir.node if result.heir is not None else None, result.by))
            return
        pause_s = result.for_ms / 1000 if result.request == "pause" and isinstance(result.for_ms, int) else 0.0
        self.feed(ControlHandled(result.number, pause_s))

    def release(self, heir: str | None) -> None:
        """Give up leadership; the work is drained."""
        self.feed(AskedToRelease(heir))
