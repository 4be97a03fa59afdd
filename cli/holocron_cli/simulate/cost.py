"""What requests cost, by the list price of S3 Standard in us-east-1 (aws.amazon.com/s3/pricing)."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["PRICE_PER_THOUSAND", "SOURCE", "cost_usd", "per_month", "show_usd"]

SOURCE = "S3 Standard, us-east-1, list price: PUT and LIST $0.005, GET $0.0004 per 1,000; DELETE is free"

PRICE_PER_THOUSAND = {"PUT": 0.005, "LIST": 0.005, "GET": 0.0004, "HEAD": 0.0004, "DELETE": 0.0}

MONTH_S = 30 * 86400.0


def cost_usd(counts: Mapping[str, float]) -> float:
    """What `counts` requests of each kind cost; a kind without a price counts as the dearest."""
    dearest = max(PRICE_PER_THOUSAND.values())
    return sum(count * PRICE_PER_THOUSAND.get(kind, dearest) / 1000 for kind, count in counts.items())


def per_month(nodes: int, ttl_s: float) -> dict[str, float]:
    """The requests of a steady cluster in thirty days, by the budget of the design (section 10), not by counting.

    Each third of a ttl the leader writes once and reads twice, and each follower reads at most 1.5 times; each ttl
    every node writes its beacon and the leader lists them.
    """
    rounds, beats = MONTH_S / (ttl_s / 3), MONTH_S / ttl_s
    return {
        "PUT": rounds + nodes * beats,
        "GET": 2 * rounds + 1.5 * (nodes - 1) * rounds,
        "LIST": -(-nodes // 1000) * beats,
    }


def show_usd(amount: float) -> str:
    """An amount as people read it: two digits after the point, or as many as it takes to see two that count."""
    if amount >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"
