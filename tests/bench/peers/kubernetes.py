"""client-go's election in the kubernetes client for Python: it needs an API server, and no package brings one."""

from __future__ import annotations

from tests.bench.peers.base import Peer

__all__ = ["Kubernetes"]


class Kubernetes(Peer):
    """Always missing; named so that nobody takes its absence for a result."""

    name = "kubernetes"
    client = "kubernetes"
    notes = "kubernetes.leaderelection"

    def missing(self) -> str:
        """No package of Debian's or of the package index runs an API server."""
        return "a Kubernetes API server, which neither Debian nor the package index has"
