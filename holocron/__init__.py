"""Virtual nodes: identity, epoch, topology and state live in object storage; the compute under them is replaceable.

    import holocron

    with holocron.Node.start("s3://bucket/leader") as node:
        with node.lead(timeout=60) as lease:
            while lease.valid:
                write(fence=lease.token)

Names are imported on first use, so that `import holocron` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holocron import errors, events
    from holocron.costs import S3_STANDARD, Estimate, Prices, estimate
    from holocron.errors import (
        HolocronError,
        LeadershipLost,
        LeadTimeout,
        MissingExtra,
        NodeExists,
        NodeStopped,
        NodeUnknown,
        NotLeader,
        OutcomeUnknown,
        RecordUnreadable,
        SettingsError,
        StoreDenied,
        StoreError,
        StoreUnfit,
        StoreUnreachable,
        Superseded,
    )
    from holocron.events import Reason
    from holocron.layout import check_node_id, check_prefix
    from holocron.observe.http import Endpoints, serve
    from holocron.observe.metrics import metrics
    from holocron.observe.statistics import Statistics
    from holocron.runtime.cluster import Cluster
    from holocron.runtime.hosting import host
    from holocron.runtime.journal import Journal
    from holocron.runtime.lease import Lease
    from holocron.runtime.many import Runtime
    from holocron.runtime.node import Node
    from holocron.runtime.service import Service
    from holocron.runtime.views import GcResult, LeaderView, MemberView, NodeView, Tenure, Topology
    from holocron.settings import Settings, parse_duration_s, show_duration
    from holocron.store.opening import StoreOptions, open_store, parse_location
    from holocron.store.probe import Findings, probe

_HOMES = {
    "holocron.costs": "Estimate Prices S3_STANDARD estimate",
    "holocron.errors": (
        "HolocronError LeadershipLost LeadTimeout MissingExtra NodeExists NodeStopped NodeUnknown NotLeader "
        "OutcomeUnknown RecordUnreadable SettingsError StoreDenied StoreError StoreUnfit StoreUnreachable Superseded"
    ),
    "holocron.events": "Reason",
    "holocron.layout": "check_node_id check_prefix",
    "holocron.observe.http": "Endpoints serve",
    "holocron.observe.metrics": "metrics",
    "holocron.observe.statistics": "Statistics",
    "holocron.runtime.cluster": "Cluster",
    "holocron.runtime.hosting": "host",
    "holocron.runtime.journal": "Journal",
    "holocron.runtime.service": "Service",
    "holocron.runtime.lease": "Lease",
    "holocron.runtime.many": "Runtime",
    "holocron.runtime.node": "Node",
    "holocron.runtime.views": "GcResult LeaderView MemberView NodeView Tenure Topology",
    "holocron.settings": "Settings parse_duration_s show_duration",
    "holocron.store.opening": "StoreOptions open_store parse_location",
    "holocron.store.probe": "Findings probe",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "S3_STANDARD",
    "Cluster",
    "Endpoints",
    "Estimate",
    "Findings",
    "GcResult",
    "HolocronError",
    "Journal",
    "LeadTimeout",
    "LeaderView",
    "LeadershipLost",
    "Lease",
    "MemberView",
    "MissingExtra",
    "Node",
    "NodeExists",
    "NodeStopped",
    "NodeUnknown",
    "NodeView",
    "NotLeader",
    "OutcomeUnknown",
    "Prices",
    "Reason",
    "RecordUnreadable",
    "Runtime",
    "Service",
    "Settings",
    "SettingsError",
    "Statistics",
    "StoreDenied",
    "StoreError",
    "StoreOptions",
    "StoreUnfit",
    "StoreUnreachable",
    "Superseded",
    "Tenure",
    "Topology",
    "check_node_id",
    "check_prefix",
    "errors",
    "estimate",
    "events",
    "host",
    "metrics",
    "open_store",
    "parse_duration_s",
    "parse_location",
    "probe",
    "serve",
    "show_duration",
]


# A type checker knows the names above, and must take no other for an `object` that could be had here.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in {"errors", "events"}:
            return importlib.import_module(f"holocron.{name}")
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'holocron' has no attribute {name!r}")
        from holocron.loading import loading

        with loading():
            value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
