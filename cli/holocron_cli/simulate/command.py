"""`holocron simulate`: its flags, and the stage it plays on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, NamedTuple

import typer

from holocron_cli.config import DEFAULT_PREFIX, Config
from holocron_cli.durations import seconds
from holocron_cli.options import WHERE, configured
from holocron_cli.signals import unwinding

__all__ = ["Stage", "simulate"]

# Two, so that somebody is left to take over; a dozen is as many processes as a laptop bears and a reader follows.
MIN_NODES, MAX_NODES = 2, 12


class Stage(NamedTuple):
    """Where a simulation plays."""

    config: Config
    environment: Mapping[str, str]
    # What the server counted, by kind of request; None where the server is not ours and does not tell.
    requests: Callable[[], dict[str, int]] | None
    words: str


@configured(WHERE, flags_only=True)
def simulate(
    config: Config,
    nodes: Annotated[
        int, typer.Option("--nodes", min=MIN_NODES, max=MAX_NODES, metavar="N", help="How many nodes to start.")
    ] = 3,
    ttl: Annotated[str, typer.Option("--ttl", metavar="DURATION", help="How long a lease lasts, 1s to 10s.")] = "2s",
) -> None:
    """Show it all on real processes: an election, a leader killed, the takeover, the dead node resumed elsewhere.

    It plays on an S3 server of its own, unless --store or --bucket names another place. Only flags count: a store
    that the environment or holocron.toml names for real work is not written to.
    """
    from holocron.errors import SettingsError
    from holocron_cli.simulate.processes import Troupe
    from holocron_cli.simulate.story import Story

    ttl_s = seconds("--ttl", ttl) or 0.0
    if not 1 <= ttl_s <= 10:
        raise SettingsError(f"--ttl is {ttl} and must be between 1s and 10s: a longer lease makes a long wait to watch")
    # Both unwind, so that no process stays behind.
    with unwinding((signal.SIGINT, signal.SIGTERM)) as check, _stage(config) as stage:
        flags = _flags(stage.config)
        with Troupe(flags, ["--ttl", f"{ttl_s:g}s"], stage.environment, check) as troupe:
            Story(stage, troupe, nodes, ttl_s).tell()


@contextlib.contextmanager
def _stage(config: Config) -> Iterator[Stage]:
    if config.store is not None:
        place = config
        if config.prefix == DEFAULT_PREFIX:
            # Never into the cluster that a bare `node start` would join.
            place = dataclasses.replace(config, prefix=f"simulate-{secrets.token_hex(4)}")
        sys.stderr.write(f"holocron: this writes under {place.location} and leaves it there\n")
        yield Stage(place, dict(os.environ), None, f"In the store given: {place.location}")
        return
    from holocron.testing.server import spawn

    with spawn() as server, tempfile.TemporaryDirectory(prefix="holocron-") as room:
        # Nothing of the user's own AWS set-up counts here: no profile, no configuration file, no proxy.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= server.environment()
        environment |= {name: os.path.join(room, "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
        environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "AWS_EC2_METADATA_DISABLED": "true"}
        os.environ.clear()
        os.environ.update(environment)
        own = dataclasses.replace(config, store="s3://holocron", endpoint_url=server.url)
        words = f"An S3 server of our own at {server.url}, in memory: {own.location}"
        yield Stage(own, environment, server.requests, words)


def _flags(config: Config) -> list[str]:
    given = {
        "--store": config.store,
        "--prefix": config.prefix,
        "--endpoint-url": config.endpoint_url,
        "--region": config.region,
        "--profile": config.profile,
        "--bucket-owner": config.bucket_owner,
    }
    return [word for flag, value in given.items() if value is not None for word in (flag, value)]
