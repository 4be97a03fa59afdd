"""`holocron server`: the embedded S3, for trying things."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from holocron_cli.config import Config
from holocron_cli.durations import seconds
from holocron_cli.options import For, configured


@configured()
def server(
    _config: Config,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 5555,
    bucket: Annotated[
        list[str] | None, typer.Option("--bucket", metavar="NAME", help="A bucket to create; may be repeated.")
    ] = None,
    for_: For = None,
) -> None:
    """Run an S3 server on this machine for trying things. It keeps everything in memory and forgets it at the end."""
    from holocron.testing.server import serve
    from holocron_cli import show
    from holocron_cli.running import wait_for_signal
    from holocron_cli.where import check_bucket

    for_s = seconds("--for", for_)
    buckets = tuple(bucket or ["holocron"])
    for name in buckets:
        check_bucket(name)
    with serve(port=port, buckets=buckets) as running:
        # What another shell needs to use it, ready to be pasted there.
        for name, value in running.environment().items():
            show.say(f"export {name}={value}")
        show.say(f"export HOLOCRON_BUCKET={buckets[0]}")
        sys.stderr.write(f"S3 at {running.url}, buckets: {', '.join(buckets)}; Ctrl-C ends it.\n")
        wait_for_signal(for_s)
