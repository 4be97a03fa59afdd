"""`holocron run`: a command under a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holocron_cli.config import Config
from holocron_cli.durations import seconds
from holocron_cli.options import NODE, WHERE, configured

if TYPE_CHECKING:
    from holocron import Node


@configured(WHERE, NODE)
def run(
    config: Config,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD ARG...", help="What to run while leader.")],
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="DURATION", help="Give up after waiting this long (exit 75).")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Where leadership is lost, wait for it again instead of exiting with 3.")
    ] = False,
    node_id: Annotated[
        str | None,
        typer.Option("--node-id", metavar="ID", help="Resume this node, or start it under this id."),
    ] = None,
) -> None:
    """Run a command while leader; it never outlives the lease.

    It finds HOLOCRON_NODE_ID, HOLOCRON_TERM (the fencing token) and HOLOCRON_EPOCH in its environment, gets the signals
    sent to holocron, and SIGTERM, then SIGKILL, before its lease is over. Its exit code is passed on; 3 says that
    leadership was lost.
    """
    from holocron_cli.checks import check_node_id
    from holocron_cli.under_lease import run_under_lease

    wait_s = seconds("--wait", wait)
    if node_id is not None:
        check_node_id(node_id)
    location, options, settings = config.location, config.options(), config.settings()
    described = {
        "name": config.name or "",
        "address": config.address or "",
        "labels": dict(config.labels or {}),
        "priority": 1 if config.priority is None else config.priority,
        "home": config.home,
        "hints": config.hints or "",
        "settings": settings,
        "options": options,
        # The command may outlive this process by a moment, so its death releases nothing: the lease is waited out.
        "guardian": False,
    }

    def begin() -> Node:
        from holocron import Node, NodeUnknown

        if node_id is None:
            return Node.start(location, **described)  # type: ignore[arg-type]  # one dictionary for two calls
        try:
            return Node.resume(location, node_id, **described)  # type: ignore[arg-type]  # as above
        except NodeUnknown:
            return Node.start(location, node_id=node_id, **described)  # type: ignore[arg-type]  # as above

    raise typer.Exit(run_under_lease(begin, command, wait_s, restart, settings.ttl_s, settings.drain))
