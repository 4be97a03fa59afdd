"""The program `holocron`: all commands put together, and the way out of each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from holocron_cli.commands import cluster, cost, doctor, leader, node, run, server
from holocron_cli.exits import ERROR, FINE, tell
from holocron_cli.show import quietly
from holocron_cli.simulate import command as simulation

__all__ = ["app", "main"]

app = typer.Typer(
    name="holocron",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Virtual nodes that live in object storage: start, elect a leader, crash, resume anywhere.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(node.app, name="node")
app.add_typer(leader.app, name="leader")
app.command("run")(run.run)
app.command("topology")(cluster.topology)
app.command("history")(cluster.history)
app.add_typer(cluster.epoch_app, name="epoch")
app.command("cost")(cost.cost)
app.command("doctor")(doctor.doctor)
app.command("server")(server.server)
app.command("simulate")(simulation.simulate)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"holocron {version('holocron-runtime')}")
        raise typer.Exit


@app.callback()
def holocron(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Virtual nodes that live in object storage: start, elect a leader, crash, resume anywhere."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; whatever goes wrong is one line on stderr."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    with quietly():
        try:
            app(args=arguments, prog_name="holocron")
        except SystemExit as end:
            # typer leaves by this door, with a usage error or without any.
            return end.code if isinstance(end.code, int) else ERROR if end.code else FINE
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, a user is told in one line
            return tell(error)
    return FINE
