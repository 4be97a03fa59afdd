"""`holocron simulate`: everything that the mission promises, told in half a minute."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.program import clean_environment, holocron, running

STORY = (
    "Elected: ",
    "kill -9",
    "Takeover: ",
    "holocron node resume --node-id",
    "incarnation 1 is now 2",
    "Epoch: it last wrote down",
    "Topology: the view it had when it died",
    "Handed over: ",
    "TERM",
    "Requests, and what they cost",
)


def _told(out: str) -> None:
    """Each step of the story stands after the one before it."""
    place = 0
    for words in STORY:
        place = out.find(words, place)
        assert place >= 0, f"{words!r} is missing or out of its order in:\n{out}"


def test_the_story_is_told_on_a_server_of_its_own(tmp_path: Path) -> None:
    """Election, SIGKILL, takeover, resume, hand-over, history and cost, in this order and plain in a pipe."""
    (tmp_path / "holocron.toml").write_text('store = "s3://real-work"\n')
    done = holocron("simulate", cwd=tmp_path, env=clean_environment(HOLOCRON_BUCKET="real-work"), timeout_s=110)
    assert done.code == 0, done
    _told(done.out)
    assert "real-work" not in done.out + done.err
    assert "PUT" in done.out
    assert "S3 Standard, us-east-1" in done.out
    assert "\x1b[" not in done.out


def test_the_story_is_told_in_a_store_that_is_given(tmp_path: Path) -> None:
    """In a given store it first warns that it writes there."""
    done = holocron("simulate", "--nodes", "2", "--store", f"file://{tmp_path}", timeout_s=110)
    assert done.code == 0, done
    _told(done.out)
    assert f"this writes under file://{tmp_path}/simulate-" in done.err
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("simulate-")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_stays_behind_when_it_is_cut_short(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end every process that it started."""
    with running("simulate") as play:
        assert play.popen.stdout is not None
        pids = []
        for line in play.popen.stdout:
            if " is up, process " in line:
                pids.append(int(line.rsplit(" ", 1)[1]))
            if len(pids) == 3:
                break
        play.signal(number)
        assert play.ended() == 128 + number
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_store_that_is_not_there_ends_the_story() -> None:
    """What does not happen as told ends with an error, and says which process said what."""
    env = clean_environment(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1")
    done = holocron(
        "simulate", "--nodes", "2", "--store", "s3://holocron", "--endpoint-url", "http://127.0.0.1:9", env=env
    )
    assert done.code == 1
    assert "in vain" in done.err
