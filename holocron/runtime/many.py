"""Many virtual nodes in one process: one scheduler, one connection pool, a bounded number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from holocron.clock import Clock
from holocron.errors import NodeStopped, SettingsError
from holocron.runtime.hosting import host
from holocron.runtime.lane import Lane
from holocron.runtime.loop import Loop
from holocron.runtime.node import Node
from holocron.runtime.service import Service
from holocron.settings import Settings
from holocron.store.base import Store
from holocron.store.opening import StoreOptions, open_store

__all__ = ["Runtime"]

# How many nodes come aboard, or say goodbye, at once.
_SIDE_BY_SIDE = 16


class Runtime:
    """Hosts nodes over one store and one scheduler. Starting, stopping or losing one does not disturb the rest.

    A node made here is a `Node` like any other; `stop` ends them all, as does leaving a `with` statement.

    Args:
        location: the root of the cluster that all of them belong to.
        settings: of each node, unless it is given its own.
        io_threads: how many requests may be under way at once; journals have as many again.
    """

    def __init__(
        self,
        location: str | Store,
        *,
        settings: Settings | None = None,
        options: StoreOptions | None = None,
        clock: Clock | None = None,
        io_threads: int = 32,
    ) -> None:
        if not 1 <= io_threads <= 1024:
            raise SettingsError(f"io_threads is {io_threads} and must be between 1 and 1024")
        self._settings = settings or Settings()
        self._opened = open_store(location, options) if isinstance(location, str) else None
        self._store = self._opened if self._opened is not None else location
        self._lane = Lane(Loop(clock, io_threads), "journal", io_threads)
        self._lock = threading.Lock()
        self._nodes: dict[str, Node] = {}
        self._crowd = 64
        self._stopped = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes made here that run, in the order of their making."""
        with self._lock:
            return tuple(node for node in self._nodes.values() if not node.stopped)

    def start(self, **node: Any) -> Node:
        """A new node; takes what `Node.start` takes, the location excepted."""
        return self._keep(Node.start(self._ready(), **self._with(node)))

    def resume(self, node_id: str, **node: Any) -> Node:
        """Node `node_id` again; takes what `Node.resume` takes, the location excepted."""
        return self._keep(Node.resume(self._ready(), node_id, **self._with(node)))

    def host(self, service: Service, **node: Any) -> Node:
        """A service on a node of its own; takes what `holocron.host` takes, the location excepted."""
        return self._keep(host(service, self._ready(), **self._with(node)))

    def start_many(self, count: int, **node: Any) -> tuple[Node, ...]:
        """`count` new nodes, coming aboard side by side. If one cannot, those that did are stopped and it raises."""
        return self._many(lambda _: self.start(**node), range(count))

    def resume_many(self, node_ids: tuple[str, ...], **node: Any) -> tuple[Node, ...]:
        """Each of `node_ids` again, side by side. If one cannot, those that could are stopped and it raises."""
        return self._many(lambda node_id: self.resume(str(node_id), **node), node_ids)

    def stop(self, timeout: float | None = None) -> None:
        """Stop every node as `Node.stop` does, side by side, and end the threads. Calling it again is harmless."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            nodes = list(self._nodes.values())
        # All at once, or leadership would pass from each that ends to the next, to the last of them.
        for node in nodes:
            node.stand_aside()
        if nodes:
            with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="holocron-stop") as pool:
                list(pool.map(lambda node: node.stop(timeout), nodes))
        self._lane.loop.close()
        self._lane.close()
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _many(self, make: Callable[[Any], Node], what: Any) -> tuple[Node, ...]:
        made: list[Node] = []
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="holocron-board") as pool:
            futures = [pool.submit(make, each) for each in what]
        failure: BaseException | None = None
        for future in futures:
            failure = failure or future.exception()
            if future.exception() is None:
                made.append(future.result())
        if failure is not None:
            for node in made:
                node.stand_aside()
            for node in made:
                node.stop()
            raise failure
        return tuple(made)

    def _with(self, node: dict[str, Any]) -> dict[str, Any]:
        return {"settings": self._settings, **node, "lane": self._lane}

    def _ready(self) -> Store | str:
        self._check()
        return self._store

    def _keep(self, node: Node) -> Node:
        with self._lock:
            if len(self._nodes) >= self._crowd:
                # Those that have ended need nobody to stop them; looked for as often as the crowd has doubled.
                self._nodes = {name: kept for name, kept in self._nodes.items() if not kept.stopped}
                self._crowd = max(64, 2 * len(self._nodes))
            late = self._stopped
            if not late:
                self._nodes[f"{node.id}/{node.incarnation}"] = node
        if late:
            # Everything else was stopped while this one came aboard.
            node.stop(0.0)
            self._check()
        return node

    def _check(self) -> None:
        if self._stopped:
            raise NodeStopped("this runtime has stopped, and all of its nodes")
