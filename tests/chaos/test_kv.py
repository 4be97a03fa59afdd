"""A hosted service under SIGKILL, and the judge of it on trial (I9, I10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kv_story import Story, judge, told


@pytest.mark.timeout(400)
def test_a_killed_service_loses_and_doubles_no_acknowledged_command(tmp_path: Path) -> None:
    """Whatever the client was told is there after every kill, once, and where it was said to be (I9)."""
    story = Story(tmp_path, seed=3)
    assert story.run(kills=12) == []
    assert sum(story.kills.values()) == 12
    # A story in which nothing was acknowledged would prove nothing.
    assert told(story.log)["answered"] > 100
    assert story.incarnations >= 6


ASKED = [
    {"what": "asked", "key": "k1", "thing": "nuts", "token": "t1"},
    {"what": "asked", "key": "k2", "thing": "nuts", "token": "t2"},
    {"what": "answered", "key": "k1", "index": 0},
]


def judged(tmp_path: Path, things: dict[str, list[str]], *more: dict[str, Any]) -> list[str]:
    """What the judge says of a log and a state."""
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(line) + "\n" for line in (*ASKED, *more)))
    return judge(log, things)


@pytest.mark.parametrize("things", [{"nuts": ["t1"]}, {"nuts": ["t1", "t2"]}])
def test_the_judge_passes_what_was_not_acknowledged_either_way(tmp_path: Path, things: dict[str, list[str]]) -> None:
    """Not acknowledged means there or not there."""
    assert judged(tmp_path, things) == []


@pytest.mark.parametrize(
    ("what", "things", "more"),
    [
        ("lost", {"nuts": []}, []),
        ("doubled", {"nuts": ["t1", "t2", "t2"]}, []),
        ("moved", {"nuts": ["t2", "t1"]}, []),
        ("never asked for", {"nuts": ["t1", "t9"]}, []),
        ("was answered with", {"nuts": ["t1"]}, [{"what": "answered", "key": "k1", "index": 1}]),
    ],
)
def test_the_judge_sees_what_cannot_be(
    tmp_path: Path, what: str, things: dict[str, list[str]], more: list[dict[str, Any]]
) -> None:
    """Each thing that may not befall a command is done to one, and he says which."""
    wrong = judged(tmp_path, things, *more)
    assert len(wrong) >= 1
    assert all(what in line for line in wrong)
