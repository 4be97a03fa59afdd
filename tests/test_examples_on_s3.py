"""The examples on a real S3 server, and the policy that one of them names held against every request that is made."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.client
import pytest

import holocron
from holocron.testing.server import spawn
from tests.test_examples import EXAMPLES, SHOWS, WITHIN_S, _shown

# What S3 asks of a policy for each operation that a node makes.
ACTIONS = {
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment that leads to a server with three buckets."""
    with spawn(buckets=("holocron", "team", "billing")) as s3:
        yield s3.environment()


@pytest.mark.parametrize("name", sorted(SHOWS))
def test_an_example_runs_on_an_s3_server(name: str, server: dict[str, str]) -> None:
    """What users will run it on, over HTTP, with real processes: the same lines as anywhere."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), f"s3://holocron/{Path(name).stem}"],
        cwd="/",
        env={**os.environ, **server},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    _shown(name, done.stdout)


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _allows(statement: dict[str, Any], operation: str, parameters: dict[str, Any]) -> bool:
    """Whether one statement of a policy allows a request, as IAM reads it."""
    actions, resources = statement["Action"], statement["Resource"]
    of_bucket = operation == "ListObjectsV2"
    arn = f"arn:aws:s3:::{parameters['Bucket']}" + ("" if of_bucket else f"/{parameters['Key']}")
    wanted = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", "*")
    return (
        statement["Effect"] == "Allow"
        and ACTIONS.get(operation) in ([actions] if isinstance(actions, str) else actions)
        and any(fnmatchcase(arn, one) for one in ([resources] if isinstance(resources, str) else resources))
        and (not of_bucket or fnmatchcase(parameters.get("Prefix", ""), wanted))
    )


def test_the_policy_allows_what_a_node_does_and_no_verb_more(
    server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Founding, leading, journal, checkpoints, retention and a resume from the home alone: each request is allowed by
    the policy of the example, each of its verbs is needed, and another prefix of the same bucket is out of reach."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    made: list[tuple[str, dict[str, Any]]] = []
    call = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]  # botocore has no types

    def recorded(self: object, operation: str, parameters: dict[str, Any]) -> object:
        made.append((operation, parameters))
        return call(self, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    cluster, home = "s3://team/policy", "s3://billing"
    settings = holocron.Settings(ttl_s=1.0)
    with holocron.Node.start(cluster, node_id="policy", home=home, settings=settings) as node, node.lead(timeout=60):
        node.publish(b"here")
        node.journal.checkpoint(b"all", node.journal.append(b"one"))
        node.journal.checkpoint(b"all", node.journal.append(b"two"))
    with holocron.Node.resume(home, "policy", settings=settings) as again:
        assert again.location == cluster
        again.journal.replay(lambda position, entry: None, lambda snapshot, position: None)
    with holocron.Cluster.open(cluster) as seen:
        assert [row.node for row in seen.members()] == ["policy"]
        seen.forget("policy", force=True, home=home)
    statements = _example("own_bucket").policy(cluster, home)["Statement"]
    refused = [one for one in made if not any(_allows(statement, *one) for statement in statements)]
    assert refused == []
    assert {operation for operation, _ in made} == set(ACTIONS)
    assert {parameters["Bucket"] for _, parameters in made} == {"team", "billing"}
    elsewhere = {"Bucket": "team", "Key": "other/epochs/1", "Prefix": "other/"}
    for operation in ACTIONS:
        assert not any(_allows(statement, operation, elsewhere) for statement in statements)
