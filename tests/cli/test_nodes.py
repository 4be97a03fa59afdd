"""Nodes as processes on S3 over HTTP: elected, killed, resumed, stopped."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Place
from tests.cli.program import Event, Running, first_to_end, holocron, running

START = ("node", "start", "--ttl", "1s", "--log-format", "json")
RESUME = ("node", "resume", "--ttl", "1s", "--log-format", "json", "--node-id")
ACQUIRED = "Acquired cluster leadership."


def _listed(place: Place) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = holocron("node", "list", "-o", "json", env=place.env).json
    return rows


def _id(node: Running, words: str = "Starting node") -> str:
    return str(node.heard(words)["node"])


def test_a_leader_is_killed_and_resumed_from_the_bucket_alone(place: Place, tmp_path: Path) -> None:
    """Fresh compute pointed at bucket and prefix is the same node: identity, epoch, topology, and it leads again."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with running(*START, "--name", "one", "--label", "zone=a", env=place.env) as first:
        node = _id(first)
        won = first.heard(ACQUIRED)
        assert (won["node"], won["epoch"], won["term"], won["role"]) == (node, 1, 1, "leader")
        shown = holocron("leader", "show", "-o", "json", env=place.env)
        assert shown.code == 0
        assert (shown.json["node"], shown.json["term"]) == (node, 1)
        first.signal(signal.SIGKILL)
        first.ended()
    with running(*RESUME, node, env=place.env, cwd=empty) as second:
        back = second.heard("Resumed node")
        assert (back["node"], back["incarnation"]) == (node, 2)
        assert back["epoch"] >= 1
        again = second.heard(ACQUIRED)
        assert again["epoch"] > won["epoch"]
        assert again["term"] > won["term"]
        view = holocron("node", "show", node, "-o", "json", env=place.env).json
        assert (view["identity"]["incarnation"], view["identity"]["name"]) == (2, "one")
        assert view["identity"]["labels"] == {"zone": "a"}
        second.signal(signal.SIGTERM)
        assert second.ended() == 0
    assert list(empty.iterdir()) == []
    told = holocron("history", "-o", "json", env=place.env).json
    assert [one["term"] for one in told] == sorted((one["term"] for one in told), reverse=True)
    assert told[-1]["cause"] == "first"
    assert told[0]["released"]


def test_the_events_of_a_life_carry_node_epoch_term_and_role(place: Place) -> None:
    """Each log event names node, epoch, term and role; data stays off stderr and logs off stdout."""
    with running(*START, env=place.env) as node:
        node.heard(ACQUIRED)
        node.signal(signal.SIGTERM)
        assert node.ended() == 0
        told = [event["event"] for event in node.events]
        assert node.out == ""
    wanted = [
        "Starting node",
        "Trying to acquire cluster leadership.",
        ACQUIRED,
        "Released cluster leadership.",
        "Stopped node",
    ]
    assert [words for words in told if words in wanted] == wanted
    assert "Renewed cluster leadership." not in told

    def whole(event: Event) -> bool:
        return {"timestamp", "level", "node", "epoch", "term", "role"} <= event.keys()

    assert all(whole(event) for event in node.events if event["event"] in wanted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_releases_so_that_the_next_need_not_wait(place: Place, number: signal.Signals) -> None:
    """SIGTERM and SIGINT release, then stop: the last epoch is a release, and nobody leads (rule 9)."""
    with running(*START, "--ttl", "60s", env=place.env) as node:
        node.heard(ACQUIRED)
        node.signal(number)
        assert node.ended() == 0
        assert node.said("Released cluster leadership.")
    shown = holocron("leader", "show", env=place.env)
    assert shown.code == 4
    assert "released" in shown.err
    newest = holocron("history", "--epochs", "--limit", "1", "-o", "json", env=place.env).json
    assert [one["kind"] for one in newest] == ["release"]


def test_for_stops_by_itself(place: Place) -> None:
    """`--for` ends the node as a signal would."""
    done = holocron(*START, "--for", "4s", env=place.env)
    assert done.code == 0
    assert "Stopped node" in done.err


def test_two_computes_resume_one_node_and_one_wins(place: Place) -> None:
    """A second claimant loses with exit code 3 and is told who holds the node (rule 11, I9)."""
    with running(*START, env=place.env) as first:
        node = _id(first)
        first.heard(ACQUIRED)
        first.signal(signal.SIGKILL)
        first.ended()
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(running(*RESUME, node, env=place.env)) for _ in range(2)]
        loser = first_to_end(both)
        winner = next(one for one in both if one is not loser)
        assert loser.ended() == 3
        winner.heard(ACQUIRED)
        assert len(loser.lines) == 1
        assert node in loser.lines[0]
        # Who came in the same moment reads who was first; who was first learns of the second at its next heartbeat.
        theirs = winner.heard("Resumed node")["incarnation"]
        assert f"incarnation {theirs} " in loser.lines[0]
        assert str(winner.popen.pid) in loser.lines[0] or theirs == 3
        assert winner.popen.poll() is None


def test_a_former_self_that_still_runs_stops_with_3(place: Place) -> None:
    """The former incarnation learns of its successor at its next heartbeat, and ends: Superseded (rule 11)."""
    with running(*START, env=place.env) as first:
        node = _id(first)
        first.heard(ACQUIRED)
        with running(*RESUME, node, env=place.env) as second:
            second.heard("Resumed node")
            assert first.ended() == 3
            assert any(node in line for line in first.lines)
            second.heard(ACQUIRED)


def test_a_follower_takes_over_and_leadership_is_handed_on(place: Place) -> None:
    """A follower follows; `leader step-down --to` names the next leader, and waits until it leads (rule 9)."""
    with running(*START, env=place.env) as first:
        old = _id(first)
        first.heard(ACQUIRED)
        with running(*START, "--name", "heir", env=place.env) as second:
            heir = _id(second)
            second.heard("Failed to acquire cluster leadership, becoming a follower.")
            while not any(one["node"] == heir and one["standing"] for one in _listed(place)):
                # Nobody hands over to a node whose beacon does not say yet that it stands.
                assert second.popen.poll() is None
            done = holocron("leader", "step-down", "--to", heir, env=place.env)
            assert done.code == 0, done
            assert f"{old} handed over to {heir}" in done.out
            assert first.heard("Lost cluster leadership.")["reason"] or first.said("Released cluster leadership.")
            assert second.heard(ACQUIRED)["term"] > 1
            assert holocron("leader", "step-down", "--to", heir, env=place.env).out == f"{heir} leads already\n"


def test_to_resume_what_never_lived_is_one_line(place: Place) -> None:
    """Resume of an unknown id says so, and creates nothing ("Bad input")."""
    done = holocron(*RESUME, "0123456789ab", env=place.env)
    assert done.code == 1
    assert "0123456789ab" in done.err
    assert holocron("node", "show", "0123456789ab", env=place.env).code == 1


def test_a_dead_node_can_be_forgotten_and_a_living_one_not(place: Place) -> None:
    """`node forget` removes the dead; the living only by --force."""
    with running(*START, env=place.env) as first:
        living = _id(first)
        first.heard(ACQUIRED)
        assert holocron("node", "forget", living, env=place.env).code == 1
        with running(*START, env=place.env) as second:
            dead = _id(second)
            second.heard("Failed to acquire cluster leadership, becoming a follower.")
            second.signal(signal.SIGTERM)
            assert second.ended() == 0
        done = holocron("node", "forget", dead, env=place.env)
        assert (done.code, done.out) == (0, f"forgot {dead}\n")
        assert holocron("node", "forget", "feedfeedfeed", env=place.env).code == 1


def test_a_node_with_its_own_home_is_resumed_from_the_home_alone(place: Place) -> None:
    """Identity at home names the cluster (design section 2), so --home is enough."""
    home = f"{place.location}-home"
    with running(*START, "--home", home, env=place.env) as first:
        node = _id(first)
        first.heard(ACQUIRED)
        first.signal(signal.SIGKILL)
        first.ended()
    alone = {name: value for name, value in place.env.items() if not name.startswith("HOLOCRON_")}
    with running(*RESUME, node, "--home", home, env=alone) as second:
        assert second.heard("Resumed node")["incarnation"] == 2
        assert second.heard(ACQUIRED)["term"] > 1
