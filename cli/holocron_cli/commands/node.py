"""`holocron node`: start, resume, list, show, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from holocron_cli.config import Config
from holocron_cli.durations import seconds
from holocron_cli.options import (
    GUARDIAN,
    NODE,
    WHERE,
    App,
    CheckpointEvery,
    For,
    NodeId,
    OnRoleChange,
    Output,
    OutputAs,
    Watch,
    configured,
)

if TYPE_CHECKING:
    from rich.table import Table

    from holocron import Node
    from holocron_cli.hosting import Fleet

app = typer.Typer(no_args_is_help=True, help="Start and resume nodes; see which there are.")


@app.command()
@configured(WHERE, NODE, GUARDIAN)
def start(
    config: Config,
    node_id: Annotated[
        str | None, typer.Option("--node-id", metavar="ID", help="Start under this id (default: a fresh one).")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=10_000, help="Start this many nodes in one process.")
    ] = 1,
    app: App = None,
    checkpoint_every: CheckpointEvery = "1000",
    on_role_change: OnRoleChange = None,
    for_: For = None,
) -> None:
    """Start a new node, stand for election, and stay until SIGTERM or Ctrl-C.

    The node's id is in the log event "Starting node" on stderr; resume the node by it, anywhere.
    """
    from holocron_cli.checks import check_node_id
    from holocron_cli.hosting import Fleet, app_of, checkpoints, hosting
    from holocron_cli.running import run_node

    for_s = seconds("--for", for_)
    if node_id is not None:
        check_node_id(node_id)
    made = None if app is None else app_of(app)
    when = checkpoints(checkpoint_every)
    location, options, settings = config.location, config.options(), config.settings()
    described: dict[str, Any] = {
        "name": config.name or "",
        "address": config.address or "",
        "labels": dict(config.labels or {}),
        "priority": 1 if config.priority is None else config.priority,
        "home": config.home,
        "guardian": config.guardian,
        "hints": config.hints or "",
    }
    if count > 1:
        _alone(node_id, "--node-id")
        _alone(on_role_change, "--on-role-change")
        _alone(config.http, "--http")

    def begin() -> Node | Fleet:
        from holocron import Node, Runtime

        if count == 1:
            node = Node.start(location, node_id=node_id, settings=settings, options=options, **described)
            return hosting(node, made, when)
        runtime = Runtime(location, settings=settings, options=options)
        try:
            nodes = runtime.start_many(count, **described)
            return Fleet(tuple(hosting(node, made, when) for node in nodes), runtime.stop)
        except BaseException:
            runtime.stop()
            raise

    run_node(begin, for_s, config.http, on_role_change)


def _alone(given: str | None, flag: str) -> None:
    from holocron.errors import SettingsError

    if given is not None:
        raise SettingsError(f"{flag} is for one node, and --count asks for several")


@app.command()
@configured(WHERE, NODE, GUARDIAN)
def resume(
    config: Config,
    node_id: Annotated[str, typer.Option("--node-id", metavar="ID", help="The node to resume.")],
    assume_dead: Annotated[
        bool,
        typer.Option(
            "--assume-dead", help="Vouch that the node's former process is dead: its lease is not waited out."
        ),
    ] = False,
    trust_store_clock: Annotated[
        bool,
        typer.Option("--trust-store-clock", help="Let the store's own clock say how long a lease has been over."),
    ] = False,
    app: App = None,
    checkpoint_every: CheckpointEvery = "1000",
    on_role_change: OnRoleChange = None,
    for_: For = None,
) -> None:
    """Resume a node on this machine: same identity, last epoch, last topology, back in the election.

    A node that is still running elsewhere is superseded, and stops.
    """
    from holocron_cli.checks import check_node_id
    from holocron_cli.hosting import app_of, checkpoints, hosting
    from holocron_cli.running import run_node

    for_s = seconds("--for", for_)
    check_node_id(node_id)
    made = None if app is None else app_of(app)
    when = checkpoints(checkpoint_every)
    # A node with its own home can be resumed from the home alone: its identity there names the cluster.
    location = config.home if config.store is None and config.home is not None else config.location
    options, settings = config.options(), config.settings(trust_store_clock=trust_store_clock)

    def begin() -> Node:
        from holocron import Node

        node = Node.resume(
            location,
            node_id,
            name=config.name,
            address=config.address,
            labels=None if config.labels is None else dict(config.labels),
            priority=config.priority,
            home=config.home,
            settings=settings,
            options=options,
            assume_dead=assume_dead,
            guardian=config.guardian,
            hints=config.hints or "",
        )
        return hosting(node, made, when)

    run_node(begin, for_s, config.http, on_role_change)


@app.command("list")
@configured(WHERE)
def list_(config: Config, output: OutputAs = Output.table, watch: Watch = False, for_: For = None) -> None:
    """List the nodes of the cluster, as its leader sees them."""
    from holocron_cli import show
    from holocron_cli.looking import looking

    for_s = seconds("--for", for_)
    with looking(config) as cluster:
        if watch:
            show.follow(output.value, cluster.members, _members, for_s)
        else:
            members = cluster.members()
            show.rows(output.value, members, lambda: _members(members))


def _members(members: Any) -> Table:
    from holocron_cli import show

    heads = ("NODE", "NAME", "STATUS", "STANDING", "PRIORITY", "INCARNATION", "EPOCH", "ADDRESS", "LABELS", "SEEN")
    table = show.columns(
        heads,
        (
            (
                one.node,
                one.name,
                "unreadable" if one.unreadable else "stopped" if one.stopped else one.status,
                one.standing,
                one.priority,
                one.incarnation,
                one.epoch,
                one.address,
                one.labels,
                one.written,
            )
            for one in members
        ),
    )
    # A long reason must not widen a column; who has one is in the table, and why stands below it.
    reasons = [one.unreadable for one in members if one.unreadable]
    if reasons:
        table.caption = "\n".join(reasons)
        table.caption_justify = "left"
    return table


@app.command("show")
@configured(WHERE)
def show_(
    config: Config,
    node_id: NodeId,
    home: Annotated[
        str | None, typer.Option("--home", metavar="URI", help="The node's own home, if it has one.")
    ] = None,
    output: OutputAs = Output.table,
) -> None:
    """Show all that the store knows of one node."""
    from holocron_cli import show
    from holocron_cli.checks import check_node_id
    from holocron_cli.looking import looking

    check_node_id(node_id)
    with looking(config) as cluster:
        view = cluster.node(node_id, home=home)
    show.rows(output.value, view, lambda: _node(view))


def _node(view: Any) -> Table:
    from holocron_cli import show

    identity, state, beacon = view.identity, view.state, view.beacon
    lines: dict[str, object] = {
        "node": identity.node,
        "name": identity.name,
        "cluster": identity.cluster,
        "cluster at": identity.cluster_uri,
        "incarnation": identity.incarnation,
        "held by": f"{identity.holder.host}, process {identity.holder.pid}, since {identity.holder.since}",
        "address": identity.address,
        "labels": identity.labels,
        "priority": identity.priority,
        "created": identity.created,
        "forgotten": identity.forgotten,
    }
    if state is not None:
        lines |= {
            "last epoch": state.epoch,
            "last term": state.term,
            "last role": state.role,
            "last leader": None if state.leader is None else state.leader.node,
            "last topology": f"{len(state.topology)} nodes, of epoch {state.topology_epoch}",
            "state written": state.written,
        }
    if beacon is not None:
        lines |= {"stopped": beacon.stopped, "standing": beacon.standing, "last heartbeat": beacon.written}
    return show.facts(lines)


@app.command()
@configured(WHERE)
def forget(
    config: Config,
    node_id: NodeId,
    force: Annotated[bool, typer.Option("--force", help="Even if it still seems to be alive.")] = False,
) -> None:
    """Remove a dead node from the cluster's topology."""
    from holocron_cli import show
    from holocron_cli.checks import check_node_id
    from holocron_cli.looking import looking

    check_node_id(node_id)
    with looking(config) as cluster:
        cluster.forget(node_id, force=force)
    show.say(f"forgot {node_id}")
