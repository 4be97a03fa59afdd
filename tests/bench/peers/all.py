"""The peers in the order of the table."""

from __future__ import annotations

from tests.bench.peers.base import Peer
from tests.bench.peers.dynamodb import DynamoDB
from tests.bench.peers.etcd import Etcd
from tests.bench.peers.holocron import Holocron
from tests.bench.peers.kubernetes import Kubernetes
from tests.bench.peers.redis import Redis
from tests.bench.peers.zookeeper import ZooKeeper

__all__ = ["PEERS"]

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Holocron(), ZooKeeper(), Etcd(), Redis(), DynamoDB(), Kubernetes())
}
