"""What a cluster asks of its store and what that costs: the budgets of the design and a list of prices, in one place.

Plain values: nothing is counted here. Counted is in `Node.statistics`, by every store's meter.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from holocron.errors import SettingsError
from holocron.settings import Settings

__all__ = ["FOLLOWER_READS", "MONTH_S", "S3_STANDARD", "Estimate", "Prices", "estimate", "price_class"]

MONTH_S = 30 * 86400.0

#: The most that a follower reads in a round of a healthy leader (rule 10).
FOLLOWER_READS = 1.5
# Keys in one page of a LIST, S3's own number.
_PAGE = 1000

_CLASSES = {"PUT": "PUT", "COPY": "PUT", "POST": "PUT", "LIST": "PUT", "GET": "GET", "HEAD": "GET", "DELETE": "free"}


def price_class(verb: str) -> str:
    """What S3 charges `verb` as: "PUT" (PUT, COPY, POST and LIST alike), "GET" (and HEAD), or "free" (DELETE).

    A verb that nobody knows counts as the dearest.
    """
    return _CLASSES.get(verb, "PUT")


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What 1,000 requests of each price class cost in dollars, by whose list and of when."""

    name: str
    as_of: str
    put_usd: float
    get_usd: float

    def of(self, counts: Mapping[str, float]) -> float:
        """What `counts`, requests by verb, cost in dollars."""
        each = {"PUT": self.put_usd, "GET": self.get_usd, "free": 0.0}
        return sum(count * each[price_class(verb)] / 1000 for verb, count in counts.items())


#: By aws.amazon.com/s3/pricing.
S3_STANDARD = Prices(name="S3 Standard, us-east-1, list price", as_of="2025", put_usd=0.005, get_usd=0.0004)


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a steady cluster asks of its store in thirty days, by what it is for and by verb."""

    nodes: int
    ttl_s: float
    #: renewals, following, presence, retention, journal: requests by verb for each.
    parts: dict[str, dict[str, float]]

    @property
    def requests(self) -> dict[str, float]:
        """All parts together, by verb."""
        return {
            verb: sum(part.get(verb, 0.0) for part in self.parts.values()) for verb in ("PUT", "GET", "LIST", "DELETE")
        }


def estimate(nodes: int, settings: Settings | None = None, *, appends_per_second: float = 0.0) -> Estimate:
    """The budget of a cluster of `nodes` nodes under one healthy leader, for thirty days.

    An upper bound that a counted run stays under; failovers, joins and hand-overs, which are rare, come on top.

    Args:
        appends_per_second: batches of journal entries that all nodes together write in a second.

    Raises:
        SettingsError: no node at all, or fewer than no batches.
    """
    if nodes < 1:
        raise SettingsError(f"a cluster of {nodes} nodes asks nothing of a store: say 1 or more")
    if not 0 <= appends_per_second < float("inf"):
        raise SettingsError(f"appends_per_second is {appends_per_second:g} and must be 0 or more")
    chosen = settings or Settings()
    rounds, beats = MONTH_S / chosen.renew_every, MONTH_S / chosen.heartbeat_every
    batches, appends = rounds / chosen.trim_batch, MONTH_S * appends_per_second
    return Estimate(
        nodes=nodes,
        ttl_s=chosen.ttl_s,
        parts={
            # The epoch; the floor, and the next control request.
            "renewals": {"PUT": rounds, "GET": 2 * rounds},
            "following": {"GET": FOLLOWER_READS * (nodes - 1) * rounds},
            # Every node's beacon, and the leader's look at them.
            "presence": {"PUT": nodes * beats, "LIST": -(-nodes // _PAGE) * beats},
            # The history and the floor; what there is and what is left of it; the floor before and at its rise.
            "retention": {"PUT": 2 * batches, "LIST": 2 * batches, "GET": 2 * batches, "DELETE": rounds},
            # A batch, and the floor after it.
            "journal": {"PUT": appends, "GET": appends},
        },
    )
