"""Fixtures of the runtime's tests: a place for one cluster, and nodes that are stopped again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holocron import Node, Settings
from holocron.store.memory import MemoryStore

# Short enough for a test; renewals so close that a busy machine may miss several of them.
SETTINGS = Settings(ttl_s=1.5, renew_every_s=0.25, heartbeat_every_s=0.25)


@pytest.fixture
def place() -> Iterator[str]:
    """The URI of an empty cluster in memory."""
    name = f"t-{secrets.token_hex(6)}"
    yield f"memory://{name}/c"
    MemoryStore.forget(name)


@pytest.fixture
def store(place: str) -> MemoryStore:
    """The objects of `place`, to look at and to meddle with."""
    name, _, prefix = place.removeprefix("memory://").partition("/")
    return MemoryStore(name, prefix)


@pytest.fixture
def nodes(place: str) -> Iterator[Callable[..., Node]]:
    """Start a node at `place`, or resume one by its id; all are stopped at the end, quickly."""
    running: list[Node] = []

    def start(resume: str | None = None, **more: Any) -> Node:
        more = {"location": place, "settings": SETTINGS, **more}
        node = Node.start(**more) if resume is None else Node.resume(node_id=resume, **more)
        running.append(node)
        return node

    yield start
    for node in reversed(running):
        node.stop(timeout=0.5)
