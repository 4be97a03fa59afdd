"""From a URI to a store: the one place that knows the schemes."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes
from weakref import WeakKeyDictionary

import msgspec

from holocron.errors import SettingsError
from holocron.layout import check_prefix
from holocron.loading import loading
from holocron.store.base import Store

__all__ = ["SCHEMES", "Location", "Origin", "StoreOptions", "open_store", "origin", "parse_location"]

SCHEMES = ("s3", "file", "memory", "gs", "az")

# What the vendors allow and a little more (old buckets, Ceph, MinIO); the server has the last word.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_OWNER = re.compile(r"[0-9]{12}\Z")


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a store, where its URI and the environment do not say it all.

    `endpoint_url`, `region`, `profile` and `bucket_owner` (the 12 digits of the account that must own the bucket)
    concern s3:// alone and win over the environment and the profile. `timeout_s` is the longest that any one
    request may take, in seconds; None leaves it to whoever asks.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    bucket_owner: str | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            _check_endpoint(self.endpoint_url)
        if self.bucket_owner is not None and not _OWNER.match(self.bucket_owner):
            raise SettingsError(f"{self.bucket_owner[:40]!r} cannot own a bucket: give the 12 digits of an AWS account")
        if self.timeout_s is not None and not 0.05 <= self.timeout_s <= 600:
            raise SettingsError(f"timeout_s is {self.timeout_s:g} and must be between 0.05 and 600")


class Location(msgspec.Struct, frozen=True):
    """A URI, taken apart and found good: `place` is the bucket, the name or (file://) the absolute path."""

    scheme: str
    place: str
    prefix: str


def parse_location(uri: str) -> Location:
    """The parts of `uri`, or `SettingsError` that says what is wrong with it and how it should look.

    A message never repeats what may be a secret.
    """
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in uri) or uri != uri.strip():
        raise SettingsError("the store's URI holds blanks around it or control characters: check how it was quoted")
    scheme, divider, rest = uri.partition("://")
    if not divider:
        raise SettingsError(_no_scheme(uri))
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise SettingsError(f"no store is called {scheme[:40]!r}: say one of {known}")
    if "?" in rest or "#" in rest:
        raise SettingsError(
            f"the {scheme}:// URI has a query ('?') or a fragment ('#'), which mean nothing here: "
            "say endpoint, region and the like through options"
        )
    if scheme == "file":
        return Location("file", _file_path(rest), "")
    if "@" in rest:
        raise SettingsError(
            f"the {scheme}:// URI has an '@' in it: credentials do not belong into a URI, where every log and process "
            "list shows them; set them in the environment or a profile"
        )
    place, _, prefix = rest.partition("/")
    if scheme == "memory":
        if not _NAME.match(place):
            raise SettingsError(f"memory:// needs a name of letters, digits, '.', '_' and '-', not {place[:80]!r}")
    elif not place:
        what = "container" if scheme == "az" else "bucket"
        raise SettingsError(
            f"the URI names no {what}: say {scheme}://{what.upper()} or {scheme}://{what.upper()}/PREFIX"
        )
    elif not _BUCKET.match(place):
        raise SettingsError(
            f"{place[:80]!r} cannot be a bucket: 3 to 255 of letters, digits, '.', '_' and '-', "
            "beginning and ending with a letter or digit"
        )
    return Location(scheme, place, check_prefix(prefix) if prefix.strip("/") else "")


class Origin(msgspec.Struct, frozen=True):
    """How a store was opened, so that another process can open it again."""

    uri: str
    options: StoreOptions


# By the store itself; those that somebody made in another way are not in it.
_origins: WeakKeyDictionary[Store, Origin] = WeakKeyDictionary()


def origin(store: Store) -> Origin | None:
    """How `store` was opened by `open_store`; None where it was made otherwise, or lies in this process's memory."""
    return _origins.get(store)


def open_store(uri: str, options: StoreOptions | None = None) -> Store:
    """The store at `uri`: s3://BUCKET/PREFIX, file:///PATH, memory://NAME/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX.

    Nothing is sent yet: a bucket that is missing or closed shows in the first answer. Raises `SettingsError` for a
    URI or options that make no sense, `MissingExtra` where gs:// or az:// want a package that is not installed.
    """
    where = parse_location(uri)
    chosen = options or StoreOptions()
    store = _open(where, chosen)
    if where.scheme != "memory":
        _origins[store] = Origin(uri, chosen)
    return store


def _open(where: Location, chosen: StoreOptions) -> Store:
    if where.scheme == "s3":
        # Imported here because boto3 costs more to load than all of Holocron.
        with loading():
            from holocron.store.s3 import S3Store

        return S3Store(
            where.place,
            where.prefix,
            endpoint_url=chosen.endpoint_url,
            region=chosen.region,
            profile=chosen.profile,
            bucket_owner=chosen.bucket_owner,
            timeout_s=chosen.timeout_s,
        )
    alien = [
        name for name in ("endpoint_url", "region", "profile", "bucket_owner") if getattr(chosen, name) is not None
    ]
    if alien:
        raise SettingsError(f"{', '.join(alien)}: these concern s3:// alone, and the store is {where.scheme}://")
    if where.scheme == "file":
        from holocron.store.local import LocalStore

        return LocalStore(where.place)
    if where.scheme == "memory":
        from holocron.store.memory import MemoryStore

        return MemoryStore(where.place, where.prefix)
    from holocron.store.objectstore import open_objectstore

    return open_objectstore(where.scheme, where.place, where.prefix, timeout_s=chosen.timeout_s)


def _no_scheme(uri: str) -> str:
    if uri.startswith(("/", "./", "../", "~")):
        return f"{uri[:80]!r} is a path and not a URI: say file:///absolute/path"
    if "@" not in uri and _BUCKET.match(uri.partition("/")[0]):
        return f"{uri[:80]!r} is no URI: say s3://{uri[:80]} for a bucket, file:///absolute/path for a directory"
    return "the store is not given as a URI: say s3://BUCKET/PREFIX or file:///absolute/path"


def _file_path(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host or not slash:
        raise SettingsError(
            "a file:// URI takes an absolute path and no host: three slashes, as in file:///var/lib/holocron/leader"
        )
    try:
        plain = "/" + unquote_to_bytes(path).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise SettingsError("the path of the file:// URI is not valid UTF-8") from None
    parts = [part for part in plain.split("/") if part]
    if "\0" in plain or ".." in parts or "." in parts:
        raise SettingsError("the path of the file:// URI must be plain: no '.', no '..', no NUL")
    if not parts:
        raise SettingsError(
            "file:/// alone is the whole machine: name a directory, as in file:///var/lib/holocron/leader"
        )
    return "/" + "/".join(parts)


def _check_endpoint(url: str) -> None:
    scheme, divider, rest = url.partition("://")
    if not divider or scheme.lower() not in {"http", "https"} or not rest.partition("/")[0]:
        raise SettingsError("the endpoint must be a URL such as https://s3.example.com or http://127.0.0.1:9000")
    if "@" in rest or "?" in rest or "#" in rest:
        raise SettingsError("the endpoint's URL must be plain: no credentials, no query, no fragment")
