"""Where the store comes from: named by somebody, or an error. Never a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from holocron.errors import SettingsError
from holocron_cli.config import gather
from holocron_cli.where import local_store
from tests.cli.program import clean_environment, holocron


def test_no_store_is_an_error_that_names_every_way_to_give_one(tmp_path: Path) -> None:
    """There is no silent fallback: two machines that each fell back would each elect a leader."""
    done = holocron("node", "start", cwd=tmp_path)
    assert done.code == 2
    for words in ("--store URI", "--bucket", "HOLOCRON_STORE", "HOLOCRON_BUCKET", "holocron.toml", "--store local"):
        assert words in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "environ", "file", "words"),
    [
        ({"store": "s3://b", "bucket": "bbb"}, {}, "", "--store and --bucket"),
        ({}, {"HOLOCRON_STORE": "s3://b", "HOLOCRON_BUCKET": "bbb"}, "", "HOLOCRON_STORE and HOLOCRON_BUCKET"),
        ({}, {}, 'store = "s3://bbb"\nbucket = "bbb"\n', "holocron.toml: store and holocron.toml: bucket"),
    ],
)
def test_store_and_bucket_in_one_layer_are_refused(
    tmp_path: Path, flags: dict[str, object], environ: dict[str, str], file: str, words: str
) -> None:
    """Which of two answers counts is not for us to choose."""
    (tmp_path / "holocron.toml").write_text(file)
    with pytest.raises(SettingsError, match=words):
        gather(flags, environ, tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "bucket",
        "./here",
        "/var/lib",
        "http://example.com/b",
        "s3://",
        "s3:///prefix",
        "s3://no/../up",
        "s3://b\n",
        "s3://key:secret@bucket",
        "s3://bucket?x=1",
        "file://host/path",
        "file://relative",
        "file:///",
        "memory://",
        "LOCAL",
        "",
        " ",
    ],
)
def test_a_store_that_makes_no_sense_is_refused_by_name_of_the_flag(tmp_path: Path, uri: str) -> None:
    """URIs that make no sense are one clear line ("Bad input"), and a secret in one is not repeated."""
    with pytest.raises(SettingsError) as caught:
        gather({"store": uri}, {}, tmp_path)
    assert str(caught.value).startswith("--store")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["s3://bucket", "a/b", "-x", "b\n", "..", "", "x" * 300])
def test_a_bucket_that_makes_no_sense_is_refused(tmp_path: Path, name: str) -> None:
    """A bucket is a bare name."""
    with pytest.raises(SettingsError, match="--bucket"):
        gather({"bucket": name}, {}, tmp_path)


def test_a_prefix_is_joined_to_the_store_and_checked(tmp_path: Path) -> None:
    """The cluster's root is store and prefix; `start --prefix leader` and a bare `resume` mean the same one."""
    assert gather({"bucket": "bkt"}, {}, tmp_path).location == "s3://bkt/leader"
    assert gather({"store": "s3://bkt/base/", "prefix": "/x/y/"}, {}, tmp_path).location == "s3://bkt/base/x/y"
    for prefix in ("../up", "a//b", "a b", ".hidden", "leader\n", "/"):
        with pytest.raises(SettingsError, match="cannot be a prefix"):
            _ = gather({"bucket": "bkt", "prefix": prefix}, {}, tmp_path).location


def test_local_is_a_directory_under_the_data_home() -> None:
    """`--store local` follows XDG_DATA_HOME where it is absolute, else ~/.local/share."""
    assert local_store({"XDG_DATA_HOME": "/data", "HOME": "/home/x"}) == "file:///data/holocron"
    assert local_store({"XDG_DATA_HOME": "relative", "HOME": "/home/x"}) == "file:///home/x/.local/share/holocron"
    assert local_store({"HOME": "/home/a b"}) == "file:///home/a%20b/.local/share/holocron"


def test_a_bad_config_file_in_the_working_directory_is_one_line(tmp_path: Path) -> None:
    """Even a command that has its store from a flag says that the file beside it is broken."""
    (tmp_path / "holocron.toml").write_text("stroe = 1\n")
    done = holocron("node", "list", "--store", "s3://bucket", cwd=tmp_path, env=clean_environment())
    assert done.code == 2
    assert done.err == "holocron: holocron.toml: unknown key 'stroe'; did you mean store?\n"
