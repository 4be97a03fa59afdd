"""DynamoDB as moto's server has it, through python-dynamodb-lock."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from holocron.testing.server import CREDENTIALS
from tests.bench.peers.base import Candidate, Job, Peer, daemon, free_port, lacking, scratch

__all__ = ["DynamoDB"]

_MODULE = "python_dynamodb_lock.python_dynamodb_lock"
_TABLE = "DynamoDBLockTable"


def _seconds(seconds: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=seconds)


class _Candidate:
    def __init__(self, resource: Any, key: str, ttl_s: float) -> None:
        module = importlib.import_module(_MODULE)
        self._client = module.DynamoDBLockClient(
            resource,
            heartbeat_period=_seconds(ttl_s / 4),
            safe_period=_seconds(ttl_s * 3 / 4),
            lease_duration=_seconds(ttl_s),
        )
        self._key = key
        self._lock: Any = None
        self._warned = False

    def _warn(self, *_: Any) -> None:
        self._warned = True

    def lead(self) -> None:
        self._warned = False
        self._lock = self._client.acquire_lock(self._key, retry_timeout=_seconds(600), app_callback=self._warn)

    def leads(self) -> bool:
        return self._lock.status == self._lock.LOCKED and not self._warned

    def release(self) -> None:
        self._lock.release()


class DynamoDB(Peer):
    """A lock whose client sends heartbeats and checks them from threads of its own."""

    name = "dynamodb"
    client = "python-dynamodb-lock"
    notes = (
        "acquire_lock with lease_duration = ttl, heartbeat_period = ttl/4 (its documentation: at least 4 times "
        "smaller), safe_period = 3/4 ttl, retry_period its default (the heartbeat period); leads: the lock's status is "
        "LOCKED and app_callback has not been called; a lock client per candidate, one boto3 resource per process"
    )
    environment = CREDENTIALS

    def missing(self) -> str:
        """The client; moto comes with Holocron's own tools, its DynamoDB with the extra."""
        return lacking("python_dynamodb_lock", "python-dynamodb-lock", None, "") or lacking(
            "py_partiql_parser", "moto[dynamodb]", None, ""
        )

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """moto's server, and the lock table in it."""
        with scratch() as folder:
            port = free_port()
            with daemon([sys.executable, "-m", "moto.server", "-p", str(port)], port, folder) as address:
                named = {
                    "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
                    "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
                    "region_name": CREDENTIALS["AWS_DEFAULT_REGION"],
                }
                client = importlib.import_module("boto3").client("dynamodb", endpoint_url=f"http://{address}", **named)
                importlib.import_module(_MODULE).DynamoDBLockClient.create_dynamodb_table(client)
                yield address

    def candidates(self, job: Job) -> Sequence[Candidate]:
        """A lock client for each, which is who owns a lock."""
        config = importlib.import_module("botocore.config").Config(max_pool_connections=max(10, job.count))
        resource = importlib.import_module("boto3").resource(
            "dynamodb", endpoint_url=f"http://{job.address}", config=config
        )
        return [_Candidate(resource, job.key, job.ttl_s) for _ in range(job.count)]

    def cold(self, job: Job) -> str:
        """Connect and take the lock."""
        return f"""
import boto3
from datetime import timedelta
from {_MODULE} import DynamoDBLockClient
client = DynamoDBLockClient(boto3.resource("dynamodb", endpoint_url="http://{job.address}"),
    heartbeat_period=timedelta(seconds={job.ttl_s / 4}), safe_period=timedelta(seconds={job.ttl_s * 3 / 4}),
    lease_duration=timedelta(seconds={job.ttl_s}))
with client.acquire_lock({job.key!r}):
    print("led", flush=True)
    input()
import os
os._exit(0)
"""
