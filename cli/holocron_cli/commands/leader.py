"""`holocron leader`: who leads, and asking it to hand over or to pause."""

from __future__ import annotations

import getpass
import socket
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holocron_cli.config import Config
from holocron_cli.durations import age, seconds
from holocron_cli.options import WHERE, Output, OutputAs, configured

if TYPE_CHECKING:
    from rich.table import Table

    from holocron import Cluster

app = typer.Typer(no_args_is_help=True, help="See who leads; have it hand over, or keep leadership where it is.")

LOOK_EVERY_S = 0.25


@app.command("show")
@configured(WHERE)
def show_(config: Config, output: OutputAs = Output.table) -> None:
    """Show who leads the cluster. Exit code 4 if nobody does."""
    from holocron_cli import show
    from holocron_cli.exits import NoLeader
    from holocron_cli.looking import looking

    with looking(config) as cluster:
        leader = cluster.leader()
    if leader is None:
        if output is Output.json:
            show.say("null")
        raise NoLeader(f"{config.location} has no leader, and never had one: start a node")
    show.rows(output.value, leader, lambda: _leader(leader))
    if leader.released:
        raise NoLeader(f"no leader: {leader.node} released its leadership at epoch {leader.epoch}")
    if leader.expired:
        raise NoLeader(f"no leader: by the store's own clock the lease of {leader.node} is over")


def _leader(leader: Any) -> Table:
    from holocron_cli import show
    from holocron_cli.checks import show_duration

    return show.facts(
        {
            "leader": leader.node,
            "name": leader.name,
            "address": leader.address,
            "incarnation": leader.incarnation,
            "epoch": leader.epoch,
            "term": leader.term,
            "cause": leader.cause,
            "ttl": show_duration(leader.ttl_s),
            "written": f"{leader.written} ({age(leader.age_s)} by the store's clock)",
            "value": leader.value,
            "paused": f"for {show_duration(leader.paused_s)}: nobody else follows" if leader.paused_s > 0 else None,
            "state": "released" if leader.released else "expired" if leader.expired else "leading",
        }
    )


@app.command("step-down")
@configured(WHERE)
def step_down(
    config: Config,
    to: Annotated[str | None, typer.Option("--to", metavar="ID", help="The node that is to lead next.")] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the next leader; 0s: not at all.")
    ] = "30s",
) -> None:
    """Ask the leader to hand over, and wait until another one leads. Exit code 4 without a leader, 75 if none came."""
    from holocron.errors import LeadTimeout, NotLeader
    from holocron_cli import show
    from holocron_cli.checks import check_node_id
    from holocron_cli.looking import looking

    within_s = seconds("--wait", wait) or 0.0
    if to is not None:
        check_node_id(to)
    with looking(config) as cluster:
        before = cluster.leader()
        if before is None or before.released:
            raise NotLeader(f"{config.location} has no leader that could hand over")
        if before.expired:
            raise NotLeader(f"no leader can hand over: by the store's own clock the lease of {before.node} is over")
        if before.node == to:
            show.say(f"{to} leads already")
            return
        began = time.monotonic()
        cluster.step_down(to=to, by=f"{_user()}@{socket.gethostname()}")
        if within_s == 0:
            show.say(f"asked {before.node} to hand over" + (f" to {to}" if to else ""))
            return
        after = _next_leader(cluster, before, began + within_s)
    if after is None:
        raise LeadTimeout(f"{before.node} was asked to hand over, and no other leader came within {wait}")
    if after.node == before.node:
        raise LeadTimeout(f"{before.node} stepped down and leads again: no other node took over")
    took = time.monotonic() - began
    show.say(f"{before.node} handed over to {after.node} in {took:.1f}s: epoch {after.epoch}, term {after.term}")
    if to is not None and after.node != to:
        show.say(f"(not to {to}, which did not take it in time)")


Wait = Annotated[
    str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it is so; 0s: not at all.")
]


@app.command("pause")
@configured(WHERE)
def pause(
    config: Config,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, at most 24h.")] = "1h",
    wait: Wait = "30s",
) -> None:
    """Keep leadership with the node that has it, whatever becomes of its lease, for a while.

    Nobody else follows meanwhile, but for an heir that `step-down --to` names. Exit code 4 without a leader, 75 if it
    did not say in time that it is so.
    """
    from holocron_cli.checks import show_duration

    for_s = seconds("--for", for_) or 0.0
    before, after = _asked_to_pause(config, for_s, wait)
    if after is None:
        _say_asked(before, "pause")
        return
    from holocron_cli import show

    show.say(f"leadership stays with {after.node} for {show_duration(for_s)}, unless it is handed to a named heir")


@app.command("unpause")
@configured(WHERE)
def unpause(config: Config, wait: Wait = "30s") -> None:
    """End a pause now. Exit code 4 without a leader, 75 if it did not say in time that it is so."""
    before, after = _asked_to_pause(config, 0.0, wait)
    if after is None:
        _say_asked(before, "end the pause")
        return
    from holocron_cli import show

    show.say(f"{after.node} leads, and whoever is next in line follows it as usual")


def _say_asked(leader: Any, what: str) -> None:
    from holocron_cli import show

    show.say(f"asked {leader.node} to {what}")


def _asked_to_pause(config: Config, for_s: float, wait: str) -> tuple[Any, Any]:
    """Who leads, and the same once its lock file says what was asked for; None for that where nobody waits."""
    from holocron.errors import LeadTimeout, NotLeader
    from holocron_cli.looking import looking

    within_s = seconds("--wait", wait) or 0.0
    by = f"{_user()}@{socket.gethostname()}"
    with looking(config) as cluster:
        before = cluster.leader()
        if before is None or before.released or before.expired:
            wanted = "pause" if for_s else "end a pause"
            more = ""
            if before is not None and before.paused_s > 0:
                more = f": resume {before.node}, which may lead again at once, or wait until the pause is over"
            raise NotLeader(f"{config.location} has no leader that could {wanted}{more}")
        number = cluster.pause(for_s, by=by) if for_s else cluster.unpause(by=by)
        if within_s == 0:
            return before, None
        until = time.monotonic() + within_s
        while True:
            now = cluster.leader()
            # A release says how far its writer has read the requests, and nothing of a pause that it did not come to.
            if now is not None and (now.term != before.term or now.released):
                raise LeadTimeout(f"{before.node} was asked, and leads no more: ask again")
            # The first epoch that has it handled is the one in which the pause rides, or rides no more.
            if now is not None and now.control >= number:
                return before, now
            if time.monotonic() >= until:
                raise LeadTimeout(f"{before.node} was asked, and its lock file did not say so within {wait}")
            time.sleep(LOOK_EVERY_S)


def _next_leader(cluster: Cluster, before: Any, until: float) -> Any:
    """Who leads under a newer term than `before`, or None if nobody does until then."""
    while True:
        now = cluster.leader()
        if now is not None and not now.released and now.term != before.term:
            return now
        if time.monotonic() >= until:
            return None
        time.sleep(LOOK_EVERY_S)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a number that no name belongs to.
        return "unknown"
