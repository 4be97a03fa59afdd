"""Row scale-chain: what a look at a chain of a million epochs takes, and a resume there, beside one of a hundred."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from holocron import Cluster, Node, Settings
from holocron.layout import EPOCH_FLOOR, history_key, state_key
from holocron.protocol.retention import compact
from holocron.records import Epoch, Floor, Past, State, encode
from holocron.store.base import Answer, Found, Get, Put, Request
from holocron.store.memory import MemoryStore
from tests.bench.grouped import Grouped
from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register
from tests.runtime import made

SHORT, LONG, _QUICK_LONG = 100, 1_000_000, 20_000
# Retention's own batch, and how much it leaves in `epochs/` here.
_BATCH, _KEPT = 64, 256
_LOOKS: dict[str, Callable[[Cluster], object]] = {
    "head": lambda cluster: cluster.head(),
    "20 tenures": lambda cluster: cluster.history(20),
    "epoch 1": lambda cluster: cluster.epoch(1),
}
_WHAT = ("requests", "LIST pages", "ms CPU")
_AGES = ("100", "1,000,000")


class _Counted(MemoryStore):
    """A store in memory that counts what it is asked, by verb."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def perform(self, request: Request, timeout_s: float) -> Answer:
        self.counts[type(request).__name__] += 1
        return super().perform(request, timeout_s)


def _lived(head: int) -> _Counted:
    """A cluster that has come to epoch `head`, with every history file that retention has left behind."""
    store = _Counted()
    made.begun(store)
    floor = max(0, (head - _KEPT) // _BATCH) * _BATCH + 1

    def epoch(number: int) -> Epoch:
        return made.epoch(number, (number - 1) // 50 * 50 + 1)

    for first in range(1, floor, _BATCH):
        pasts = tuple(Past(epoch=number, record=epoch(number)) for number in range(first, first + _BATCH))
        last = first + _BATCH - 1
        made.put(store, history_key(first, last), compact(first, last, pasts, made.UUID, f"h{first}"))
    made.chain(store, *(epoch(number) for number in range(floor, head + 1)))
    held = store.perform(Get(EPOCH_FLOOR), 1.0)
    if not isinstance(held, Found):
        raise TypeError(f"the floor could not be read: {held}")
    store.perform(Put(EPOCH_FLOOR, encode(Floor(cluster=made.UUID, nonce="r", floor=floor)), held.etag), 1.0)
    return store


def _looked(store: _Counted, look: Callable[[], object]) -> tuple[float, float, float]:
    """What `look` asks of the store in all, how many of that are LIST pages, and what CPU it takes in ms."""
    store.counts.clear()
    began_s = time.process_time()
    look()
    took_s = time.process_time() - began_s
    return sum(store.counts.values()), store.counts["List"], took_s * 1000


def _resumed(store: _Counted, node_id: str, head: int) -> tuple[float, float, float]:
    """The same for a node that comes back, having been there an epoch ago: until it knows the head."""
    made.node(store, node_id, stopped=True)
    state = State(
        cluster=made.UUID,
        nonce="s",
        node=node_id,
        incarnation=1,
        epoch=head - 1,
        term=head - 1,
        role="stopped",
        leader=None,
        topology=(),
        topology_epoch=0,
        written="then",
    )
    made.put(store, state_key(node_id), state)
    store.counts.clear()
    began_s = time.process_time()
    with Node.resume(store, node_id, settings=Settings(ttl_s=60.0)) as node:
        while node.epoch < head:
            time.sleep(0.0005)
        return sum(store.counts.values()), store.counts["List"], (time.process_time() - began_s) * 1000


def _chains(bench: Bench, peer: Peer) -> Mapping[str, Sample]:
    told: dict[str, Sample] = {}
    for age, head in zip(_AGES, (SHORT, _QUICK_LONG if bench.quick else LONG), strict=True):
        store = _lived(head)
        for name, look in _LOOKS.items():
            with Cluster.open(store) as cluster:
                # What is timed is the look at the chain and not the first use of anything.
                look(cluster)
                found = _looked(store, lambda: look(cluster))  # noqa: B023 - called before the next turn
            told |= {f"{name} of {age}: {what}": value for what, value in zip(_WHAT, found, strict=True)}
        found = min((_resumed(store, f"again-{n}", head) for n in range(5)), key=lambda each: each[2])
        told |= {f"resume at {age}: {what}": value for what, value in zip(_WHAT, found, strict=True)}
    return told


_NAMES = (*(f"{name} of" for name in _LOOKS), "resume at")
_CASES = tuple(f"{name} {age}: {what}" for name in _NAMES for age in _AGES for what in _WHAT)
_ROW = Grouped({_chains: _CASES})
register(
    Row(
        "scale-chain",
        "a look at a chain of 1,000,000 epochs with retention, beside one of 100",
        "",
        _ROW.cases,
        _ROW.measure,
        tuple(
            Limit(f"{name} {_AGES[1]}: {what}", "max", most=0.0, plus=((f"{name} {_AGES[0]}: {what}", 1.0),))
            for name in ("head of", "resume at")
            for what in _WHAT[:2]
        ),
        rounds=lambda _: 1,
    )
)
