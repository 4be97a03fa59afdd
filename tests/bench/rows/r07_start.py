"""Row 7: a process that begins, leads and says so, as whole-process wall time; and what importing costs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.base import Job, Peer, worker_environment
from tests.bench.registry import Bench, Limit, Row, Sample, register

_TTL_S = 10.0
_BOUND_S = 60.0
_BARE = """
import boto3
client = boto3.client("s3", endpoint_url="http://{address}")
client.get_object(Bucket="holocron", Key="bare/{key}")
client.put_object(Bucket="holocron", Key="bare/{key}", Body=b"x" * 600)
print("done", flush=True)
input()
"""
RATIOS = ("start / bare", "resume / bare", "import / boto3", "--help / boto3")
_FOUNDED: dict[str, str] = {}


def _until_line(program: str, peer: Peer) -> tuple[float, str]:
    """Run `program`, and give the milliseconds to its first line, and that; then let it end in peace."""
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=worker_environment(peer),
    )
    bound = threading.Timer(_BOUND_S, process.kill)
    bound.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        took_ms = (time.monotonic() - began_s) * 1000
        _, errors = process.communicate("\n", timeout=_BOUND_S)
    finally:
        bound.cancel()
        process.kill()
        process.wait()
    if not line:
        raise RuntimeError((errors.strip().splitlines() or [f"said nothing in {_BOUND_S:g} s"])[-1][:300])
    return took_ms, line.strip()


def _whole(command: Sequence[str], peer: Peer) -> float:
    """The seconds that a whole process takes."""
    began_s = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, timeout=_BOUND_S, env=worker_environment(peer))
    return time.monotonic() - began_s


def _key(bench: Bench, peer: Peer) -> str:
    """An election that was founded before, and that nobody holds."""
    if peer.name not in _FOUNDED:
        key = bench.key(lasting=True)
        _until_line(peer.cold(Job(peer.name, bench.address(peer), key, _TTL_S)), peer)
        _FOUNDED[peer.name] = key
    return _FOUNDED[peer.name]


def _start(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    took_ms, _ = _until_line(peer.cold(Job(peer.name, bench.address(peer), _key(bench, peer), _TTL_S)), peer)
    return [took_ms]


def _bare_ms(bench: Bench, peer: Peer, key: str) -> float:
    address = bench.address(peer)
    # Its GET finds something.
    import boto3

    with contextlib.closing(
        boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            aws_access_key_id="holocron",
            aws_secret_access_key="holocron",
            region_name="us-east-1",
        )
    ) as client:
        client.put_object(Bucket="holocron", Key=f"bare/{key}", Body=b"x" * 600)
    return _until_line(_BARE.format(address=address, key=key), peer)[0]


def _ratio(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
    """What Holocron takes to what the bare program takes just before it."""
    if case in RATIOS[:2]:
        key = _key(bench, peer)
        options = {}
        if case == RATIOS[1]:
            _, node_id = _until_line(peer.cold(Job(peer.name, bench.address(peer), key, _TTL_S)), peer)
            options = {"node_id": node_id}
        bare_ms = _bare_ms(bench, peer, key)
        took_ms, _ = _until_line(peer.cold(Job(peer.name, bench.address(peer), key, _TTL_S, options=options)), peer)
        return [took_ms / bare_ms]
    python = [sys.executable, "-c"]
    nothing_s = _whole([*python, "pass"], peer)
    boto3_s = _whole([*python, "import boto3"], peer) - nothing_s
    if case == RATIOS[2]:
        return [(_whole([*python, "import holocron"], peer) - nothing_s) / boto3_s]
    return [_whole([str(Path(sys.executable).with_name("holocron")), "--help"], peer) / (boto3_s + nothing_s)]


register(
    Row("start", "a process begins and leads; the cluster is there, nobody leads", "ms", lambda _: ("start",), _start)
)
register(
    Row(
        "start-ratio",
        "the same as a ratio to a program that imports boto3, does one GET and one PUT; what importing costs",
        "x",
        lambda peer: RATIOS if peer.name == "holocron" else (),
        _ratio,
        (
            Limit(RATIOS[0], "median", most=1.15),
            Limit(RATIOS[1], "median", most=1.40),
            Limit(RATIOS[2], "median", most=0.30),
            Limit(RATIOS[3], "median", most=1.20),
        ),
    )
)
