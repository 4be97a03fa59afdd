"""A cluster seen from outside: who leads, who is there, what was; and what an operator may ask of it."""

from __future__ import annotations

from types import TracebackType

from holocron.errors import RecordUnreadable
from holocron.layout import check_node_id, state_key
from holocron.records import Epoch, Heir, Member, State
from holocron.runtime import administering
from holocron.runtime.history import Unread, find_epoch, read_back, tenure_ends, tenures
from holocron.runtime.reader import WITHIN_S, Reader, sound
from holocron.runtime.views import (
    GcResult,
    LeaderView,
    MemberView,
    NodeView,
    Tenure,
    Topology,
    leader_view,
    member_view,
    unread_view,
)
from holocron.settings import Settings, check_pause
from holocron.store.base import Store
from holocron.store.opening import StoreOptions, open_store

__all__ = ["Cluster"]


class Cluster:
    """Looks at a cluster, and administers it, without joining it; made by `Cluster.open`.

    Every call blocks until it is answered, at most about 10 s for each thing that is read. A place where no cluster
    has begun is no error: there is no head, no leader, no member and no history, and looking creates nothing.

    Every call may raise `StoreDenied`, `StoreUnreachable`, `StoreUnfit` (the chain of epochs is broken) and
    `RecordUnreadable`. To be used from one thread at a time.
    """

    def __init__(self, store: Store, options: StoreOptions, *, owned: bool) -> None:
        self._reader = Reader(store, options, owned=owned)

    @classmethod
    def open(cls, location: str | Store, options: StoreOptions | None = None) -> Cluster:
        """The cluster at `location`, a URI or an open store, which then stays the caller's to close.

        Raises `SettingsError` for a URI, and `RecordUnreadable` for a cluster.json, that makes no sense.
        """
        chosen = options or StoreOptions()
        if isinstance(location, str):
            cluster = cls(open_store(location, chosen), chosen, owned=True)
        else:
            cluster = cls(location, chosen, owned=False)
        try:
            cluster._reader.genesis()
        except BaseException:
            cluster.close()
            raise
        return cluster

    def close(self) -> None:
        """Let go of every store that this opened. Idempotent."""
        self._reader.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def uuid(self) -> str:
        """What its genesis named it. Raises `HolocronError` where no cluster has begun."""
        return self._reader.uuid

    @property
    def location(self) -> str:
        """Where it is, without credentials."""
        return self._reader.store.uri

    @property
    def requests(self) -> dict[str, int]:
        """How many requests this has made so far, by verb."""
        return self._reader.requests

    def head(self) -> Epoch | None:
        """The newest epoch, None where there is none yet."""
        seen = self._reader.head()
        return None if seen is None else seen.record

    def epoch(self, n: int) -> Epoch | None:
        """Epoch `n`, from the chain or from the history; None where there is none of this number."""
        if n < 1 or self._reader.genesis() is None:
            return None
        reader = self._reader
        reading = sound(reader.drive(find_epoch(reader.chain(), reader.store, n, reader.deadline())))
        if isinstance(reading, Unread):
            raise RecordUnreadable(reading.error)
        return reading if isinstance(reading, Epoch) else None

    def leader(self) -> LeaderView | None:
        """Who holds the newest epoch, also where it was released or has lapsed; None where there never was one."""
        seen = self._reader.head()
        if seen is None:
            return None
        return leader_view(seen.record, seen.age_s)

    def topology(self, epoch: int | None = None) -> Topology | None:
        """The leader's view of everyone, as in the newest epoch or in `epoch`; None where there is no such epoch."""
        record = self.head() if epoch is None else self.epoch(epoch)
        if record is None:
            return None
        return Topology(epoch=record.epoch, term=record.term, leader=record.leader, members=record.topology)

    def members(self) -> tuple[MemberView, ...]:
        """Every node: those of the leader's view in its order, then those that it has not seen yet.

        A node whose own beacon cannot be read is in the list all the same; its `unreadable` says why.
        """
        if self._reader.genesis() is None:
            return ()
        head = self.head()
        rows = {} if head is None else {member.node: member for member in head.topology}
        ids = [*rows, *(node for node in self._reader.listed_members() if node not in rows)]
        views = [self._member(node, rows.get(node)) for node in ids]
        return tuple(view for view in views if view is not None)

    def _member(self, node: str, row: Member | None) -> MemberView | None:
        try:
            return member_view(row, self._reader.beacon(node))
        except RecordUnreadable as error:
            # One foreign object must not hide everyone else.
            return unread_view(node, row, str(error))

    def history(self, limit: int = 20) -> tuple[Tenure, ...]:
        """The newest `limit` tenures, newest first."""
        head = self.head()
        if head is None:
            return ()
        reader = self._reader
        ends = tenure_ends(reader.chain(), reader.store, head.epoch, limit, reader.deadline(WITHIN_S + limit))
        return tenures(sound(reader.drive(ends)))

    def epochs(self, limit: int = 20) -> tuple[Epoch, ...]:
        """The newest `limit` epochs, newest first, without those that cannot be read."""
        head = self.head()
        if head is None:
            return ()
        reader = self._reader
        back = read_back(reader.chain(), reader.store, head.epoch, limit, reader.deadline(WITHIN_S + limit))
        return sound(reader.drive(back))

    def node(self, node_id: str, home: str | None = None) -> NodeView:
        """What the store knows of a node. `home` is the URI of its own home, if it has one.

        Raises `NodeUnknown` where no such node ever lived there.
        """
        check_node_id(node_id)
        store = self._reader.home(home)
        identity = self._reader.identity(store, node_id)
        beacon = None if self._reader.genesis() is None else self._reader.beacon(node_id)
        if identity is None:
            raise self._reader.unknown(node_id, store, beacon)
        state = self._reader.record(store, state_key(node_id), State, self.uuid)
        return NodeView(identity=identity[0], state=None if state is None else state[0], beacon=beacon)

    # --- administering ----------------------------------------------------------------------------------------------

    def forget(self, node_id: str, force: bool = False, *, home: str | None = None) -> None:
        """Remove a dead node: its identity is closed to whoever may still run under it, its beacon goes.

        Raises `HolocronError` for a node that seems to be alive, unless `force`; `NodeUnknown` for one that never was.
        """
        administering.forget(self._reader, check_node_id(node_id), home, force=force)

    def step_down(self, to: str | None = None, by: str = "", timeout: float | None = None) -> int:
        """Ask the leader to hand over, to the node `to` if one is named; the number of the request, once it is written.

        Args:
            by: who asks, for people.
            timeout: how many seconds writing it may take (10).

        Raises:
            NotLeader: nobody leads, so nobody can be asked; nothing was written.
            NodeUnknown, HolocronError: `to` is no node of the cluster, or does not stand, or nobody is named in a
                pause; nothing was written.
            OutcomeUnknown: it may have been written, now or later.
        """
        heir = None if to is None else Heir(node=check_node_id(to))
        return administering.step_down(self._reader, heir, by, timeout)

    def pause(self, for_s: float = 3600.0, by: str = "", timeout: float | None = None) -> int:
        """Ask the leader to have leadership stay with its node for `for_s` seconds, at most 24 hours; the number of the
        request, once it is written. It is so when `leader().control` has come to that number, in the same term. See
        `holocron.Node.pause`.

        Raises:
            NotLeader: nobody leads, so nobody can be asked; nothing was written. OutcomeUnknown: it may have been.
            SettingsError: a pause cannot last that long.
        """
        return administering.pause(self._reader, check_pause(for_s), by, timeout)

    def unpause(self, by: str = "", timeout: float | None = None) -> int:
        """Ask the leader to end a pause now; the number of the request, once it is written. Raises as `pause`."""
        return administering.pause(self._reader, 0.0, by, timeout)

    def gc(self, settings: Settings | None = None) -> GcResult:
        """Take old epochs out of the chain into the history, as the leader does by itself (rule 12)."""
        return administering.gc(self._reader, settings or Settings())
