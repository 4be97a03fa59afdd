"""Help, completion and usage errors: quick, and without the library's weight."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.program import clean_environment, holocron

HEAVY = ("boto3", "botocore", "moto", "obstore", "structlog", "prometheus_client", "msgspec", "holocron.runtime")

COMMANDS = (
    "node start",
    "node resume",
    "node list",
    "node show",
    "node forget",
    "leader show",
    "leader step-down",
    "topology",
    "history",
    "epoch gc",
    "doctor",
    "server",
    "simulate",
)


def test_help_imports_nothing_heavy() -> None:
    """`holocron --help` answers at once: no SDK, no server, no library."""
    script = """
import json, sys
from holocron_cli.app import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0, end.code
sys.stderr.write(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=clean_environment()
    )
    assert set(HEAVY).isdisjoint(json.loads(done.stderr))
    assert "node" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """Each command says what it does and which flags it takes."""
    done = holocron(*command.split(), "--help")
    assert done.code == 0
    assert f"holocron {command}" in done.out
    assert "--help" in done.out


@pytest.mark.parametrize("command", ["node start", "node resume", "node list", "leader show", "topology", "history"])
def test_every_command_that_reads_the_store_takes_its_flags(command: str) -> None:
    """Where the store is can be said to each command that needs one."""
    done = holocron(*command.split(), "--help")
    for flag in ("--store", "--bucket", "--prefix", "--endpoint-url", "--region", "--profile", "--bucket-owner"):
        assert flag in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nod",),
        ("node", "resume"),
        ("node", "start", "--priority", "high"),
        ("node", "start", "--log-format", "xml", "--store", "memory://x"),
        ("node", "list", "-o", "yaml"),
        ("topology", "--epoch", "0"),
        ("history", "--limit", "-1"),
        ("simulate", "--nodes", "1"),
        ("simulate", "--ttl", "1h"),
        ("server", "--port", "70000"),
        ("server", "--bucket", "a/b"),
        ("node", "start", "--store", "memory://x", "--for", "soon"),
        ("node", "start", "--store", "memory://x", "--ttl", "0.1s"),
        ("node", "start", "--store", "memory://x", "--ttl", "1h"),
        ("node", "start", "--store", "memory://x", "--node-id", "NOT AN ID"),
        ("node", "start", "--store", "memory://x", "--home", "nowhere"),
        ("node", "start", "--store", "s3://bucket", "--endpoint-url", "localhost:9000"),
        ("node", "start", "--store", "s3://bucket", "--bucket-owner", "me"),
        ("node", "start", "--store", "memory://x", "--region", "eu-west-1"),
        ("node", "resume", "--store", "memory://x", "--node-id", "abc\n"),
        ("node", "show", "--store", "memory://x", "../x"),
        ("node", "forget", "--store", "memory://x", ""),
        ("leader", "step-down", "--store", "memory://x", "--to", "A"),
        ("leader", "step-down", "--store", "memory://x", "--wait", "long"),
        ("topology", "--store", "memory://x", "--watch", "--epoch", "3"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    """Ids, durations, choices and numbers that make no sense end with exit code 2 and nothing on stdout."""
    done = holocron(*arguments)
    assert done.code == 2, done
    assert done.err.strip()
    assert done.out == ""


def test_completion_is_there_for_the_shells() -> None:
    """typer's completion answers for the program's own name."""
    asked = {"_HOLOCRON_COMPLETE": "complete_bash", "COMP_WORDS": "holocron node re", "COMP_CWORD": "2"}
    done = holocron(env=clean_environment(**asked))
    assert (done.code, done.out.split()) == (0, ["resume"])
    source = holocron(env=clean_environment(_HOLOCRON_COMPLETE="source_bash"))
    assert source.code == 0
    assert "_HOLOCRON_COMPLETE" in source.out


def test_the_version_is_told() -> None:
    """`--version` names the program and its version."""
    done = holocron("--version")
    assert done.code == 0
    assert done.out.startswith("holocron 0.")
