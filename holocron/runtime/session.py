"""One process's way aboard: its stores, its loop, the probe of a store that has not been probed, and the claim."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from holocron.clock import Clock, stamp
from holocron.errors import SettingsError, StoreUnfit
from holocron.layout import PROBE
from holocron.observe.statistics import Traffic, total
from holocron.records import Genesis, Holder, Marker, check_description, encode
from holocron.runtime.boarding import Aboard, Back, Claim, enlist, found_cluster, look_back, revive
from holocron.runtime.counting import CountingStore
from holocron.runtime.hearing import Listening, listen
from holocron.runtime.lane import Lane
from holocron.runtime.loop import Loop
from holocron.settings import Settings
from holocron.state.recovery import SIDE_BY_SIDE
from holocron.state.writer import WINDOW
from holocron.store.base import Deadline, Put, Store
from holocron.store.opening import Origin, StoreOptions, open_store, origin

__all__ = ["Session"]

# How long one step of coming aboard may take.
_STEP_S = 15.0


class Session:
    """The stores and the loop that one process is a node with. Closed again where coming aboard fails.

    `aboard` and `genesis` are there once `start` or `resume` has returned.
    """

    genesis: Genesis
    aboard: Aboard

    def __init__(
        self,
        location: str | Store,
        home: str | Store | None,
        settings: Settings | None,
        options: StoreOptions | None,
        clock: Clock | None,
        shared: Lane | None = None,
        hints: str | Listening = "",
    ) -> None:
        self.settings = settings or Settings()
        self._options = options
        # What was given stays open when this process is done with it: others may be using it.
        self._opened: list[CountingStore] = []
        self.store = self._open(location)
        self.home = self.store if home is None or home == location else self._open(home)
        #: What this process hears hints by, if it was given a place for that.
        self.ear = self._listen(hints)
        self._shared = shared is not None
        # Journals have threads of their own, and only they use them.
        self.lane = shared or Lane(Loop(clock), "journal", WINDOW + SIDE_BY_SIDE)
        self.loop = self.lane.loop

    def start(
        self, node: str, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> None:
        """Come aboard as the new node `node`; the cluster is founded if there is none."""
        with self._closing():
            claim = self._claim(name, address, labels, priority)
            now = stamp(self.loop.now().wall_s)
            founding = found_cluster(self.store, self.settings, self.loop.nonce, now, self._deadline())
            self.genesis, marker = self.loop.carry_out(founding)
            self._trust(marker)
            self.aboard = self.loop.carry_out(
                enlist(self.store, self.home, self.genesis, node, claim, self.loop.nonce, self._deadline())
            )

    def resume(
        self, node: str, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> None:
        """Come aboard as the next incarnation of `node`; where the place is its own home, that names the cluster."""
        with self._closing():
            claim = self._claim(name, address, labels, priority)
            back = self._look_back(node)
            if back.genesis is None and self.home is self.store:
                self.store = self._open(back.identity.cluster_uri)
                back = self._look_back(node)
            if back.genesis is None:
                raise StoreUnfit(
                    f"node {node} is of cluster {back.identity.cluster}, which began at {back.identity.cluster_uri} "
                    f"and is not at {self.store.uri}"
                )
            self.genesis = back.genesis
            self._trust(back.marker)
            self.aboard = self.loop.carry_out(revive(self.home, back, claim, self.loop.nonce, self._deadline()))

    def close(self) -> None:
        """End the loop, unless it is shared, and close the stores that were opened here."""
        if not self._shared:
            self.loop.close()
            self.lane.close()
        if self.ear is not None:
            self.ear.close()
        for store in self._opened:
            store.close()

    @property
    def origin(self) -> Origin | None:
        """How the cluster's store was opened, where another process could open it too."""
        return origin(self.store.counted)

    def traffic(self) -> Traffic:
        """What this process has asked of its stores so far."""
        return total(store.traffic for store in ([self.store] if self.home is self.store else [self.store, self.home]))

    def _open(self, place: str | Store) -> CountingStore:
        if not isinstance(place, str):
            return CountingStore(place)
        store = CountingStore(open_store(place, self._options))
        self._opened.append(store)
        return store

    def _listen(self, hints: str | Listening) -> Listening | None:
        if not isinstance(hints, str):
            return hints
        try:
            return listen(hints) if hints else None
        except SettingsError:
            for store in self._opened:
                store.close()
            raise

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Whatever keeps this process from coming aboard leaves nothing open behind."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _look_back(self, node: str) -> Back:
        return self.loop.carry_out(look_back(self.store, self.home, self.settings, node, self._deadline()))

    def _trust(self, marker: Marker | None) -> None:
        """The store has shown what the marker says, or shows it now."""
        if marker is None:
            marker = self._probe()
        if self.settings.trust_store_clock and not marker.clock_agrees:
            raise StoreUnfit(f"{self.store.uri}: Date and LastModified disagree, so its clock cannot be trusted")

    def _probe(self) -> Marker:
        from holocron.store.probe import probe

        findings = probe(self.store)
        findings.raise_if_unfit()
        marker = Marker(
            cluster=self.genesis.cluster,
            nonce=self.loop.nonce(),
            probed=stamp(self.loop.now().wall_s),
            rounds=findings.rounds,
            clock_agrees=bool(findings.clock_agrees),
            clock_off_ms=findings.clock_off_ms,
        )
        # Only a note to the next node: if it cannot be written, the next one probes again.
        self.store.perform(Put(PROBE, encode(marker)), self.settings.attempt_s)
        return marker

    def _deadline(self) -> Deadline:
        return Deadline(self.loop.now(), _STEP_S, max(self.settings.attempt_s, 2.0))

    def _claim(
        self, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> Claim:
        check_description(name, address, labels, priority)
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), since=stamp(self.loop.now().wall_s))
        return Claim(self.loop.nonce(), holder, self.store.uri, name, address, labels, priority)
