"""Help, completion and usage errors: quick, and without the library's weight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.program import PATIENCE_S, clean_environment, command, holocron

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
    "cost",
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


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "holocron node re", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "holocron node re"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "holocron node re", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_completion_is_there_for_the_shells(shell: str, asked: dict[str, str]) -> None:
    """Each shell is given a script, and that script's questions are answered."""
    source = holocron(env=clean_environment(_HOLOCRON_COMPLETE=f"source_{shell}"))
    assert source.code == 0
    assert f"_HOLOCRON_COMPLETE=complete_{shell}" in source.out
    done = holocron(env=clean_environment(_HOLOCRON_COMPLETE=f"complete_{shell}", **asked))
    assert done.code == 0
    assert "resume" in done.out
    assert "start" not in done.out


def test_a_tab_in_a_shell_completes_the_command() -> None:
    """With the script that `--show-completion` prints, bash finishes what was begun."""
    path = f"{Path(command()[0]).parent}:{os.environ['PATH']}"
    bash = pexpect.spawn(
        "bash",
        ["--noprofile", "--norc", "-i"],
        env=clean_environment(PATH=path, TERM="dumb", PS1="ready> "),
        encoding="utf-8",
        timeout=PATIENCE_S,
    )
    try:
        bash.sendline('bind "set enable-bracketed-paste off"; eval "$(holocron --show-completion bash)"; echo lo""aded')
        bash.expect("loaded")
        bash.send("holocron leader step\t--help\n")
        bash.expect("Usage: holocron leader step-down")
    finally:
        bash.close(force=True)


def test_the_interpreter_knows_the_program_too() -> None:
    """`python -m holocron_cli` is the same program, for those who know only the interpreter's path."""
    done = subprocess.run(
        [sys.executable, "-m", "holocron_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == holocron("--version").out


def test_the_version_is_told() -> None:
    """`--version` names the program and its version."""
    done = holocron("--version")
    assert done.code == 0
    assert done.out.startswith("holocron 0.")
