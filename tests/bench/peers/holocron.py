"""Holocron itself, on its own S3 server."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from holocron.testing.server import CREDENTIALS, spawn
from tests.bench.peers.base import Candidate, Job, Peer, Unavailable, lacking

__all__ = ["Holocron", "has"]


def has(parameter: str) -> bool:
    """Whether this Holocron's nodes know `parameter`."""
    from holocron import Node

    return parameter in inspect.signature(Node.start).parameters


class _Candidate:
    def __init__(self, node: Any) -> None:
        self._node = node
        self._leading: Any = None
        self._lease: Any = None

    def lead(self) -> None:
        self._leading = self._node.lead()
        self._lease = self._leading.__enter__()

    def leads(self) -> bool:
        return bool(self._lease.valid)

    def release(self) -> None:
        self._leading.__exit__(None, None, None)


class Holocron(Peer):
    """Nodes on a server that answers in a few milliseconds, every default kept except the ttl."""

    name = "holocron"
    client = "holocron-runtime"
    notes = "Node.lead and lease.valid, defaults except the ttl; many nodes of one process in one Runtime"
    token = "lease.token, which only rises"
    environment = CREDENTIALS

    def missing(self) -> str:
        """What the server needs."""
        return lacking("moto", "moto", None, "")

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """The embedded server, as a process of its own."""
        with spawn() as server:
            yield server.url.removeprefix("http://")

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """One node stands alone; more share a `Runtime`. Options: `guardian` and `hints`, both off if not given."""
        from holocron import Node, Runtime, Settings, StoreOptions

        settings, options = Settings(ttl_s=job.ttl_s), StoreOptions(endpoint_url=f"http://{job.address}")
        more: dict[str, Any] = {}
        if job.options.get("guardian"):
            if not has("guardian"):
                raise Unavailable("this Holocron has no guardian")
            more["guardian"] = True
        elif has("guardian"):
            more["guardian"] = False
        if job.options.get("hints"):
            if not has("hints"):
                raise Unavailable("this Holocron has no hints")
            more["hints"] = "127.0.0.1:0"
        location = f"s3://holocron/{job.key}"
        if job.count == 1:
            return [_Candidate(Node.start(location, settings=settings, options=options, **more))]
        runtime = Runtime(location, settings=settings, options=options)
        return [_Candidate(node) for node in runtime.start_many(job.count, **more)]

    def forget(self, address: str, keys: Sequence[str]) -> None:
        """Delete every object of theirs: for a LIST, moto goes through all keys of the bucket."""
        import boto3

        with contextlib.closing(boto3.client("s3", endpoint_url=f"http://{address}")) as client:
            for key in keys:
                for page in client.get_paginator("list_objects_v2").paginate(Bucket="holocron", Prefix=f"{key}/"):
                    if page.get("Contents"):
                        objects: Any = [{"Key": one["Key"]} for one in page["Contents"]]
                        client.delete_objects(Bucket="holocron", Delete={"Objects": objects})

    def cold(self, job: Job) -> str:
        """A new node, or with the option `node_id` that node again."""
        node_id = job.options.get("node_id")
        begin = (
            f"Node.resume({f's3://holocron/{job.key}'!r}, {node_id!r}"
            if node_id
            else (f"Node.start({f's3://holocron/{job.key}'!r}")
        )
        return f"""
import holocron
from holocron import Node
with {begin}, settings=holocron.Settings(ttl_s={job.ttl_s}),
        options=holocron.StoreOptions(endpoint_url="http://{job.address}")) as node, node.lead():
    print(node.id, flush=True)
    input()
"""
