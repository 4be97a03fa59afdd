"""`holocron leader pause` with real processes: a killed leader is followed by its own node alone (rule 14)."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.cli.program import holocron, running
from tests.runtime.waiting import until


def test_in_a_pause_a_killed_leader_is_followed_by_its_own_node_alone(tmp_path: Path) -> None:
    """Rule 14: nobody takes over while the pause lasts; the node, resumed, leads again and ends it."""
    where = ("--store", f"file://{tmp_path}/store")
    flags = (*where, "--ttl", "1s", "--log-format", "json")
    with running("node", "start", "--node-id", "one", *flags, cwd=tmp_path) as one:
        one.heard("Acquired cluster leadership.")
        with running("node", "start", "--node-id", "two", *flags, cwd=tmp_path) as two:
            two.heard("Trying to acquire cluster leadership.")
            done = holocron("leader", "pause", "--for", "10m", *where, cwd=tmp_path)
            assert (done.code, done.out.split(" for ")[0]) == (0, "leadership stays with one")
            # Over a pause that runs, success is said of this one: whoever looks then finds the longer.
            assert holocron("leader", "pause", "--for", "1h", *where, cwd=tmp_path).code == 0
            shown = holocron("leader", "show", "-o", "json", *where, cwd=tmp_path)
            assert shown.json["paused_s"] > 3000
            assert holocron("leader", "step-down", *where, cwd=tmp_path).code == 1
            one.signal(signal.SIGKILL)
            # By the store's clock the lease is long over, and so is the time in which another would have led.
            until(lambda: holocron("leader", "show", *where, cwd=tmp_path).code == 4, "the lease is over, nobody leads")
            shown = holocron("leader", "show", *where, cwd=tmp_path)
            assert shown.code == 4
            assert "nobody else follows" in shown.out
            late = holocron("leader", "unpause", *where, cwd=tmp_path)
            assert late.code == 4
            assert "resume one, which may lead again at once" in late.err
            with running("node", "resume", "--node-id", "one", *flags, cwd=tmp_path) as again:
                again.heard("Acquired cluster leadership.")
                done = holocron("leader", "unpause", *where, cwd=tmp_path)
                assert (done.code, done.err) == (0, "")
                again.signal(signal.SIGTERM)
                assert again.ended() == 0
            two.heard("Acquired cluster leadership.")
