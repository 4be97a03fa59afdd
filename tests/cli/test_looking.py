"""What the looking commands show of a living cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import NamedTuple

import pexpect
import pytest

from tests.cli.conftest import Place
from tests.cli.program import Running, holocron, running, terminal

START = ("node", "start", "--ttl", "1s", "--log-format", "json")


class Pair(NamedTuple):
    """A leader and a follower that the leader knows of."""

    place: Place
    leader: str
    follower: str
    process: Running


@pytest.fixture
def pair(place: Place) -> Iterator[Pair]:
    """Two nodes, both in the topology."""
    with running(*START, "--name", "one", "--address", "10.0.0.1:80", env=place.env) as first:
        leader = str(first.heard("Acquired cluster leadership.")["node"])
        with running(*START, "--name", "two", "--label", "zone=b", "--priority", "3", env=place.env) as second:
            follower = str(second.heard("Starting node")["node"])
            for _ in range(60):
                done = holocron("topology", "-o", "json", env=place.env)
                if done.code == 0 and {one["node"] for one in done.json["members"]} == {leader, follower}:
                    break
            else:
                pytest.fail("the follower never came into the topology")
            yield Pair(place, leader, follower, second)


def test_everything_can_be_listed_as_json_and_as_columns(pair: Pair) -> None:
    """`-o json` is one JSON value, the table one row for each; logs stay off stdout ("The command line")."""
    env = pair.place.env
    members = {one["node"]: one for one in holocron("node", "list", "-o", "json", env=env).json}
    assert members[pair.follower]["labels"] == {"zone": "b"}
    assert members[pair.leader]["address"] == "10.0.0.1:80"
    rows = holocron("node", "list", env=env).out.splitlines()
    assert rows[0].startswith("NODE")
    assert {row.split()[0] for row in rows[1:]} == {pair.leader, pair.follower}

    view = holocron("topology", "-o", "json", env=env).json
    assert view["term"] == 1
    table = holocron("topology", env=env).out
    assert pair.leader in table
    assert "term 1" in table

    leader = holocron("leader", "show", env=env).out
    assert pair.leader in leader
    epochs = holocron("history", "--epochs", "-o", "json", env=env).json
    assert [one["epoch"] for one in epochs] == sorted((one["epoch"] for one in epochs), reverse=True)
    assert len(holocron("history", "--epochs", "--limit", "1", "-o", "json", env=env).json) == 1
    assert pair.leader in holocron("history", env=env).out
    assert pair.leader in holocron("history", "--epochs", env=env).out
    assert "one" in holocron("node", "show", pair.leader, env=env).out


def test_the_topology_of_an_epoch_of_the_past(pair: Pair) -> None:
    """`--epoch N` shows the view as it stood then; an epoch that never was is exit code 1."""
    env = pair.place.env
    first = holocron("topology", "--epoch", "1", "-o", "json", env=env)
    assert first.code == 0
    assert first.json["epoch"] == 1
    assert pair.follower not in {one["node"] for one in first.json["members"]}
    never = holocron("topology", "--epoch", "999999", env=env)
    assert never.code == 1
    assert "999999" in never.err


def test_gc_keeps_what_is_young(pair: Pair) -> None:
    """`epoch gc` takes nothing out of a young chain, and says so (rule 12)."""
    done = holocron("epoch", "gc", env=pair.place.env)
    assert done.code == 0
    assert "nothing to take out" in done.out
    assert holocron("epoch", "gc", "-o", "json", env=pair.place.env).json["removed"] == 0


def test_watch_writes_each_change_on_a_line(pair: Pair) -> None:
    """Into a pipe, `--watch -o json` is a line for each change, and `--for` ends it."""
    done = holocron("topology", "--watch", "-o", "json", "--for", "5s", env=pair.place.env)
    assert done.code == 0
    assert len(done.out.splitlines()) >= 2


@pytest.mark.parametrize("command", [("node", "list"), ("topology",)], ids=" ".join)
def test_watch_in_a_terminal_redraws_and_ends_with_ctrl_c(pair: Pair, command: tuple[str, ...]) -> None:
    """In a real terminal the table stays in its place, and Ctrl-C ends it with code 0 and no traceback."""
    watching = terminal(*command, "--watch", env=pair.place.env)
    try:
        watching.expect(pair.leader)
        pair.process.signal(signal.SIGTERM)
        watching.expect("stopped|gone")
        # The new table has taken the place of the old one: the cursor went up before it was drawn.
        assert "\x1b[1A" in watching.before
        watching.sendintr()
        watching.expect(pexpect.EOF)
        assert "Traceback" not in watching.before
        watching.close()
        assert (watching.exitstatus, watching.signalstatus) == (0, None)
    finally:
        watching.close(force=True)
