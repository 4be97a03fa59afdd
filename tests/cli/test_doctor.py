"""`holocron doctor`, and a start on a store that is unfit: what they say of good stores and of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holocron.testing.server import Server, serve
from tests.cli.conftest import Place
from tests.cli.objects import Objects
from tests.cli.program import clean_environment, holocron
from tests.s3.dishonest import checks_then_acts, ignores_conditions


def test_a_good_store_keeps_every_promise(place: Place) -> None:
    """Exit code 0, one row for each promise, and nothing left behind under the prefix."""
    done = holocron("doctor", env=place.env)
    assert done.code == 0, done
    for words in ("create if absent", "replace if unchanged", "racing creates", "Every promise held", place.location):
        assert words in done.out
    assert done.err == ""


def test_a_place_that_is_lived_in_stays_as_it_is(place: Place) -> None:
    """The probe works in a folder of its own: records, and junk in their places, are neither read nor touched."""
    for key in ("cluster.json", "probe.json", "epochs/0000000000000001.json", "members/alpha.json", "probe/notes.txt"):
        place.objects.put(key, b"somebody's")
    before = place.objects.all()
    assert holocron("doctor", env=place.env).code == 0
    assert place.objects.all() == before


def test_findings_as_json(place: Place) -> None:
    """`-o json` holds all that was found."""
    found = holocron("doctor", "-o", "json", env=place.env).json
    assert found["ok"] is True
    assert found["rounds"] > 0
    assert all(check["ok"] for check in found["checks"])


def test_a_directory_is_as_good_a_store(tmp_path: Path) -> None:
    """`file://` keeps the same promises."""
    done = holocron("doctor", "--store", f"file://{tmp_path}")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("dishonest", [ignores_conditions, checks_then_acts])
@pytest.mark.parametrize(
    "command", [("doctor",), ("node", "start", "--ttl", "1s"), ("doctor", "-o", "json")], ids=" ".join
)
def test_a_dishonest_server_is_refused_with_5(dishonest: Callable[[], Server], command: tuple[str, ...]) -> None:
    """Both dishonest servers are found out within seconds, in one clear line (design section 3)."""
    with dishonest() as server:
        env = clean_environment(**server.environment(), HOLOCRON_BUCKET="holocron")
        done = holocron(*command, env=env)
    told = [line for line in done.err.splitlines() if line.startswith("holocron: ")]
    assert (done.code, len(told)) == (5, 1), done
    assert "unfit" in told[0]


def test_a_versioned_bucket_is_told_the_rule_that_empties_it() -> None:
    """Versioned buckets keep every trimmed epoch as a noncurrent version: doctor prints the rule (section 11)."""
    with serve(buckets=("versioned",)) as server:
        env = clean_environment(**server.environment(), HOLOCRON_BUCKET="versioned", HOLOCRON_PREFIX="some/place")
        with Objects(env) as objects:
            objects.client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        done = holocron("doctor", env=env)
    assert done.code == 0, done
    assert "every version is kept" in done.out
    assert '"Prefix": "some/place/"' in done.out
