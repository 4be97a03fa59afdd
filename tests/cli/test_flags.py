"""Where a value comes from, as the program itself shows: flags, environment, holocron.toml, AWS's own files."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Place
from tests.cli.program import PATIENCE_S, clean_environment, holocron, running

START = ("node", "start", "--ttl", "1s", "--log-format", "json")
ACQUIRED = "Acquired cluster leadership."


def test_flags_win_over_the_environment_and_that_over_the_file(place: Place, tmp_path: Path) -> None:
    """One node, told who it is from three sides at once, says of itself what the nearest side told."""
    (tmp_path / "holocron.toml").write_text(
        'bucket = "not-this-one"\nname = "file"\naddress = "file:1"\npriority = 7\n'
        '[labels]\nzone = "file"\nrack = "9"\n'
    )
    env = place.env | {"HOLOCRON_NAME": "environment", "HOLOCRON_ADDRESS": "environment:2"}
    with running(*START, "--name", "flag", "--label", "zone=flag", env=env, cwd=tmp_path) as node:
        shown = holocron("node", "show", str(node.heard(ACQUIRED)["node"]), "-o", "json", env=env, cwd=tmp_path)
    identity = shown.json["identity"]
    assert (identity["name"], identity["address"], identity["priority"]) == ("flag", "environment:2", 7)
    assert identity["labels"] == {"zone": "flag", "rack": "9"}


def test_flags_alone_lead_to_the_store(place: Place) -> None:
    """`--bucket`, `--prefix`, `--endpoint-url` and `--region` need no help from the environment."""
    where = (*place.flags, "--endpoint-url", place.env["AWS_ENDPOINT_URL_S3"], "--region", "us-east-1")
    mine = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    env = clean_environment(**{name: place.env[name] for name in mine})
    with running(*START, *where, env=env) as node:
        leader = node.heard(ACQUIRED)["node"]
        assert holocron("leader", "show", "-o", "json", *where, env=env).json["node"] == leader


def test_a_profile_of_the_sdk_is_enough(place: Place, tmp_path: Path) -> None:
    """`--profile` brings credentials, endpoint and region from AWS's own files: the standard chain is untouched."""
    (tmp_path / "config").write_text(
        f"[profile work]\nregion = us-east-1\nendpoint_url = {place.env['AWS_ENDPOINT_URL_S3']}\n"
    )
    (tmp_path / "credentials").write_text(
        f"[work]\naws_access_key_id = {place.env['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {place.env['AWS_SECRET_ACCESS_KEY']}\n"
    )
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    env = clean_environment(**files)
    assert holocron("node", "list", *place.flags, "--profile", "work", env=env).code == 0
    assert holocron("node", "list", *place.flags, env=env).code == 1


def test_local_is_this_machine_only_and_said_by_name(tmp_path: Path) -> None:
    """`--store local` keeps the cluster under the data home, where the next command finds it again."""
    env = clean_environment(XDG_DATA_HOME=str(tmp_path))
    here = ("--store", "local")
    with running(*START, *here, "--node-id", "alpha", env=env) as node:
        node.heard(ACQUIRED)
        assert holocron("leader", "show", *here, "-o", "json", env=env).json["node"] == "alpha"
    assert (tmp_path / "holocron").is_dir()
    # Somebody else's data home is another store.
    assert holocron("leader", "show", *here, env=env | {"XDG_DATA_HOME": str(tmp_path / "other")}).code == 4


def test_priority_0_never_leads(place: Place) -> None:
    """A node of priority 0 stands in the topology of others and never in the way (rule 8)."""
    with running(*START, "--priority", "0", env=place.env) as never:
        never.heard("Starting node")
        assert holocron("leader", "show", env=place.env).code == 4
        with running(*START, env=place.env) as other:
            other.heard(ACQUIRED)
            other.signal(signal.SIGTERM)
            assert other.ended() == 0
        never.signal(signal.SIGTERM)
        assert never.ended() == 0
        assert not never.said(ACQUIRED)


def _led_for_a_while(store: str) -> None:
    """Wait until the leader there has renewed its lease."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        done = holocron("leader", "show", "-o", "json", "--store", store)
        if done.code == 0 and done.json["epoch"] > 2:
            return
    pytest.fail("nobody led")


@pytest.mark.parametrize(("level", "renewals"), [("debug", True), ("info", False), ("warning", False)])
def test_a_renewal_is_a_debug_event(tmp_path: Path, level: str, renewals: bool) -> None:
    """`--log-level` decides what is told: renewals at debug, a life's events at info, losses at warning."""
    store = f"file://{tmp_path}"
    with running(*START, "--store", store, "--log-level", level) as node:
        _led_for_a_while(store)
        node.signal(signal.SIGTERM)
        assert node.ended() == 0
        assert node.said("Renewed cluster leadership.") is renewals
        assert node.said(ACQUIRED) is (level != "warning")
        assert node.said("Lost cluster leadership.")


def test_the_console_is_for_people(tmp_path: Path) -> None:
    """Without `--log-format` each event is a sentence with its keys behind it, and no colour in a pipe."""
    store = f"file://{tmp_path}"
    with running("node", "start", "--ttl", "1s", "--store", store, "--node-id", "a1") as node:
        _led_for_a_while(store)
        node.signal(signal.SIGTERM)
        assert node.ended() == 0
        assert node.events == []
        line = next(line for line in node.lines if ACQUIRED in line)
        assert line.index(ACQUIRED) < line.index("node=a1") < line.index("epoch=1") < line.index("role=leader")
        assert not any("\x1b[" in line for line in node.lines)
