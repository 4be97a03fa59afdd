"""One process's way aboard: its stores, its loop, the probe of a store that has not been probed, and the claim."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from holocron.clock import Clock, stamp
from holocron.errors import StoreUnfit
from holocron.layout import PROBE, identity_key
from holocron.records import Genesis, Holder, Identity, Marker, check_description, encode
from holocron.runtime.boarding import Aboard, Claim, enlist, found_cluster, read, revive
from holocron.runtime.counting import CountingStore
from holocron.runtime.loop import Loop
from holocron.settings import Settings
from holocron.store.base import Deadline, Procedure, Put, Store
from holocron.store.opening import StoreOptions, open_store

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
    ) -> None:
        self.settings = settings or Settings()
        self.store = CountingStore(open_store(location, options) if isinstance(location, str) else location)
        if home is None or home == location:
            self.home = self.store
        else:
            self.home = CountingStore(open_store(home, options) if isinstance(home, str) else home)
        self.loop = Loop(clock)
        self._location = location
        self._options = options

    def start(
        self, node: str, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> None:
        """Come aboard as the new node `node`."""

        def board() -> Procedure[Aboard]:
            claim = self._claim(name, address, labels, priority)
            return enlist(self.store, self.home, self.genesis, node, claim, self.loop.nonce, self._deadline())

        self._board(lambda: check_description(name, address, labels, priority), board)

    def resume(
        self, node: str, name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
    ) -> None:
        """Come aboard as the next incarnation of `node`; its identity may name the cluster."""

        def board() -> Procedure[Aboard]:
            claim = self._claim(name, address, labels, priority)
            return revive(self.store, self.home, node, claim, self.loop.nonce, self._deadline())

        self._board(
            lambda: check_description(name, address, labels, priority), board, before=lambda: self._follow_home(node)
        )

    def close(self) -> None:
        """End the loop and close the stores."""
        self.loop.close()
        self.store.close()
        if self.home is not self.store:
            self.home.close()

    def requests(self) -> dict[str, int]:
        """How many requests this process has made so far, by verb."""
        return self._sum(lambda store: store.requests)

    def failures(self) -> dict[str, int]:
        """How many of them were not answered, or refused."""
        return self._sum(lambda store: store.failures)

    def _sum(self, counted: Callable[[CountingStore], dict[str, int]]) -> dict[str, int]:
        counts = counted(self.store)
        if self.home is not self.store:
            for verb, count in counted(self.home).items():
                counts[verb] += count
        return counts

    def _board(
        self,
        check: Callable[[], None],
        board: Callable[[], Procedure[Aboard]],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            check()
            before()
            now = stamp(self.loop.now().wall_s)
            founding = found_cluster(self.store, self.settings, self.loop.nonce, now, self._deadline())
            self.genesis, marker = self.loop.carry_out(founding)
            if marker is None:
                marker = self._probe()
            if self.settings.trust_store_clock and not marker.clock_agrees:
                raise StoreUnfit(f"{self.store.uri}: Date and LastModified disagree, so its clock cannot be trusted")
            self.aboard = self.loop.carry_out(board())
        except BaseException:
            self.close()
            raise

    def _follow_home(self, node: str) -> None:
        """Where the location is a node's own home, go on with the cluster that its identity names."""
        there = self.loop.carry_out(read(self.store, Identity, identity_key(node), None, self._deadline()))
        if there is None or not isinstance(there[0], Identity) or not isinstance(self._location, str):
            return
        named = there[0].cluster_uri
        if named and named != self.store.uri:
            self.home = self.store
            self.store = CountingStore(open_store(named, self._options))

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
        since = stamp(self.loop.now().wall_s)
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), since=since)
        return Claim(self.loop.nonce(), holder, self.store.uri, name, address, labels, priority)
