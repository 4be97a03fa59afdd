"""What a command was told, from three layers: flags win over the environment, the environment over holocron.toml."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holocron_cli import where

if TYPE_CHECKING:
    from holocron import Settings, StoreOptions

__all__ = ["FILE", "KEYS", "LOG_FORMATS", "LOG_LEVELS", "Config", "gather", "listen", "read_environment", "read_file"]

FILE = "holocron.toml"
# A file that is larger was not written for us.
FILE_LIMIT_BYTES = 1024 * 1024
DEFAULT_PREFIX = "leader"
LOG_FORMATS = ("console", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"wants text in quotes, not {value!r}")
    return value


def _some_text(value: object) -> str:
    if not _text(value).strip():
        raise ValueError("is empty")
    return _text(value)


def _uri(value: object) -> str:
    from holocron_cli.checks import parse_location

    parse_location(_some_text(value))
    return _text(value)


def _number(value: object) -> int:
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"wants a whole number, not {value!r}")
    if not 0 <= value <= 1000:
        raise ValueError(f"is {value} and must be between 0 (never leads) and 1000")
    return value


def _seconds(value: object) -> float:
    from holocron_cli.checks import parse_duration_s

    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f'wants a duration like "10s", not {value!r}')
    return parse_duration_s(str(value))


def _listening(value: object) -> str:
    listen(_some_text(value))
    return _text(value)


def listen(text: str) -> tuple[str, int]:
    """The host and port that "HOST:PORT" names; an IPv6 host stands in brackets."""
    host, sign, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not sign or not bare or (":" in host and bare == host) or not port.isascii() or not port.isdecimal():
        raise ValueError(f"wants HOST:PORT, such as 127.0.0.1:8008 or [::1]:8008, not {text!r}")
    if len(port) > 5 or int(port) > 65535:
        raise ValueError(f"wants a port up to 65535, not {port[:20]}")
    return bare, int(port)


def _ttl(value: object) -> float:
    from holocron import Settings

    return Settings(ttl_s=_seconds(value)).ttl_s


def _switch(value: object) -> bool:
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.strip().lower() not in known:
        raise ValueError(f"wants true or false, not {value!r}")
    return known[value.strip().lower()]


def _prefix(value: object) -> str:
    from holocron_cli.checks import check_prefix

    return check_prefix(_some_text(value))


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"is {value!r} and must be one of {', '.join(choices)}")
        return str(value)

    return read


def _labels(value: object) -> dict[str, str]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        pairs = [str(item).partition("=") for item in value]
        for name, sign, _ in pairs:
            if not sign or not name.strip():
                raise ValueError(f"wants name=value, not {name!r}")
        value = {name.strip(): text for name, _, text in pairs}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('wants a table of texts, as in labels = {zone = "a"}')
    long = next((part for pair in value.items() for part in pair if len(part) > 256), None)
    if long is not None or len(value) > 64:
        raise ValueError("takes up to 64 labels, names and values of up to 256 characters")
    return dict(value)


# Every key of holocron.toml and how its value is read. The same names in capitals, with HOLOCRON_ before them, are the
# environment's; the flags are read by the same functions, so a bad value gets the same words wherever it came from.
KEYS: dict[str, Callable[[object], object]] = {
    "store": _some_text,
    "bucket": _some_text,
    "prefix": _prefix,
    "endpoint_url": _some_text,
    "region": _some_text,
    "profile": _some_text,
    "bucket_owner": _some_text,
    "ttl": _ttl,
    "name": _text,
    "labels": _labels,
    "priority": _number,
    "address": _text,
    "home": _uri,
    "http": _listening,
    "guardian": _switch,
    "hints": _listening,
    "log_format": _one_of(*LOG_FORMATS),
    "log_level": _one_of(*LOG_LEVELS),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What a command was told, checked. None where nobody said anything."""

    store: str | None = None
    prefix: str = DEFAULT_PREFIX
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    bucket_owner: str | None = None
    ttl_s: float | None = None
    name: str | None = None
    labels: Mapping[str, str] | None = None
    priority: int | None = None
    address: str | None = None
    home: str | None = None
    http: str | None = None
    guardian: bool = True
    hints: str | None = None
    log_format: str = LOG_FORMATS[0]
    log_level: str = "info"

    @property
    def location(self) -> str:
        """The root of the cluster's store, or `SettingsError` naming the ways to give one."""
        from holocron.errors import SettingsError

        if self.store is None:
            raise SettingsError(where.NOWHERE)
        return where.location(self.store, self.prefix)

    def options(self) -> StoreOptions:
        """How to reach the store; what is not given is left to the vendor's own chain."""
        from holocron import StoreOptions

        return StoreOptions(
            endpoint_url=self.endpoint_url, region=self.region, profile=self.profile, bucket_owner=self.bucket_owner
        )

    def settings(self, *, trust_store_clock: bool = False) -> Settings:
        """The timings of a node."""
        from holocron import Settings

        if self.ttl_s is None:
            return Settings(trust_store_clock=trust_store_clock)
        return Settings(ttl_s=self.ttl_s, trust_store_clock=trust_store_clock)


def gather(
    flags: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    *,
    flags_only: bool = False,
) -> Config:
    """The one `Config` that flags, environment and holocron.toml make together.

    Args:
        directory: where holocron.toml is looked for (default: the working directory).
        flags_only: leave environment and file out of it.

    Raises:
        SettingsError: for a value that makes no sense, naming the flag, variable or key it was given by.
    """
    environ = os.environ if environ is None else environ
    layers: list[tuple[dict[str, Any], dict[str, str]]] = [(_read(flags, _FLAG_NAMES), _FLAG_NAMES)]
    if not flags_only:
        layers.append((read_environment(environ), _VARIABLES))
        layers.append((read_file((directory or Path()) / FILE), _FILE_NAMES))
    merged: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for layer, _ in reversed(layers):
        merged.update(layer)
        labels.update(layer.get("labels", {}))
    stores = [where.store_of(layer, names, environ) for layer, names in layers]
    merged["store"] = next((store for store in stores if store is not None), None)
    merged.pop("bucket", None)
    if "ttl" in merged:
        merged["ttl_s"] = merged.pop("ttl")
    if "labels" in merged:
        # Labels are merged one by one, so that a flag adds to what the file says about the machine.
        merged["labels"] = labels
    return Config(**merged)


_FLAG_NAMES = {key: "--" + key.replace("_", "-") for key in KEYS} | {"labels": "--label"}
_VARIABLES = {key: "HOLOCRON_" + key.upper() for key in KEYS}
_FILE_NAMES = {key: f"{FILE}: {key}" for key in KEYS}


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says; a variable that is set to nothing says nothing."""
    given = {key: environ[variable] for key, variable in _VARIABLES.items() if environ.get(variable)}
    return _read(given, _VARIABLES)


def read_file(path: Path) -> dict[str, Any]:
    """What holocron.toml says; nothing where there is no such file.

    Raises:
        SettingsError: for a file that cannot be read, an unknown key, or a value of the wrong kind.
    """
    import tomllib

    from holocron.errors import SettingsError

    try:
        with path.open("rb") as file:
            body = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path.name}: cannot be read: {error.strerror or error}") from None
    if len(body) > FILE_LIMIT_BYTES:
        raise SettingsError(f"{path.name}: is larger than {FILE_LIMIT_BYTES} bytes, so it is not ours")
    try:
        table = tomllib.loads(body.decode())
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name}: is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path.name}: is not TOML: {error}") from None
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KEYS)}"
            raise SettingsError(f"{path.name}: unknown key {key!r}; {hint}")
    return _read(table, _FILE_NAMES)


def _read(given: Mapping[str, object], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of one layer, each read by its key's own function; None stands for "not given"."""
    from holocron.errors import SettingsError

    values: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        try:
            values[key] = KEYS[key](value)
        except ValueError as error:
            # SettingsError is a ValueError too: both come out with the name of the place before them.
            raise SettingsError(f"{names[key]}: {error}") from None
    return values
