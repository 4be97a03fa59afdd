"""The options that several commands share, each declared once, and the decorator that hands a command its `Config`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from holocron_cli.config import Config, gather

__all__ = [
    "GUARDIAN",
    "LOGS",
    "NODE",
    "WHERE",
    "App",
    "CheckpointEvery",
    "For",
    "NodeId",
    "OnRoleChange",
    "Output",
    "OutputAs",
    "Watch",
    "configured",
]

P = ParamSpec("P")


class Output(StrEnum):
    """How what is listed is written on stdout."""

    table = "table"
    json = "json"


class LogFormat(StrEnum):
    """How log events are written on stderr."""

    console = "console"
    json = "json"


class LogLevel(StrEnum):
    """The least level that is written."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


OutputAs = Annotated[Output, typer.Option("-o", "--output", help="How to write it.")]
Watch = Annotated[bool, typer.Option("--watch", help="Go on, and show it anew as it changes; Ctrl-C ends it.")]
For = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Stop by itself after this long (30s, 5m).")]
_HOSTING = "What runs on the node"
App = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="MODULE:CLASS", rich_help_panel=_HOSTING, help="Host this stateful service on the node."
    ),
]
CheckpointEvery = Annotated[
    str,
    typer.Option(
        "--checkpoint-every",
        metavar="N|SIZE",
        rich_help_panel=_HOSTING,
        help="Take a checkpoint of it every N commands, or every so many bytes of them (64MiB); 0 for never.",
    ),
]
OnRoleChange = Annotated[
    str | None,
    typer.Option(
        "--on-role-change",
        metavar="CMD",
        rich_help_panel=_HOSTING,
        help="Run this whenever the node begins or ceases to lead; HOLOCRON_ROLE says which.",
    ),
]
NodeId = Annotated[str, typer.Argument(metavar="ID", help="The node's id.")]

Group = dict[str, tuple[Any, Any]]

_STORE = "Where the store is"
_NODE = "The node"
_LOGS = "Logs (on stderr)"


def _flag(panel: str, *names: str, kind: Any = str, **more: Any) -> tuple[Any, Any]:
    return kind | None, typer.Option(None, *names, rich_help_panel=panel, show_default=False, **more)


WHERE: Group = {
    "store": _flag(_STORE, "--store", metavar="URI", help="s3://bucket, file:///path, gs://, az://, or 'local'."),
    "bucket": _flag(_STORE, "--bucket", metavar="NAME", help="Short for --store s3://NAME."),
    "prefix": _flag(_STORE, "--prefix", metavar="PREFIX", help="The cluster's place in the store (default: leader)."),
    "endpoint_url": _flag(_STORE, "--endpoint-url", metavar="URL", help="The S3 endpoint, for servers other than AWS."),
    "region": _flag(_STORE, "--region", metavar="NAME", help="The bucket's region."),
    "profile": _flag(_STORE, "--profile", metavar="NAME", help="The AWS profile to take credentials from."),
    "bucket_owner": _flag(
        _STORE, "--bucket-owner", metavar="ACCOUNT", help="Refuse a bucket that another account owns."
    ),
}

NODE: Group = {
    "ttl": _flag(_NODE, "--ttl", metavar="DURATION", help="How long a lease lasts, 1s to 10m (default: 10s)."),
    "name": _flag(_NODE, "--name", metavar="TEXT", help="A name for people."),
    "labels": _flag(_NODE, "--label", kind=list[str], metavar="NAME=VALUE", help="A label; may be repeated."),
    "priority": _flag(
        _NODE, "--priority", kind=int, metavar="N", help="Higher leads first, 0 never leads (default: 1)."
    ),
    "address": _flag(_NODE, "--address", metavar="TEXT", help="Where others reach this node; shown to all of them."),
    "home": _flag(_NODE, "--home", metavar="URI", help="Keep the node's own records here (default: with the cluster)."),
    "http": _flag(
        _NODE, "--http", metavar="HOST:PORT", help="Serve /health, /leader, /topology and /metrics (127.0.0.1:8008)."
    ),
    "hints": _flag(
        _NODE, "--hints", metavar="HOST:PORT", help="Hear here, by UDP, when to look, and tell others (10.0.0.7:7400)."
    ),
}

# Not for `run`: what it runs may outlive it by a moment, so its death must not release anything.
GUARDIAN: Group = {
    "guardian": _flag(
        _NODE,
        "--guardian/--no-guardian",
        kind=bool,
        help="Have a companion process release leadership if this one dies (default: yes).",
    ),
}

LOGS: Group = {
    "log_format": _flag(
        _LOGS, "--log-format", kind=LogFormat, help="One line for people, or one JSON object per line."
    ),
    "log_level": _flag(_LOGS, "--log-level", kind=LogLevel, help="The least level to write (default: info)."),
}


def configured(
    *groups: Group, flags_only: bool = False
) -> Callable[[Callable[Concatenate[Config, P], None]], Callable[..., None]]:
    """Give a command the flags of `groups`, and as its first argument the `Config` that came of them.

    Every command also takes the flags of `LOGS`, and its logging is set up before it runs. `flags_only` leaves the
    environment and holocron.toml out of it.
    """
    shared: Group = {}
    for group in (*groups, LOGS):
        shared |= group

    def decorate(command: Callable[Concatenate[Config, P], None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            flags = {key: _plain(given.pop(key)) for key in shared}
            config = gather(flags, flags_only=flags_only)
            from holocron_cli.narration import narrate

            narrate(config.log_format, config.log_level)
            command(config, **given)  # type: ignore[call-arg]  # typer calls by name, which a ParamSpec cannot say

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        extra = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in shared.items()
        ]
        parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *extra]
        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # where typer looks for it
        return run

    return decorate


def _plain(value: Any) -> Any:
    """A flag's value as a file or the environment would give it; an empty list says that nothing was given."""
    if isinstance(value, Enum):
        return value.value
    return value or None if isinstance(value, list) else value
