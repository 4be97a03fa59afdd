"""What requests cost, said as people read it; budgets and prices are the library's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from holocron import S3_STANDARD, Settings, estimate

__all__ = ["SOURCE", "cost_usd", "per_month", "show_usd"]

SOURCE = (
    f"{S3_STANDARD.name}: PUT and LIST ${S3_STANDARD.put_usd:g}, GET ${S3_STANDARD.get_usd:g} per 1,000; DELETE is free"
)


def cost_usd(counts: Mapping[str, float]) -> float:
    """What `counts` requests of each kind cost; a kind without a price counts as the dearest."""
    return S3_STANDARD.of(counts)


def per_month(nodes: int, ttl_s: float) -> dict[str, float]:
    """The requests of a steady cluster in thirty days by its budget, without retention and journals."""
    parts = estimate(nodes, Settings(ttl_s=ttl_s)).parts
    return {
        verb: sum(parts[part].get(verb, 0.0) for part in ("renewals", "following", "presence"))
        for verb in ("PUT", "GET", "LIST")
    }


def show_usd(amount: float) -> str:
    """An amount as people read it: two digits after the point, or as many as it takes to see two that count."""
    if amount >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"
