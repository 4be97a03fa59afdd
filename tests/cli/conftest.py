"""An S3 server for all tests of the command line, and a place of its own in it for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from holocron.testing.server import SpawnedServer, spawn
from tests.cli.program import clean_environment


class Place(NamedTuple):
    """A cluster's place: the environment that leads to it, and its flags."""

    env: dict[str, str]
    flags: tuple[str, ...]
    location: str


@pytest.fixture(scope="session")
def s3() -> Iterator[SpawnedServer]:
    """moto's server in a process of its own."""
    with spawn() as server:
        yield server


@pytest.fixture
def place(s3: SpawnedServer) -> Place:
    """An empty place in the bucket, told by environment variables alone."""
    prefix = f"t-{secrets.token_hex(5)}"
    env = clean_environment(**s3.environment(), HOLOCRON_BUCKET="holocron", HOLOCRON_PREFIX=prefix)
    return Place(env, ("--bucket", "holocron", "--prefix", prefix), f"s3://holocron/{prefix}")
