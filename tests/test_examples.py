"""The examples: each file runs by itself, in a process of its own, and shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
# Each takes seconds; this only bounds one that hangs.
WITHIN_S = 90.0
ID = r"[0-9a-f]{12}"

# What each example prints, whole; later lines may refer back to what earlier ones named.
SHOWS = {
    "library.py": [
        rf"node {ID} leads with token 1",
        r"published in epoch \d+",
        r"released; tenures so far: 1",
    ],
    "worker_loop.py": [
        r"step 1 by first, token 1",
        r"step 2 by first, token 1",
        r"step 3 by first, token 1",
        r"first is asked to step down",
        r"step 4 by second, token (?P<after>\d+)",
        r"step 5 by second, token (?P=after)",
        r"step 6 by second, token (?P=after)",
        r"all 6 steps done, under tokens \[1, (?P=after)\]",
    ],
    "watch_leader.py": [
        r"(?:topology of epoch \d+: .*\n)*web-1 leads at http://10\.0\.0\.7:8080, term \d+",
        r"(?:topology of epoch \d+: .*\n)*nobody leads",
        r"published last: open for business",
    ],
    "fenced_sqlite.py": [
        r"old wrote with token (?P<old>\d+)",
        r"new wrote with token (?P<new>\d+)",
        r"old was refused: token (?P=old) is older than one that has written",
        r"the table holds 'written by the new leader', fence (?P=new)",
    ],
    "hosted_service.py": [
        r"order-1, bolts: 3",
        r"order-2, bolts: 7",
        r"killed in the middle of its life",
        r'resumed as incarnation 2: \{"bolts": 7\}',
        r"order-2 repeated, bolts: 7",
        r"order-3, bolts: 8",
    ],
    "nightly_job.py": [
        r"night 1: job runs with token (?P<old>\d+)",
        r"night 1: exit codes \[0, 75, 75\]",
        r"night 2: job runs with token (?P<new>\d+)",
        r"night 2: exit codes \[0, 75, 75\]",
    ],
    "own_bucket.py": [
        r"(?:allow .* on .*\n)*billing leads with token 1",
        r"its journal says 1",
        r"resumed from its own bucket, incarnation 2",
        r"back in its cluster: True",
        r"its journal says \[b'invoice 1'\]",
    ],
    "web_workers.py": [
        r"1 of 3 workers runs the scheduler",
        r"2 answer 503 with an address, where it is found: True",
    ],
    "resume_node.py": [
        rf"node (?P<id>{ID}) leads, process \d+",
        r"killed; nothing was released",
        r"resumed as incarnation 2, called web-1",
        r"leads again with token (?P<after>\d+)",
        r"tenures of (?P=id): 2",
    ],
}


def _files() -> list[str]:
    return sorted(path.name for path in EXAMPLES.glob("*.py") if path.name not in _tests())


def _tests() -> list[str]:
    """The examples that are tests themselves: pytest runs them."""
    return sorted(path.name for path in EXAMPLES.glob("test_*.py"))


def _run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def _shown(name: str, out: str) -> re.Match[str]:
    shown = re.fullmatch("\n".join(SHOWS[name]) + "\n", out)
    assert shown is not None, out
    return shown


def test_every_example_is_run_and_listed() -> None:
    """No example without a test, and none that its index does not name."""
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert _files() == sorted(SHOWS)
    assert sorted([*_files(), *_tests()]) == sorted(listed)


@pytest.mark.parametrize("name", _files())
def test_an_example_runs_by_itself(name: str) -> None:
    """Without an argument, from any directory, it shows what it says; the second token is above the first (I2)."""
    found = _shown(name, _run(name)).groupdict()
    assert int(found.get("after", 2)) > 1
    assert int(found.get("new", 1)) > int(found.get("old", 0))


@pytest.mark.parametrize("name", _files())
def test_an_example_runs_where_it_is_told(name: str, tmp_path: Path) -> None:
    """Its argument is the place of its cluster, which is there afterwards."""
    _shown(name, _run(name, tmp_path.as_uri()))
    # At the place itself, or under the prefix that the example names.
    assert list(tmp_path.rglob("cluster.json"))


@pytest.mark.parametrize("name", _tests())
def test_an_example_of_a_test_passes(name: str) -> None:
    """As its user runs it, with nothing but pytest and Holocron installed; a warning would fail it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(EXAMPLES / name)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout
