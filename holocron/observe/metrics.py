"""What a node counts and how it stands, for Prometheus. Every value is read when it is asked for, at the scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast, get_args

from holocron.errors import MissingExtra
from holocron.observe.observed import Observed
from holocron.observe.statistics import Statistics
from holocron.records import Status

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

__all__ = ["exposition", "metrics"]

_ROLES = ("solo", "follower", "candidate", "leader", "stopped")


def metrics(*nodes: Observed) -> Collector:
    """A collector of the nodes' metrics: `prometheus_client.REGISTRY.register(holocron.metrics(node))`.

    Each sample is labelled with its `node`, so one collector may speak for all nodes of a process.

    Raises:
        MissingExtra: prometheus-client is not installed.
    """
    _require()
    # What a registry asks of a collector is `collect`; its base class cannot be named before it is imported.
    return cast("Collector", _Collector(nodes))


def exposition(accept: str, *nodes: Observed) -> tuple[bytes, str]:
    """The nodes' metrics in the form that `accept`, a scraper's header, wants best, and the name of that form.

    Raises:
        MissingExtra: prometheus-client is not installed.
    """
    _require()
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    # A registry that asks nothing until it is scraped, and then once.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics(*nodes))
    encode, form = choose_encoder(accept)
    return encode(registry), form


def _require() -> None:
    try:
        import prometheus_client  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingExtra("metrics need prometheus-client: pip install 'holocron-runtime[metrics]'") from None


class _Collector:
    def __init__(self, nodes: tuple[Observed, ...]) -> None:
        self._nodes = nodes

    def collect(self) -> Iterator[Metric]:
        seen = [(node, node.statistics()) for node in self._nodes]
        yield from _identities(seen)
        yield from _leadership(seen)
        yield from _presence(seen)
        yield from _store(seen)
        yield from _hints(seen)


_Seen = list[tuple[Observed, Statistics]]


def _identities(seen: _Seen) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily(
        "holocron_node_info",
        "Which node this is, in which cluster; always 1.",
        labels=["node", "name", "cluster", "incarnation"],
    )
    role = GaugeMetricFamily("holocron_role", "1 for the role that the node is in.", labels=["node", "role"])
    for node, _ in seen:
        info.add_metric([node.id, node.name, node.cluster, str(node.incarnation)], 1)
        now = node.role
        for one in _ROLES:
            role.add_metric([node.id, one], now == one)
    yield info
    yield role


def _leadership(seen: _Seen) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    leads = GaugeMetricFamily("holocron_is_leader", "1 while the node may act as leader.", labels=["node"])
    led = GaugeMetricFamily("holocron_has_leader", "1 while the node knows of a leader.", labels=["node"])
    left = GaugeMetricFamily(
        "holocron_lease_remaining_seconds",
        "How long the node may go on to act as leader if no renewal comes; 0 if it may not.",
        labels=["node"],
    )
    epoch = GaugeMetricFamily("holocron_epoch", "The newest epoch that the node knows.", labels=["node"])
    term = GaugeMetricFamily("holocron_term", "The term of that epoch: the fencing token.", labels=["node"])
    takeovers = CounterMetricFamily(
        "holocron_takeovers", "How often the node became leader, by how it came to be.", labels=["node", "cause"]
    )
    losses = CounterMetricFamily(
        "holocron_leadership_losses", "How often the node stopped being leader, and why.", labels=["node", "reason"]
    )
    changes = CounterMetricFamily(
        "holocron_leader_changes_seen", "How often the node saw another leader than before.", labels=["node"]
    )
    for node, statistics in seen:
        view, lease = node.topology(), node.lease
        # One reading for both, so that no scrape shows a leader without a lease.
        remaining_s = lease.remaining_s if lease is not None else 0.0
        leads.add_metric([node.id], remaining_s > 0)
        left.add_metric([node.id], remaining_s)
        led.add_metric([node.id], node.leader() is not None)
        epoch.add_metric([node.id], node.epoch)
        term.add_metric([node.id], view.term if view is not None else 0)
        for cause, count in statistics.takeovers.items():
            takeovers.add_metric([node.id, cause], count)
        for reason, count in statistics.losses.items():
            losses.add_metric([node.id, reason], count)
        changes.add_metric([node.id], statistics.leader_changes)
    yield from (leads, led, left, epoch, term, takeovers, losses, changes)


def _presence(seen: _Seen) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    age = GaugeMetricFamily(
        "holocron_heartbeat_age_seconds", "How long ago the node's beacon was last written.", labels=["node"]
    )
    members = GaugeMetricFamily(
        "holocron_members", "How many nodes the leader's view has, by status.", labels=["node", "status"]
    )
    for node, statistics in seen:
        if statistics.heartbeat_age_s is not None:
            age.add_metric([node.id], statistics.heartbeat_age_s)
        view = node.topology()
        rows = view.members if view is not None else ()
        for status in get_args(Status):
            members.add_metric([node.id, status], sum(row.status == status for row in rows))
    yield age
    yield members


def _store(seen: _Seen) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    up = GaugeMetricFamily("holocron_store_up", "1 while the store answers the node.", labels=["node"])
    outages = CounterMetricFamily(
        "holocron_store_outages", "How often the store stopped answering the node.", labels=["node"]
    )
    requests = CounterMetricFamily(
        "holocron_store_requests", "Requests to the store, a repeated one each time.", labels=["node", "verb"]
    )
    failures = CounterMetricFamily(
        "holocron_store_request_failures",
        "Requests that the store did not answer, or refused.",
        labels=["node", "verb"],
    )
    classes = CounterMetricFamily(
        "holocron_store_charged_requests",
        "The same requests by what S3 charges them as: PUT (LIST too), GET, free.",
        labels=["node", "class"],
    )
    moved = CounterMetricFamily(
        "holocron_store_bytes", "Bytes of objects that were written (out) and read (in).", labels=["node", "direction"]
    )
    for node, statistics in seen:
        for kind, count in statistics.price_classes.items():
            classes.add_metric([node.id, kind], count)
        moved.add_metric([node.id, "out"], statistics.out_bytes)
        moved.add_metric([node.id, "in"], statistics.in_bytes)
        up.add_metric([node.id], statistics.store_reachable)
        outages.add_metric([node.id], statistics.store_outages)
        for verb, count in statistics.requests.items():
            requests.add_metric([node.id, verb], count)
        for verb, count in statistics.failures.items():
            failures.add_metric([node.id, verb], count)
    yield from (up, outages, requests, failures, classes, moved)


def _hints(seen: _Seen) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    hints = CounterMetricFamily(
        "holocron_hints", "Hints sent and heard, and datagrams dropped that were none.", labels=["node", "what"]
    )
    for node, statistics in seen:
        for what, count in statistics.hints.items():
            hints.add_metric([node.id, what], count)
    yield hints
