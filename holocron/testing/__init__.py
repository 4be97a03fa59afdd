"""What Holocron is tried out and tested with, shipped so that its users can test their own programs the same way.

    def test_another_takes_over(holocron_cluster):
        cluster = holocron_cluster(3)
        cluster.campaign()
        cluster.await_leader().kill()
        cluster.await_leader()

The fixture `holocron_cluster` comes with pytest by itself (`holocron.testing.plugin`); what it makes is a `NodeCluster`
of `NodeProcess`es, and README.md beside this file says how time passes there. `holocron.testing.server` is an S3 server
for one machine, `holocron.testing.simulation` puts the code that ships through simulated lives. Nothing in production
imports this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holocron.testing.cluster import NodeCluster
    from holocron.testing.plugin import MakeCluster
    from holocron.testing.process import NodeProcess

__all__ = ["MakeCluster", "NodeCluster", "NodeProcess"]

_HOMES = {"MakeCluster": "plugin", "NodeCluster": "cluster", "NodeProcess": "process"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'holocron.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"holocron.testing.{_HOMES[name]}"), name)
