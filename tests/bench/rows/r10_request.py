"""Row 10: one conditional write through Holocron's store to one bare put_object: processor time, and wall time.

Both run in this process, in turns of a few dozen, on one server. Processor time is that of the process, all threads,
user and system: what Holocron adds shows there whatever else the machine does.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence

from holocron.store.base import Put, Written
from holocron.store.s3 import S3Store
from tests.bench.bare import BODY, bare_put
from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Limit, Row, Sample, register

CPU, WALL = "processor time", "wall time"
_TURNS, _PER_TURN = 8, 25


def _measure(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    clock = time.process_time if case == CPU else time.perf_counter
    address = bench.address(peer)
    bare = bare_put(address)
    with contextlib.closing(S3Store("holocron", bench.key(), endpoint_url=f"http://{address}")) as store:

        def ours(key: str) -> None:
            answer = store.perform(Put(key, BODY), 10)
            if not isinstance(answer, Written):
                raise RuntimeError(f"the bench could not write: {answer}")

        # The first request of each makes its connection.
        bare(secrets.token_hex(8))
        ours(secrets.token_hex(8))
        bare_s = ours_s = 0.0
        for _ in range(2 if bench.quick else _TURNS):
            bare_s += _turn(bare, clock)
            ours_s += _turn(ours, clock)
    return [ours_s / bare_s]


def _turn(put: Callable[[str], None], clock: Callable[[], float]) -> float:
    keys = [secrets.token_hex(8) for _ in range(_PER_TURN)]
    began_s = clock()
    for key in keys:
        put(key)
    return clock() - began_s


register(
    Row(
        "request",
        "a conditional write through Holocron's store, to one bare put_object with the same options",
        "x",
        lambda peer: (CPU, WALL) if peer.name == "holocron" else (),
        _measure,
        (Limit(CPU, "median", most=1.10),),
    )
)
