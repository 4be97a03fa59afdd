"""The house's own customs, where no tool of `make lint` holds them or to show that one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each costs more to import than all of Holocron, and most runs need none of them.
HEAVY = ("boto3", "botocore", "moto", "obstore", "prometheus_client", "flask", "werkzeug")


@pytest.mark.parametrize("module", ["holocron", "holocron.testing.server", "holocron_cli.app"])
def test_an_import_loads_nothing_heavy(module: str) -> None:
    """`import holocron` and `holocron --help` stay quick: SDKs and servers are loaded where they are used."""
    script = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# What each of these begins to load, and what it has no use for.
SPARED = {
    "holocron --help": ("boto3", "botocore", "asyncio", "msgspec", "structlog", "tenacity", "holocron.runtime"),
    # All that a node needs on S3 from its first line to leadership.
    "holocron.runtime.node, holocron.store.s3": (
        "asyncio",
        "boto3",
        "holocron.observe.http",
        "holocron.store.probe",
        "rich",
        "s3transfer",
        "structlog",
        "tenacity",
        "typer",
    ),
}


@pytest.mark.parametrize("what", SPARED)
def test_what_a_start_has_no_use_for_is_not_loaded(what: str) -> None:
    """A process is up soon: help needs no library at all, and a node neither boto3's upper layer nor asyncio."""
    command = f"import {what}"
    if what == "holocron --help":
        command = "sys.argv = ['holocron', '--help']\nfrom holocron_cli.app import main\n"
        command += "try: main()\nexcept SystemExit: pass"
    script = f"import sys\n{command}\nprint(sorted(set({SPARED[what]!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import random",
        "import boto3",
        "import threading",
        "import os",
        "from holocron.clock import SystemClock",
    ],
)
def test_the_protocol_may_not_import_what_acts(line: str) -> None:
    """A clock, a random number, a thread or an SDK inside the protocol is a lint error (I13, design section 8)."""
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "TID251", "--output-format", "concise"]
    for folder, refused in (("protocol", True), ("runtime", False)):
        done = subprocess.run(
            [*ruff, "--stdin-filename", f"holocron/{folder}/made_up.py", "-"],
            input=line + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
        assert ("TID251" in done.stdout) is refused, done.stdout + done.stderr
