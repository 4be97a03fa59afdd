"""What is listed, on stdout: columns for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["as_json", "columns", "console", "facts", "follow", "put", "quietly", "rows", "say"]

# How often `--watch` looks. Every look costs a few requests, so not faster than a person can read.
LOOK_EVERY_S = 2.0


def console() -> Console:
    """Where people read: as wide as the terminal, or without bound where a program reads, so that no row is cut."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, soft_wrap=False)
    return Console(highlight=False, width=10_000, no_color=True)


def _text_of(value: bytes) -> Any:
    import base64

    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def as_json(value: object, *, line: bool = False) -> str:
    """`value`, which may hold records, as JSON: indented for reading, or on one `line` where more of them follow.

    Bytes become text where they are text, else an object with their base64.
    """
    import msgspec

    def odd(one: object) -> Any:
        return _text_of(one) if isinstance(one, bytes) else str(one)

    return json.dumps(
        msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=str),
        indent=None if line else 2,
        default=odd,
        ensure_ascii=False,
    )


def columns(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> Table:
    """A table without lines, that reads as well in a pipe as in a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=not sys.stdout.isatty(), overflow="fold")
    for line in lines:
        # Text, and not str: a node may be called "[red]", and that is its name, not its colour.
        table.add_row(*(Text(_cell(value)) for value in line))
    return table


def facts(pairs: Mapping[str, object]) -> Table:
    """One thing, a line for each of what is known of it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(name, Text(_cell(value)))
    return table


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={text}" for name, text in value.items()) or "-"
    if isinstance(value, bytes):
        return str(_text_of(value))
    # Control characters in a name must not drive the terminal of who lists it.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(value))


def put(table: Table) -> None:
    """Write `table`; in a pipe without the blanks that fill its last column."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as taken:
        out.print(table)
    for line in taken.get().splitlines():
        say(line.rstrip())


def rows(output: str, value: object, table: Callable[[], Table]) -> None:
    """Write `value` once: as JSON, or as the table that `table` makes of it."""
    if output == "json":
        say(as_json(value))
    else:
        put(table())


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def follow(output: str, look: Callable[[], Any], table: Callable[[Any], Table], for_s: float | None) -> None:
    """Show what `look` finds, and again whenever it changes, until Ctrl-C or for `for_s` seconds.

    In a terminal the table stays in its place; into a pipe each change is written below the last, JSON on one line.
    """
    from rich.live import Live

    until = None if for_s is None else time.monotonic() + for_s
    shown: str | None = None
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        live: Live | None = None
        while True:
            value = look()
            now = as_json(value, line=True)
            if now != shown:
                shown = now
                if output == "json":
                    say(now)
                elif not sys.stdout.isatty():
                    put(table(value))
                elif live is None:
                    live = stack.enter_context(Live(table(value), console=console(), auto_refresh=False))
                    live.refresh()
                else:
                    live.update(table(value), refresh=True)
            left = LOOK_EVERY_S if until is None else min(LOOK_EVERY_S, until - time.monotonic())
            if left <= 0:
                return
            time.sleep(left)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let a reader of stdout that went away (`| head -1`) end the program without a word."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more as it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
