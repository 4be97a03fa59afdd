"""Flags, environment and holocron.toml: who wins, and what is said of a value that makes no sense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from holocron.errors import SettingsError
from holocron_cli.config import FILE, KEYS, gather, read_environment, read_file


def _file(directory: Path, text: str | bytes) -> Path:
    path = directory / FILE
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Each layer decides only what the layers before it left open ("The command line")."""
    _file(tmp_path, 'region = "file"\nprefix = "file"\nname = "file"\npriority = 7\nttl = "3s"\n')
    environ = {"HOLOCRON_REGION": "environment", "HOLOCRON_PREFIX": "environment"}
    config = gather({"region": "flag", "ttl": None}, environ, tmp_path)
    assert (config.region, config.prefix, config.name) == ("flag", "environment", "file")
    assert (config.priority, config.ttl_s) == (7, 3.0)


def test_a_layer_that_names_a_store_hides_the_stores_below_it(tmp_path: Path) -> None:
    """A bucket in the environment wins over a store in the file: they answer one question."""
    _file(tmp_path, 'store = "s3://from-file"\n')
    assert gather({}, {}, tmp_path).store == "s3://from-file"
    assert gather({}, {"HOLOCRON_BUCKET": "from-env"}, tmp_path).store == "s3://from-env"
    assert gather({"store": "s3://from-flag/"}, {"HOLOCRON_BUCKET": "from-env"}, tmp_path).store == "s3://from-flag"


def test_flags_only_leaves_environment_and_file_out_of_it(tmp_path: Path) -> None:
    """A simulation must not play in the store that the environment names for real work."""
    _file(tmp_path, 'store = "s3://from-file"\n')
    assert gather({}, {"HOLOCRON_STORE": "s3://from-env"}, tmp_path, flags_only=True).store is None


def test_labels_are_merged_one_by_one(tmp_path: Path) -> None:
    """What the file says of the machine stays, and a flag adds to it or replaces one label."""
    _file(tmp_path, '[labels]\nzone = "a"\nrack = "1"\n')
    config = gather({"labels": ["rack=2", "disk=a=b"]}, {"HOLOCRON_LABELS": "os=linux,"}, tmp_path)
    assert config.labels == {"zone": "a", "rack": "2", "disk": "a=b", "os": "linux"}


def test_the_guardian_is_there_unless_any_layer_says_otherwise(tmp_path: Path) -> None:
    """On by default; a variable, being text, says it in any of the usual words."""
    assert gather({"guardian": None}, {}, tmp_path).guardian
    assert not gather({}, {"HOLOCRON_GUARDIAN": "off"}, tmp_path).guardian
    _file(tmp_path, "guardian = false\n")
    assert not gather({}, {}, tmp_path).guardian
    assert gather({"guardian": True}, {}, tmp_path).guardian


def test_nothing_said_is_nothing_set(tmp_path: Path) -> None:
    """Without any layer, only the documented defaults stand, and no store among them."""
    config = gather(dict.fromkeys(KEYS), {"HOLOCRON_STORE": ""}, tmp_path)
    assert (config.store, config.prefix, config.labels, config.priority) == (None, "leader", None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('stroe = "s3://b"\n', ("holocron.toml", "'stroe'", "did you mean store?")),
        ("zzz = 1\n", ("holocron.toml", "'zzz'", "known are store, bucket")),
        ("store = 7\n", ("holocron.toml: store", "wants text")),
        ('store = ""\n', ("holocron.toml: store", "is empty")),
        ('priority = "high"\n', ("holocron.toml: priority", "whole number")),
        ("priority = true\n", ("holocron.toml: priority", "whole number")),
        ("priority = -1\n", ("holocron.toml: priority", "between 0")),
        ('ttl = "10x"\n', ("holocron.toml: ttl", "10s")),
        ("ttl = nan\n", ("holocron.toml: ttl", "not a duration")),
        ("ttl = [1]\n", ("holocron.toml: ttl", "wants a duration")),
        ("guardian = 3\n", ("holocron.toml: guardian", "true or false")),
        ("labels = 3\n", ("holocron.toml: labels", "table")),
        ("[labels]\nzone = 3\n", ("holocron.toml: labels", "table")),
        ('log_format = "xml"\n', ("holocron.toml: log_format", "console, json")),
        ("store = \n", ("holocron.toml", "not TOML", "line 1")),
        (b"\xff\xfe = 1\n", ("holocron.toml", "not UTF-8")),
        (b"x = " + b"[" * 50_000, ("holocron.toml", "not TOML")),
        (b"#" * (1024 * 1024 + 1), ("holocron.toml", "larger than")),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_its_key(
    tmp_path: Path, text: str | bytes, words: tuple[str, ...]
) -> None:
    """An unreadable config file is one line that names file and key ("Bad input")."""
    with pytest.raises(SettingsError) as caught:
        read_file(_file(tmp_path, text))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message) < 400


def test_a_directory_called_holocron_toml_is_an_error_and_not_a_missing_file(tmp_path: Path) -> None:
    """Only a file that is not there may be passed over."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(SettingsError, match=r"holocron\.toml: cannot be read"):
        gather({}, {}, tmp_path)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HOLOCRON_TTL": "soon"}, "HOLOCRON_TTL"),
        ({"HOLOCRON_PRIORITY": "1.5"}, "HOLOCRON_PRIORITY"),
        ({"HOLOCRON_GUARDIAN": "perhaps"}, "HOLOCRON_GUARDIAN"),
        ({"HOLOCRON_LABELS": "zone"}, "HOLOCRON_LABELS"),
        ({"HOLOCRON_LABELS": "x=" + "y" * 300}, "256"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(environ: Mapping[str, str], words: str) -> None:
    """The message names the place that the value came from."""
    with pytest.raises(SettingsError, match=words):
        read_environment(environ)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"ttl": "-3s"}, "--ttl"),
        ({"labels": ["=x"]}, "--label:"),
        ({"priority": 1001}, "--priority"),
        ({"endpoint_url": " "}, "--endpoint-url"),
    ],
)
def test_a_flag_that_makes_no_sense_is_named(tmp_path: Path, flags: Mapping[str, object], words: str) -> None:
    """A flag is checked by the same function as a key, and named as it is typed."""
    with pytest.raises(SettingsError, match=words):
        gather(flags, {}, tmp_path)
