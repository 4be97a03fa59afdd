"""The S3 servers that the command line is tested over, and a place of its own in each for every test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from holocron.testing.server import spawn
from holocron_cli.app import main
from tests.cli.objects import Objects
from tests.cli.program import clean_environment

# Runs the command line in this process: code, stdout, stderr.
Run = Callable[..., tuple[int, str, str]]


class Place(NamedTuple):
    """A cluster's place: the environment that leads to it, its flags, and what lies there."""

    env: dict[str, str]
    flags: tuple[str, ...]
    location: str
    objects: Objects


@pytest.fixture(scope="session", params=["moto", pytest.param("ceph", marks=pytest.mark.ceph)])
def s3(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment that leads to a server: moto's in a process of its own, or Ceph's gateway."""
    if request.param == "ceph":
        # Asked for here and not by name, so that a run without its mark does not start it.
        yield request.getfixturevalue("ceph").environment()
        return
    with spawn() as server:
        yield server.environment()


@pytest.fixture
def place(s3: dict[str, str]) -> Iterator[Place]:
    """An empty place in the bucket, told by environment variables alone."""
    prefix = f"t-{secrets.token_hex(5)}"
    env = clean_environment(**s3, HOLOCRON_BUCKET="holocron", HOLOCRON_PREFIX=prefix)
    with Objects(env) as objects:
        yield Place(env, ("--bucket", "holocron", "--prefix", prefix), f"s3://holocron/{prefix}", objects)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: code, stdout, stderr."""

    def running(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        told = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, told.out, told.err

    return running
