"""What a cluster costs: the model, held against real nodes that are counted for hours of their own time (I14)."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from holocron import S3_STANDARD, Node, Settings, SettingsError, estimate
from holocron.costs import MONTH_S, price_class
from holocron.testing import NodeCluster

# The model is an upper bound, and worth something only if it is close: so much of it is spent at least.
CLOSE = 0.95


def spent(cluster: NodeCluster) -> Counter[str]:
    """What all nodes have asked for so far, by verb."""
    counts: Counter[str] = Counter()
    for node in cluster.nodes:
        counts.update(node.requests)
    return counts


@pytest.mark.parametrize(("nodes", "ttl_s", "hours"), [(1, 10.0, 4.0), (3, 10.0, 4.0), (12, 30.0, 2.0)])
def test_the_model_is_never_below_what_is_counted_and_never_far_above(nodes: int, ttl_s: float, hours: float) -> None:
    """Hours of real nodes under one leader, retention and heartbeats included, cost what `estimate` says, or less."""
    settings = Settings(ttl_s=ttl_s)
    with NodeCluster(nodes, settings) as cluster:
        cluster.campaign()
        leader = cluster.await_leader()
        # Until retention has begun, which keeps the newest epochs and the young ones.
        cluster.advance(settings.keep_age_s + (settings.keep_epochs + settings.trim_batch) * settings.renew_every)
        before = spent(cluster)
        cluster.advance(hours * 3600)
        counted = spent(cluster) - before
        assert cluster.leader is leader
        assert leader.node.statistics().takeovers["first"] == 1
    month = estimate(nodes, settings)
    share = hours * 3600 / MONTH_S
    budget = {verb: count * share for verb, count in month.requests.items()}
    told = f"{nodes} nodes, ttl {ttl_s:g} s, {hours:g} h: counted {dict(counted)}, budget {budget}"
    print(told)
    # What comes in batches, or was under way at either end, is no fraction.
    ends = {verb: nodes + (settings.trim_batch if verb == "DELETE" else 2) for verb in budget}
    assert all(counted[verb] <= math.ceil(most) + ends[verb] for verb, most in budget.items()), told
    assert CLOSE * S3_STANDARD.of(budget) <= S3_STANDARD.of(counted) <= 1.01 * S3_STANDARD.of(budget), told


def test_requests_a_minute_at_a_ttl_of_ten_seconds() -> None:
    """A leader makes 18 PUT, 36 GET and 6 LIST a minute, a follower at most 27 GET; each a heartbeat, and retention."""
    with NodeCluster(3, Settings(ttl_s=10.0)) as cluster:
        cluster.campaign()
        leader = cluster.await_leader()
        cluster.advance(120)
        before = {process.node.id: process.node.requests for process in cluster}
        minutes = 20
        cluster.advance(minutes * 60)
        rates = {
            process.node.id: {
                verb: (count - before[process.node.id][verb]) / minutes for verb, count in process.node.requests.items()
            }
            for process in cluster
        }
    led = rates.pop(leader.node.id)
    print(led, rates)
    retention = 18 / Settings().trim_batch
    assert led["PUT"] <= 18 + 6 + 2 * retention + 0.2
    assert led["GET"] <= 36 + 2 * retention + 0.2
    assert led["LIST"] <= 6 + 2 * retention + 0.2
    for rate in rates.values():
        assert rate["GET"] <= 27
        assert rate["PUT"] <= 6 + 0.1
        assert rate["LIST"] == 0


def test_a_batch_of_the_journal_costs_what_the_model_says() -> None:
    """One PUT and one GET for each batch of entries."""
    with NodeCluster(1) as cluster:
        node = cluster[0].node
        node.journal.replay()
        before = node.statistics()
        for _ in range(50):
            node.journal.append(b"entry")
        after = node.statistics()
    month = estimate(1, appends_per_second=50 / MONTH_S).parts["journal"]
    heartbeats = 3
    for verb in ("PUT", "GET"):
        assert month[verb] == pytest.approx(50)
        assert 50 <= after.requests[verb] - before.requests[verb] <= 50 + heartbeats


def test_the_meter_counts_requests_bytes_and_price_classes() -> None:
    """Every node tells what it asked of its stores, its home included, as S3 charges it."""
    with Node.start("memory://metered", home="memory://metered-home", node_id="alpha") as node:
        first = node.statistics()
        assert first.requests == node.requests
        assert first.out_bytes > 0
        assert first.price_classes == {
            "PUT": first.requests["PUT"] + first.requests["LIST"],
            "GET": first.requests["GET"],
            "free": first.requests["DELETE"],
        }
        node.journal.replay()
        before = node.statistics()
        node.journal.append(b"x" * 10_000)
        after = node.statistics()
        assert after.out_bytes - before.out_bytes >= 10_000
        assert after.in_bytes > before.in_bytes
        assert [row.node for row in node.members()] in ([], ["alpha"])


def test_what_s3_charges_as_what() -> None:
    """PUT, COPY, POST and LIST are one class, GET and HEAD another, DELETE is free; the unknown is the dearest."""
    classes = {verb: price_class(verb) for verb in ("PUT", "COPY", "POST", "LIST", "GET", "HEAD", "DELETE", "PATCH")}
    assert classes == {
        "PUT": "PUT",
        "COPY": "PUT",
        "POST": "PUT",
        "LIST": "PUT",
        "GET": "GET",
        "HEAD": "GET",
        "DELETE": "free",
        "PATCH": "PUT",
    }


@pytest.mark.parametrize(("nodes", "appends"), [(0, 0.0), (-1, 0.0), (3, -1.0), (3, math.inf), (3, math.nan)])
def test_nonsense_is_refused(nodes: int, appends: float) -> None:
    """No cluster of nobody, and no journal that is written backwards."""
    with pytest.raises(SettingsError):
        estimate(nodes, appends_per_second=appends)
