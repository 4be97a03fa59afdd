"""A cluster seen from outside: who leads, who is there, what was; and what an operator may ask of it."""

from __future__ import annotations

import secrets
import time
from types import TracebackType
from typing import NoReturn, TypeVar

import msgspec

from holocron.clock import Clock, SystemClock, stamp
from holocron.errors import (
    HolocronError,
    NodeUnknown,
    NotLeader,
    OutcomeUnknown,
    RecordUnreadable,
    StoreDenied,
    StoreUnfit,
    StoreUnreachable,
)
from holocron.layout import (
    CLUSTER,
    CONTROL,
    EPOCH_FLOOR,
    EPOCHS,
    MEMBERS,
    check_node_id,
    identity_key,
    member_id,
    member_key,
    state_key,
)
from holocron.records import Beacon, Control, Epoch, Genesis, Heir, Identity, Member, Record, State, decode, encode
from holocron.runtime.counting import VERBS, CountingStore
from holocron.runtime.history import Unread, find_epoch, read_back, tenure_ends, tenures
from holocron.runtime.keeper import tidy
from holocron.runtime.views import GcResult, LeaderView, MemberView, NodeView, Tenure, Topology
from holocron.settings import Settings
from holocron.store.base import (
    PAGE,
    Absent,
    Answer,
    Deadline,
    Delete,
    Deleted,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Procedure,
    Store,
    Unclear,
)
from holocron.store.chain import Chain, Created, Dishonest, Head, Lost, NoHead, Refused, Trouble, Unknown
from holocron.store.drive import drive
from holocron.store.opening import StoreOptions, open_store
from holocron.store.register import Held, NotDone, Replaced, Unsettled, replace
from holocron.store.retry import asked

__all__ = ["Cluster"]

# How long one look or one write may take with all its retries, and one request of it.
WITHIN_S = 30.0
ATTEMPT_S = 5.0
# The store's clocks say whole seconds, each rounded as it likes; as rule 11 does.
CLOCK_SLACK_S = 2.0

_T = TypeVar("_T")
_R = TypeVar("_R", bound=Record)


class _HeadSeen(msgspec.Struct, frozen=True):
    """The newest epoch, and how long ago it was written by the store's own clock."""

    record: Epoch
    age_s: float | None


class Cluster:
    """Looks at a cluster, and administers it, without joining it; made by `Cluster.open`.

    Every call blocks until it is answered, at most about 30 s for each thing that is read. A place where no cluster
    has begun is no error: there is no head, no leader, no member and no history, and looking creates nothing.

    Every call may raise `StoreDenied`, `StoreUnreachable`, `StoreUnfit` (the chain of epochs is broken) and
    `RecordUnreadable`. To be used from one thread at a time.
    """

    def __init__(self, store: Store, options: StoreOptions, *, owned: bool) -> None:
        self._store = CountingStore(store)
        self._owned = owned
        self._options = options
        self._homes: dict[str, CountingStore] = {}
        self._clock: Clock = SystemClock()
        self._genesis: Genesis | None = None
        self._known: int | None = None

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
            cluster._find_genesis()
        except BaseException:
            cluster.close()
            raise
        return cluster

    def close(self) -> None:
        """Let go of every store that this opened. Idempotent."""
        for home in self._homes.values():
            home.close()
        if self._owned:
            self._store.close()

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
        genesis = self._find_genesis()
        if genesis is None:
            raise HolocronError(f"{self.location} holds no cluster: start a node there, or check bucket and prefix")
        return genesis.cluster

    @property
    def location(self) -> str:
        """Where it is, without credentials."""
        return self._store.uri

    @property
    def requests(self) -> dict[str, int]:
        """How many requests this has made so far, by verb."""
        counts = dict.fromkeys(VERBS.values(), 0)
        for store in (self._store, *self._homes.values()):
            for verb, number in store.requests.items():
                counts[verb] += number
        return counts

    def head(self) -> Epoch | None:
        """The newest epoch, None where there is none yet."""
        seen = self._head()
        return None if seen is None else seen.record

    def epoch(self, n: int) -> Epoch | None:
        """Epoch `n`, from the chain or from the history; None where there is none of this number."""
        if n < 1 or self._find_genesis() is None:
            return None
        chain = self._chain()
        reading = _sound(self._drive(find_epoch(chain, self._store, n, self._deadline())))
        if isinstance(reading, Unread):
            raise RecordUnreadable(reading.error)
        return reading if isinstance(reading, Epoch) else None

    def leader(self) -> LeaderView | None:
        """Who holds the newest epoch, also where it was released or has lapsed; None where there never was one."""
        seen = self._head()
        if seen is None:
            return None
        record, ttl_s = seen.record, seen.record.ttl_ms / 1000
        released = record.kind == "release"
        expired = None if seen.age_s is None else not released and seen.age_s > ttl_s + CLOCK_SLACK_S
        return LeaderView(
            node=record.leader.node,
            name=record.leader.name,
            address=record.leader.address,
            incarnation=record.leader.incarnation,
            epoch=record.epoch,
            term=record.term,
            ttl_s=ttl_s,
            cause=record.cause,
            written=record.written,
            value=None if record.published is None else record.published.value,
            age_s=seen.age_s,
            released=released,
            expired=expired,
        )

    def topology(self, epoch: int | None = None) -> Topology | None:
        """The leader's view of everyone, as in the newest epoch or in `epoch`; None where there is no such epoch."""
        record = self.head() if epoch is None else self.epoch(epoch)
        if record is None:
            return None
        return Topology(epoch=record.epoch, term=record.term, leader=record.leader, members=record.topology)

    def members(self) -> tuple[MemberView, ...]:
        """Every node: those of the leader's view in its order, then those that it has not seen yet."""
        if self._find_genesis() is None:
            return ()
        head = self.head()
        rows = {} if head is None else {member.node: member for member in head.topology}
        ids = [*rows, *(node for node in self._listed_members() if node not in rows)]
        views = [_member_view(rows.get(node), self._beacon(node)) for node in ids]
        return tuple(view for view in views if view is not None)

    def history(self, limit: int = 20) -> tuple[Tenure, ...]:
        """The newest `limit` tenures, newest first."""
        head = self.head()
        if head is None:
            return ()
        ends = tenure_ends(self._chain(), self._store, head.epoch, limit, self._deadline(WITHIN_S + limit))
        return tenures(_sound(self._drive(ends)))

    def epochs(self, limit: int = 20) -> tuple[Epoch, ...]:
        """The newest `limit` epochs, newest first, without those that cannot be read."""
        head = self.head()
        if head is None:
            return ()
        back = read_back(self._chain(), self._store, head.epoch, limit, self._deadline(WITHIN_S + limit))
        return _sound(self._drive(back))

    def node(self, node_id: str, home: str | None = None) -> NodeView:
        """What the store knows of a node. `home` is the URI of its own home, if it has one.

        Raises `NodeUnknown` where no such node ever lived there.
        """
        check_node_id(node_id)
        store = self._home(home)
        identity = self._identity(store, node_id)
        beacon = None if self._find_genesis() is None else self._beacon(node_id)
        if identity is None:
            raise self._unknown(node_id, store, beacon)
        state = self._record(store, state_key(node_id), State, self.uuid)
        return NodeView(identity=identity[0], state=None if state is None else state[0], beacon=beacon)

    # --- administering ----------------------------------------------------------------------------------------------

    def forget(self, node_id: str, force: bool = False, *, home: str | None = None) -> None:
        """Remove a dead node: its identity is closed to whoever may still run under it, its beacon goes.

        Raises `HolocronError` for a node that seems to be alive, unless `force`; `NodeUnknown` for one that never was.
        """
        check_node_id(node_id)
        store = self._home(home)
        identity = self._identity(store, node_id)
        if identity is None:
            beacon = None if self._find_genesis() is None else self._beacon(node_id)
            raise self._unknown(node_id, store, beacon)
        if not force:
            self._refuse_living(node_id)
        self._close_identity(store, node_id, identity)
        gone = self._ask(self._store, Delete(member_key(node_id)))
        if not isinstance(gone, Deleted):
            _raise(gone, member_key(node_id))

    def step_down(self, to: str | None = None, by: str = "", timeout: float | None = None) -> int:
        """Ask the leader to hand over, to the node `to` if one is named; the number of the request, once it is written.

        Args:
            by: who asks, for people.
            timeout: how many seconds writing it may take (30).

        Raises:
            NotLeader: nobody leads, so nobody can be asked; nothing was written.
            OutcomeUnknown: it may have been written, now or later.
        """
        heir = None if to is None else Heir(node=check_node_id(to))
        head = self.head()
        if head is None or head.kind == "release":
            raise NotLeader(f"{self.location} has no leader that could hand over")
        chain = Chain(self._store, CONTROL, None, self.uuid)
        deadline = self._deadline(timeout)
        number = head.control
        while True:
            number += 1
            control = Control(
                cluster=self.uuid,
                nonce=_nonce(),
                number=number,
                request="step-down",
                term=head.term,
                heir=heir,
                by=by[:1024],
                written=stamp(time.time()),
            )
            outcome = self._drive(chain.create(number, encode(control), deadline))
            match outcome:
                case Created():
                    return number
                case Lost():
                    # Someone else asked first; theirs stands, and ours comes after it.
                    continue
                case Unknown(error=error):
                    raise OutcomeUnknown(f"{chain.key(number)} may have been written: {error}")
                case Refused(error=error, denied=denied):
                    _raise(Trouble(error, denied), chain.key(number))
                case _:
                    _raise(outcome, chain.key(number))

    def gc(self, settings: Settings | None = None) -> GcResult:
        """Take old epochs out of the chain into the history, as the leader does by itself (rule 12)."""
        uuid, chain = self.uuid, self._chain()
        head = self._head_number(chain)
        if head is None:
            return GcResult(removed=0, first=None, last=None, floor=1)
        deadline = self._deadline(WITHIN_S * 4)
        chosen = settings or Settings()
        return _sound(self._drive(tidy(chain, self._store, head, uuid, _nonce(), chosen, None, deadline)))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _drive(self, procedure: Procedure[_T]) -> _T:
        return drive(procedure, self._clock)

    def _deadline(self, within_s: float | None = None) -> Deadline:
        return Deadline(self._clock.now(), WITHIN_S if within_s is None else within_s, ATTEMPT_S)

    def _ask(self, store: Store, request: Get | List | Delete) -> Answer:
        return self._drive(asked(store, request, self._deadline()))

    def _chain(self) -> Chain:
        return Chain(self._store, EPOCHS, EPOCH_FLOOR, self.uuid)

    def _find_genesis(self) -> Genesis | None:
        """cluster.json, asked for again while it is not there: a cluster may begin while someone watches."""
        if self._genesis is None:
            read = self._record(self._store, CLUSTER, Genesis, None)
            self._genesis = None if read is None else read[0]
        return self._genesis

    def _head_number(self, chain: Chain) -> int | None:
        found = _sound(self._drive(chain.head(self._known, self._deadline())))
        if isinstance(found, NoHead):
            return None
        assert isinstance(found, Head)
        self._known = found.number
        return found.number

    def _head(self) -> _HeadSeen | None:
        if self._find_genesis() is None:
            return None
        chain = self._chain()
        while True:
            number = self._head_number(chain)
            if number is None:
                return None
            key = chain.key(number)
            answer = self._ask(self._store, Get(key))
            match answer:
                case Found(body=body, modified_s=modified_s, date_s=date_s):
                    age_s = None if modified_s is None or date_s is None else max(0.0, date_s - modified_s)
                    return _HeadSeen(decode(Epoch, body, key, chain.cluster), age_s)
                case Absent():
                    # Trimmed between the two reads: so there is a newer one.
                    continue
                case _:
                    _raise(answer, key)

    def _record(self, store: Store, key: str, kind: type[_R], cluster: str | None) -> tuple[_R, str] | None:
        """The record under `key` and its ETag, None where nothing is."""
        answer = self._ask(store, Get(key))
        if isinstance(answer, Absent):
            return None
        if not isinstance(answer, Found):
            _raise(answer, key)
        return decode(kind, answer.body, key, cluster), answer.etag

    def _home(self, home: str | None) -> Store:
        if home is None:
            return self._store
        if home not in self._homes:
            self._homes[home] = CountingStore(open_store(home, self._options))
        return self._homes[home]

    def _identity(self, store: Store, node_id: str) -> tuple[Identity, str] | None:
        genesis = self._find_genesis()
        if genesis is None:
            return None
        return self._record(store, identity_key(node_id), Identity, genesis.cluster)

    def _unknown(self, node_id: str, store: Store, beacon: Beacon | None) -> NodeUnknown:
        if beacon is not None and beacon.home not in ("", store.uri):
            # Named and not followed: what a beacon says must not choose where our credentials go.
            return NodeUnknown(f"{node_id} has a home of its own, {beacon.home}: give that home")
        return NodeUnknown(f"no node {node_id} ever lived under {store.uri}: check the id and the store")

    def _beacon(self, node_id: str) -> Beacon | None:
        read = self._record(self._store, member_key(node_id), Beacon, self.uuid)
        return None if read is None else read[0]

    def _listed_members(self) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            answer = self._ask(self._store, List(MEMBERS, after, PAGE))
            if not isinstance(answer, Listed):
                _raise(answer, MEMBERS)
            found += [node for entry in answer.entries if (node := member_id(entry.key)) is not None]
            if not answer.more or not answer.entries:
                return found
            after = answer.entries[-1].key

    def _refuse_living(self, node_id: str) -> None:
        beacon = self._beacon(node_id)
        if beacon is None or beacon.stopped:
            return
        head = self.head()
        row = None if head is None else next((one for one in head.topology if one.node == node_id), None)
        if row is None:
            raise HolocronError(f"{node_id} shows itself and no leader has judged it yet: stop it, or say force")
        if row.status == "alive":
            raise HolocronError(f"{node_id} is alive, says the last leader: stop it first, or say force")

    def _close_identity(self, store: Store, node_id: str, found: tuple[Identity, str]) -> None:
        """Mark it forgotten under an incarnation above all others, so that whoever runs as it is superseded."""
        key = identity_key(node_id)
        deadline = self._deadline()
        while not found[0].forgotten:
            closed = msgspec.structs.replace(
                found[0], incarnation=found[0].incarnation + 1, nonce=_nonce(), session=_nonce(), forgotten=True
            )
            result = self._drive(replace(store, key, encode(closed), found[1], deadline))
            match result:
                case Replaced():
                    return
                case Held(found=Found(body=body, etag=etag)):
                    found = decode(Identity, body, key, self.uuid), etag
                case Held(found=Absent()):
                    return
                case Held(found=there):
                    _raise(there, key)
                case NotDone(error=error, denied=denied):
                    _raise(Trouble(error, denied), key)
                case Unsettled(error=error):
                    raise OutcomeUnknown(f"{key} may have been written: {error}")


def _member_view(row: Member | None, beacon: Beacon | None) -> MemberView | None:
    """The leader's row, with what the node itself says where that is newer; None where there is neither."""
    if beacon is None:
        if row is None:
            return None
        return MemberView(
            node=row.node,
            incarnation=row.incarnation,
            status=row.status,
            rank=row.rank,
            priority=row.priority,
            standing=row.standing,
            name=row.name,
            address=row.address,
            labels=row.labels,
            epoch=None,
            written=None,
            stopped=False,
        )
    return MemberView(
        node=beacon.node,
        incarnation=beacon.incarnation,
        # Nobody has judged a node that is not in the view, so it is not called alive.
        status="gone" if beacon.stopped else "late" if row is None else row.status,
        rank=None if row is None else row.rank,
        priority=beacon.priority,
        standing=beacon.standing and not beacon.stopped,
        name=beacon.name,
        address=beacon.address,
        labels=beacon.labels,
        epoch=beacon.epoch,
        written=beacon.written,
        stopped=beacon.stopped,
    )


def _sound(result: _T | Trouble | Dishonest) -> _T:
    if isinstance(result, Trouble | Dishonest):
        _raise(result, "")
    return result


def _raise(wrong: object, key: str) -> NoReturn:
    """The error that `wrong`, an answer or an outcome, calls for."""
    match wrong:
        case Denied(error=error) | Trouble(error=error, denied=True):
            raise StoreDenied(error)
        case Unclear(error=error) | Trouble(error=error):
            raise StoreUnreachable(error)
        case Dishonest(error=error):
            raise StoreUnfit(error)
        case Oversize(size=size):
            raise RecordUnreadable(f"{key} is {size} bytes long; no record is: it was not written by Holocron")
        case _:
            raise StoreUnreachable(f"{key}: the store answered {type(wrong).__name__.lower()}; try again")


def _nonce() -> str:
    return secrets.token_hex(16)
