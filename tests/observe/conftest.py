"""The runtime's own fixtures: what is observed here are real nodes."""

from __future__ import annotations

from tests.runtime.conftest import nodes, place

__all__ = ["nodes", "place"]
