"""Row 8: whether a leader is given a fencing token. A fact of each client's documentation, not a measurement."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Row, Sample, register


def _tell(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    return [f"yes: {peer.token}" if peer.token else "none"]


register(Row("token", "a fencing token", "", lambda _: ("offered",), _tell, rounds=lambda _: 1))
