"""Opening a cluster to look at it, or to ask its leader for something, without joining it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holocron import Cluster
    from holocron_cli.config import Config

__all__ = ["looking"]


@contextlib.contextmanager
def looking(config: Config) -> Iterator[Cluster]:
    """The cluster that `config` names, for the length of a `with`."""
    location, options = config.location, config.options()
    from holocron import Cluster

    with Cluster.open(location, options) as cluster:
        yield cluster
