"""Where the store comes from: a flag, else the environment, else holocron.toml, else an error. Never a guess.

A silent fallback would be the worst answer: two machines that each fell back to a place of their own would each
elect a leader, and neither would know.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["LOCAL", "NOWHERE", "check_bucket", "check_store", "local_store", "location", "store_of"]

# The word that `--store` takes for the directory on this machine.
LOCAL = "local"

NOWHERE = (
    "which store? Give --store URI (s3://bucket, file:///path) or --bucket NAME, or set HOLOCRON_STORE or "
    'HOLOCRON_BUCKET, or write store = "..." into holocron.toml; --store local keeps everything in a directory '
    "on this machine only"
)


def local_store(environ: Mapping[str, str]) -> str:
    """The URI that `--store local` stands for: a directory under the user's data home."""
    given = environ.get("XDG_DATA_HOME", "")
    # A relative XDG_DATA_HOME is to be ignored, as its specification says.
    base = (
        Path(given) if given.startswith("/") else Path(environ.get("HOME") or os.path.expanduser("~")) / ".local/share"
    )
    return (base / "holocron").as_uri()


def check_bucket(name: str) -> str:
    """The URI of the bucket called `name`, or `SettingsError` if no bucket can be called that."""
    from holocron.errors import SettingsError
    from holocron_cli.checks import parse_location

    if "/" in name:
        raise SettingsError("a bucket is given by its name alone; for a URI there is --store")
    parse_location(f"s3://{name}")
    return f"s3://{name}"


def check_store(uri: str, environ: Mapping[str, str]) -> str:
    """`uri` without its last slash and "local" spelled out, or `SettingsError` for what no store is called."""
    from holocron_cli.checks import parse_location

    if uri == LOCAL:
        return local_store(environ)
    parse_location(uri)
    return uri.rstrip("/")


def store_of(layer: Mapping[str, object], names: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """The store that one layer (flags, environment or file) names, or None where it names none.

    Args:
        names: how this layer calls "store" and "bucket", for the message where both are given.
    """
    from holocron.errors import SettingsError

    store, bucket = layer.get("store"), layer.get("bucket")
    if store is not None and bucket is not None:
        raise SettingsError(f"{names['store']} and {names['bucket']} are both given: one of them is enough")
    given = "store" if store is not None else "bucket"
    try:
        if store is not None:
            return check_store(str(store), environ)
        return None if bucket is None else check_bucket(str(bucket))
    except SettingsError as error:
        raise SettingsError(f"{names[given]}: {error}") from None


def location(store: str, prefix: str) -> str:
    """The root of a cluster: its prefix within the store."""
    from holocron_cli.checks import check_prefix

    return f"{store}/{check_prefix(prefix)}"
