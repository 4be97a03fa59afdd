"""`holocron doctor`: does this store keep the promises that an election stands on?"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from holocron_cli.config import Config
from holocron_cli.options import WHERE, Output, OutputAs, configured


@configured(WHERE)
def doctor(
    config: Config,
    hard: Annotated[bool, typer.Option("--hard", help="Try harder: more racing writers, for about a minute.")] = False,
    output: OutputAs = Output.table,
) -> None:
    """Put the store's promises to the test, and say what was tried and found. Exit code 5 if the store is unfit."""
    location, options = config.location, config.options()
    from holocron import open_store, probe
    from holocron_cli import show

    store = open_store(location, options)
    try:
        with _progress() as progress:
            findings = probe(store, effort="hard" if hard else "normal", progress=progress)
    finally:
        store.close()
    if output is Output.json:
        show.say(show.as_json(findings))
    else:
        _tell(findings, location)
    findings.raise_if_unfit()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is being tried right now, in one place of the terminal; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("Opening the store") as status:
        yield lambda sentence: status.update(sentence)


def _tell(findings: Any, location: str) -> None:
    from holocron_cli import show

    show.put(
        show.columns(("PROMISE", "KEPT", "WHAT WAS SEEN"), ((one.name, one.ok, one.detail) for one in findings.checks))
    )
    show.say("")
    clock = {
        True: "its Date and LastModified agree: --trust-store-clock may be used",
        False: "its Date and LastModified do not agree: --trust-store-clock is ignored here",
    }[findings.clock_agrees]
    off = "" if findings.clock_off_ms is None else f" (at most {abs(findings.clock_off_ms)} ms apart)"
    versions = {None: "the store does not say", False: "only the last is kept", True: "every version is kept"}
    facts = {
        "store": findings.store,
        "effort": f"{findings.effort}, {findings.rounds} races settled, {findings.took_s:.1f}s",
        "clock": clock + off,
        "etags": f"If-Match is understood {findings.etag_form}" if findings.etag_form else "no form of their own",
        "versions": versions[findings.versioned],
    }
    show.put(show.facts(facts))
    if findings.versioned:
        show.say("Each epoch that is taken out stays on as a noncurrent version, and is paid for. This rule ends it:")
        show.say(json.dumps(_lifecycle(location), indent=2))
    if findings.ok:
        # Evidence and no proof: races that were lost by luck look like races that were won by right.
        show.say("Every promise held" + ("." if findings.effort == "hard" else "; --hard tries for longer."))


def _lifecycle(location: str) -> dict[str, Any]:
    """What `aws s3api put-bucket-lifecycle-configuration` takes to remove old versions under `location`."""
    prefix = location.partition("://")[2].partition("/")[2]
    return {
        "Rules": [
            {
                "ID": "holocron-old-versions",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{prefix}/"},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            }
        ]
    }
