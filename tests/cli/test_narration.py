"""Log events as they come out on stderr."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

EMIT = """
import logging, sys
from holocron_cli.narration import narrate
narrate(sys.argv[1], sys.argv[2])
log = logging.getLogger("holocron.runtime")
log.info("Starting node", extra={"reason": "x", "role": "solo", "term": 1, "epoch": 2, "node": "abc"})
log.debug("Renewed cluster leadership.", extra={"node": "abc"})
logging.getLogger("botocore").debug("a session token")
logging.getLogger("botocore").info("chatter")
logging.getLogger("urllib3").warning("pool is full")
"""


def _emit(form: str, level: str) -> str:
    done = subprocess.run([sys.executable, "-c", EMIT, form, level], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_json_is_one_object_per_line_in_one_order() -> None:
    """Each event has time, level, sentence, node, epoch, term and role, then the rest."""
    lines = [json.loads(line) for line in _emit("json", "info").splitlines()]
    assert list(lines[0]) == ["timestamp", "level", "event", "node", "epoch", "term", "role", "reason"]
    assert lines[0]["event"] == "Starting node"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")
    assert [line["event"] for line in lines] == ["Starting node", "pool is full"]


def test_debug_shows_renewals_and_never_what_the_sdk_says_at_debug() -> None:
    """The SDK logs session tokens at DEBUG (design section 11), so the level is the library's alone."""
    told = _emit("json", "debug")
    assert "Renewed cluster leadership." in told
    assert "session token" not in told
    assert "chatter" not in told


def test_the_console_shows_the_sentence_and_the_keys_without_colour_in_a_pipe() -> None:
    """People read the sentence first and the keys behind it."""
    told = _emit("console", "info")
    assert "Starting node" in told
    assert told.index("node=abc") < told.index("epoch=2") < told.index("role=solo")
    assert "\x1b[" not in told


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_reader_that_went_away_stops_nobody(form: str) -> None:
    """A closed stderr costs the log and nothing else."""
    script = EMIT + "\nlog.info('again')\nprint('still here')"
    done = subprocess.run(
        f'exec 2>&-; exec {sys.executable} -c "$SCRIPT" {form} info',
        shell=True,
        env={"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "still here\n")
