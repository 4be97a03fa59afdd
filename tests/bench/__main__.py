"""What Holocron adds to a request: the time of a conditional PUT through its store, as a ratio to boto3 alone; and what
a journal costs (`journal.py`).

Both talk to the same embedded server, taking turns, so that what else the machine does befalls both alike; the ratio
means something on any machine, the milliseconds only on this one. A ratio below one is no mistake: the store spares
each write the round trip of `Expect: 100-continue`, which boto3 makes even for a body this small.
"""

from __future__ import annotations

import functools
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable

from holocron.store.base import Get, Put, Written
from holocron.store.s3 import S3Store
from holocron.testing.server import CREDENTIALS, spawn
from tests.bench import journal

ROUNDS = 8
REQUESTS_PER_ROUND = 50
BODY = b"x" * 600  # About the size of a lock file.


def main() -> int:
    """Measure, print a table, and return 0."""
    os.environ.update(CREDENTIALS)
    with spawn() as server:
        store = S3Store("holocron", "bench", endpoint_url=server.url)
        contenders: dict[str, Callable[[str], object]] = {
            "boto3 put_object": _bare_put(server.url),
            "holocron Put": functools.partial(_put, store),
        }
        for put in contenders.values():
            # The first request of each makes its connection.
            put(secrets.token_hex(8))
        times_s: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, put in contenders.items():
                times_s[name] += [_timed(put, secrets.token_hex(8)) for _ in range(REQUESTS_PER_ROUND)]
        times_s["holocron Get (absent)"] = [
            _timed(lambda key: store.perform(Get(key), 10), secrets.token_hex(8)) for _ in range(REQUESTS_PER_ROUND)
        ]
        requests(times_s)
        journal.measure(store, contenders["boto3 put_object"])
        store.close()
    return 0


def requests(times_s: dict[str, list[float]]) -> None:
    """Print what single requests took."""
    base_s = statistics.median(times_s["boto3 put_object"])
    print(f"{'':24}{'median':>10}{'p95':>10}{'ratio':>8}")
    for name, taken_s in times_s.items():
        median_s, p95_s = statistics.median(taken_s), statistics.quantiles(taken_s, n=20)[-1]
        print(f"{name:24}{median_s * 1000:>7.2f} ms{p95_s * 1000:>7.2f} ms{median_s / base_s:>8.2f}")


def _bare_put(url: str) -> Callable[[str], None]:
    """boto3 as anyone would use it, with no retries so that one call is one request."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    )

    def put(key: str) -> None:
        client.put_object(Bucket="holocron", Key=f"bench/{key}", Body=BODY, IfNoneMatch="*")

    return put


def _put(store: S3Store, key: str) -> None:
    answer = store.perform(Put(key, BODY), 10)
    if not isinstance(answer, Written):
        raise RuntimeError(f"the bench could not write: {answer}")


def _timed(work: Callable[[str], object], key: str) -> float:
    began_s = time.perf_counter()
    work(key)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    sys.exit(main())
