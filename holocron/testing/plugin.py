"""The pytest plugin: the fixture `holocron_cluster`. pytest finds it by itself where Holocron is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from holocron.settings import Settings
    from holocron.testing.cluster import NodeCluster

__all__ = ["MakeCluster", "holocron_cluster"]


class MakeCluster(Protocol):
    """What the fixture `holocron_cluster` is."""

    def __call__(self, count: int = 3, settings: Settings | None = None, *, hints: bool = False) -> NodeCluster:
        """A cluster of `count` nodes in time of its own; see `holocron.testing.NodeCluster`."""
        ...


@pytest.fixture
def holocron_cluster() -> Iterator[MakeCluster]:
    """`holocron_cluster(n)`: a cluster of n real nodes on a store in memory, in time that passes only when told to.

    Its processes are killed, frozen, suspended, cut off and resumed by the test; all is gone at the end of it.
    """
    # Loaded with the first cluster, so that test runs without one pay nothing for the plugin.
    from holocron.testing.cluster import NodeCluster

    with contextlib.ExitStack() as clusters:

        def make(count: int = 3, settings: Settings | None = None, *, hints: bool = False) -> NodeCluster:
            return clusters.enter_context(NodeCluster(count, settings, hints=hints))

        yield make
