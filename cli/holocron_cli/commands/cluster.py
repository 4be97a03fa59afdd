"""What is asked of the cluster as a whole: topology, history, epoch gc, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from holocron_cli.config import Config
from holocron_cli.durations import seconds
from holocron_cli.options import WHERE, For, Output, OutputAs, Watch, configured

if TYPE_CHECKING:
    from rich.table import Table

epoch_app = typer.Typer(no_args_is_help=True, help="Look after the chain of epochs.")


@configured(WHERE)
def topology(
    config: Config,
    epoch: Annotated[int | None, typer.Option("--epoch", min=1, metavar="N", help="As it stood in this epoch.")] = None,
    output: OutputAs = Output.table,
    watch: Watch = False,
    for_: For = None,
) -> None:
    """Show the leader's view of every node: now, or in an epoch of the past."""
    from holocron.errors import SettingsError
    from holocron_cli import show
    from holocron_cli.exits import NoLeader, NotFound
    from holocron_cli.looking import looking

    for_s = seconds("--for", for_)
    if watch and epoch is not None:
        raise SettingsError("--watch and --epoch are both given: an epoch of the past does not change")
    with looking(config) as cluster:
        if watch:
            show.follow(output.value, cluster.topology, _topology, for_s)
            return
        view = cluster.topology(epoch)
    if view is None and epoch is None:
        raise NoLeader(f"{config.location} has no epoch yet, so no topology: start a node")
    if view is None:
        raise NotFound(f"{config.location} has no epoch {epoch}")
    show.rows(output.value, view, lambda: _topology(view))


def _topology(view: Any) -> Table:
    from holocron_cli import show

    heads = ("NODE", "NAME", "STATUS", "ROLE", "STANDING", "PRIORITY", "RANK", "INCARNATION", "ADDRESS", "LABELS")
    if view is None:
        return show.columns(heads, ())
    leader = getattr(view.leader, "node", view.leader)
    table = show.columns(
        heads,
        (
            (
                one.node,
                one.name,
                one.status,
                "leader" if one.node == leader else "follower",
                one.standing,
                one.priority,
                one.rank,
                one.incarnation,
                one.address,
                one.labels,
            )
            for one in view.members
        ),
    )
    table.caption = f"epoch {view.epoch}, term {view.term}"
    table.caption_justify = "left"
    return table


@configured(WHERE)
def history(
    config: Config,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, metavar="N", help="How many, newest first.")
    ] = 20,
    epochs: Annotated[bool, typer.Option("--epochs", help="Every epoch, instead of one line for each tenure.")] = False,
    output: OutputAs = Output.table,
) -> None:
    """Show who led when, newest first."""
    from holocron_cli import show
    from holocron_cli.looking import looking

    with looking(config) as cluster:
        if epochs:
            records = cluster.epochs(limit)
            show.rows(output.value, records, lambda: _epochs(records))
        else:
            tenures = cluster.history(limit)
            show.rows(output.value, tenures, lambda: tenures_table(tenures))


def tenures_table(tenures: Any) -> Table:
    """One line for each unbroken tenure of a leader."""
    from holocron_cli import show

    heads = ("TERM", "LEADER", "CAME BY", "EPOCHS", "BEGAN", "ENDED", "RELEASED")
    return show.columns(
        heads,
        (
            (
                one.term,
                getattr(one.leader, "node", one.leader),
                one.cause,
                f"{one.first_epoch}-{one.last_epoch}",
                one.began,
                one.ended,
                one.released,
            )
            for one in tenures
        ),
    )


def _epochs(records: Any) -> Table:
    from holocron_cli import show

    heads = ("EPOCH", "TERM", "KIND", "CAUSE", "LEADER", "INCARNATION", "NODES", "WRITTEN")
    return show.columns(
        heads,
        (
            (
                one.epoch,
                one.term,
                one.kind,
                one.cause,
                one.leader.node,
                one.leader.incarnation,
                len(one.topology),
                one.written,
            )
            for one in records
        ),
    )


@epoch_app.command("gc")
@configured(WHERE)
def gc(config: Config, output: OutputAs = Output.table) -> None:
    """Take old epochs out of the chain now, compacted into the history; the leader does the same by itself."""
    from holocron_cli import show
    from holocron_cli.looking import looking

    settings = config.settings()
    with looking(config) as cluster:
        result = cluster.gc(settings)
    if output is Output.json:
        show.say(show.as_json(result))
    elif result.removed:
        show.say(f"took out {result.removed} epochs, {result.first} to {result.last}; the floor is {result.floor}")
    else:
        show.say(f"nothing to take out; the floor is {result.floor}")
