"""The pytest plugin is there where Holocron is installed, and weighs nothing where it is not used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

TEST = """
def test_a_leader_that_dies_is_followed(holocron_cluster):
    cluster = holocron_cluster(2)
    cluster.campaign()
    cluster.await_leader().kill()
    assert cluster.await_leader() is cluster[1]
"""
NAMES = """
import sys
import holocron, holocron.testing
assert "pytest" not in sys.modules
import holocron.testing.plugin
print(sorted(name for name in sys.modules if name.startswith("holocron.") or name in {"msgspec", "structlog"}))
assert all(hasattr(holocron.testing, name) for name in holocron.testing.__all__)
"""


def test_pytest_finds_the_fixture_by_itself(tmp_path: Path) -> None:
    """The entry point alone brings `holocron_cluster` into any project's tests."""
    assert entry_points(group="pytest11")["holocron"].value == "holocron.testing.plugin"
    (tmp_path / "test_it.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_nothing_until_a_cluster_is_made() -> None:
    """`import holocron` does not load pytest, and the plugin loads no part of the runtime."""
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "['holocron.testing', 'holocron.testing.plugin']\n", done.stdout + done.stderr
