"""`holocron cost`: what a cluster would cost in a month, before there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holocron_cli.durations import seconds
from holocron_cli.options import Output, OutputAs

if TYPE_CHECKING:
    from rich.table import Table

    from holocron import Estimate


def cost(
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", min=1, help="How many nodes, the leader included.")] = 3,
    ttl: Annotated[str, typer.Option("--ttl", metavar="DURATION", help="How long a lease lasts.")] = "10s",
    appends_per_second: Annotated[
        float,
        typer.Option(
            "--appends-per-second", metavar="N", min=0, help="Batches of journal entries that all nodes write together."
        ),
    ] = 0.0,
    output: OutputAs = Output.table,
) -> None:
    """Say what a steady cluster asks of S3 in 30 days, at most, and what that costs. Asks no store for anything."""
    from holocron import S3_STANDARD, Settings, estimate
    from holocron_cli import show

    found = estimate(nodes, Settings(ttl_s=seconds("--ttl", ttl) or 0.0), appends_per_second=appends_per_second)
    value = {
        "nodes": found.nodes,
        "ttl_s": found.ttl_s,
        "days": 30,
        "appends_per_second": appends_per_second,
        "parts": {name: {verb: round(count) for verb, count in part.items()} for name, part in found.parts.items()},
        "requests": {verb: round(count) for verb, count in found.requests.items()},
        "usd": round(S3_STANDARD.of(found.requests), 4),
        "prices": {
            "name": S3_STANDARD.name,
            "as_of": S3_STANDARD.as_of,
            "put_usd_per_1000": S3_STANDARD.put_usd,
            "get_usd_per_1000": S3_STANDARD.get_usd,
        },
    }
    show.rows(output.value, value, lambda: _table(found))


def _table(found: Estimate) -> Table:
    from holocron import S3_STANDARD
    from holocron_cli import show
    from holocron_cli.simulate.cost import SOURCE, show_usd

    verbs = ("PUT", "GET", "LIST", "DELETE")
    parts = {name: part for name, part in found.parts.items() if any(part.values())} | {"together": found.requests}
    table = show.columns(
        ("30 DAYS", *verbs, "COST"),
        (
            (name, *(f"{part.get(verb, 0):,.0f}" for verb in verbs), show_usd(S3_STANDARD.of(part)))
            for name, part in parts.items()
        ),
    )
    table.caption = f"At most, and without failovers and storage. {SOURCE} (as of {S3_STANDARD.as_of})"
    table.caption_justify = "left"
    return table
