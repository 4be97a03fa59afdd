"""A stateful service on a node of its own, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holocron.errors import NodeExists, NodeUnknown
from holocron.runtime.node import Node
from holocron.runtime.service import Service
from holocron.store.base import Store

__all__ = ["host"]


def host(
    service: Service,
    location: str | Store,
    *,
    node_id: str | None = None,
    checkpoint_every: int = 1000,
    checkpoint_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **node: Any,
) -> Node:
    """`service` on a node at `location`, standing where its last acknowledged command left it; take commands with
    `Node.submit`, end it with `Node.stop` or a `with` statement.

    Args:
        node_id: the node to resume, or to start under this id where there is none; None starts a fresh one.
        checkpoint_every: after how many commands a snapshot is taken (0: however many), if the service has one.
        checkpoint_bytes: or after how many bytes of commands (0: however many); None is 64 MiB, or 0 where
            `checkpoint_every` is 0. Where both are 0, none is ever taken.
        progress: is told, after each slot of the journal that was applied again, how many that are of how many.
        node: what else `Node.start` and `Node.resume` take.

    Raises:
        what `Node.start`, `Node.resume` and `Node.host` raise.
    """
    made = _node(location, node_id, node)
    try:
        made.host(service, checkpoint_every=checkpoint_every, checkpoint_bytes=checkpoint_bytes, progress=progress)
    except BaseException:
        made.stop()
        raise
    return made


def _node(location: str | Store, node_id: str | None, arguments: dict[str, Any]) -> Node:
    if node_id is None:
        return Node.start(location, **arguments)
    try:
        return Node.resume(location, node_id, **arguments)
    except NodeUnknown:
        pass
    try:
        return Node.start(location, node_id=node_id, **arguments)
    except NodeExists:
        # Someone started it in between; whoever resumes it last has it.
        return Node.resume(location, node_id, **arguments)
