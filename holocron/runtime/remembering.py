"""What a node remembers of itself across incarnations: its state.json, rewritten when something worth it changed."""

from __future__ import annotations

from collections.abc import Callable

from holocron.clock import stamp
from holocron.errors import RecordUnreadable
from holocron.layout import state_key
from holocron.protocol.election import Election, role
from holocron.records import Identity, State, decode, encode
from holocron.runtime.asking import errand_deadline
from holocron.runtime.world import World, run
from holocron.settings import Settings
from holocron.store.base import Found, Oversize, Procedure, Store
from holocron.store.register import Held, Replaced, replace

__all__ = ["Memory"]


class Memory:
    """One node's state.json: last epoch, last role, last topology. Never written over a newer incarnation's.

    Args:
        home: the root of the node's own records.
        etag: of the state that an earlier incarnation left, None where there was none.
        unreadable: told why, where something lies there that no node wrote.
    """

    def __init__(
        self,
        world: World,
        home: Store,
        identity: Identity,
        settings: Settings,
        etag: str | None,
        unreadable: Callable[[str], None],
    ) -> None:
        self._world = world
        self._home = home
        self._identity = identity
        self._settings = settings
        self._etag = etag
        self._unreadable = unreadable
        # What the object says already.
        self._told: object = None
        self._saving = False

    @property
    def told(self) -> bool:
        """Whether anything was saved by this process."""
        return self._told is not None

    def keep(self, election: Election) -> None:
        """Save what changed, if what a resume would want to know did; a steady leader's renewals do not."""
        if self._saving or _telling(election) == self._told:
            return
        self._saving = True
        run(self._world, self.save(election), self._saved)

    def _saved(self, _: bool) -> None:
        # Whatever changed meanwhile waits for the next change or heartbeat.
        self._saving = False

    def save(self, election: Election, force: bool = False) -> Procedure[bool]:
        """Write what `election` knows, whether it stands; `force` even where it has been told already."""
        head = election.head
        telling = _telling(election)
        if head is None or (telling == self._told and not force):
            return False
        record = head.record
        state = State(
            cluster=self._identity.cluster,
            nonce=self._world.nonce(),
            node=self._identity.node,
            incarnation=self._identity.incarnation,
            epoch=head.epoch,
            term=record.term if record is not None else 0,
            role=role(election),
            leader=record.leader if record is not None else None,
            topology=record.topology if record is not None else (),
            topology_epoch=head.epoch,
            written=stamp(self._world.now().wall_s),
        )
        key = state_key(self._identity.node)
        for _ in range(2):
            deadline = errand_deadline(self._world, self._settings)
            result = yield from replace(self._home, key, encode(state), self._etag, deadline)
            if isinstance(result, Replaced):
                self._etag, self._told = result.etag, telling
                return True
            if not isinstance(result, Held) or not isinstance(result.found, Found):
                self._etag = None
                if isinstance(result, Held) and isinstance(result.found, Oversize):
                    self._unreadable(f"{key} is {result.found.size} bytes long: Holocron did not write it")
                return False
            try:
                other = decode(State, result.found.body, key, self._identity.cluster)
            except RecordUnreadable as error:
                # Never overwritten; the node lives without, and its beacon still tells its last epoch.
                self._unreadable(str(error))
                return False
            if other.incarnation > self._identity.incarnation:
                return False
            self._etag = result.found.etag
        return False


def _telling(election: Election) -> object:
    """What of `election` is worth writing anew when it changes."""
    head = election.head
    record = head.record if head is not None else None
    now = role(election)
    if record is None:
        return (now, None)
    return (now if now == "leader" else "follower", record.term, record.leader.node, record.topology)
