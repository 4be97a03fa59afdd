"""Holocron beside its peers, on this machine, in one run: `make bench`, or python -m tests.bench --help."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench.peers.all import PEERS
from tests.bench.registry import load
from tests.bench.report import as_json, as_text
from tests.bench.run import measure

# Half an hour on two busy cores, less on idle ones: README.md has the time of each row.
REPEATS = 4


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write what was asked for; 0 unless the arguments are wrong."""
    rows = load()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", metavar="ROW", help=f"may be given again: {', '.join(rows)}")
    parser.add_argument("--peers", default=",".join(PEERS), metavar="A,B", help=f"default: {','.join(PEERS)}")
    parser.add_argument("--repeats", type=int, default=None, metavar="N", help=f"rounds, {REPEATS} if not given")
    parser.add_argument("--ttl", type=float, default=2.0, metavar="SECONDS", help="the lease; peers take whole seconds")
    parser.add_argument(
        "--many-ttl", type=float, default=6.0, metavar="SECONDS", help="the lease of Holocron's elections with 100"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round, to see that all works; its figures are not worth much"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything measured, for a program to read")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="a PNG; needs matplotlib")
    given = parser.parse_args(arguments)
    names = [name for name in given.peers.split(",") if name]
    for name in names:
        if name not in PEERS:
            parser.error(f"no peer is named {name!r}; there are {', '.join(PEERS)}")
    for name in given.only or ():
        if name not in rows:
            parser.error(f"no row is named {name!r}; there are {', '.join(rows)}")
    repeats = given.repeats if given.repeats is not None else 1 if given.quick else REPEATS
    if repeats < 1 or min(given.ttl, given.many_ttl) < 1:
        parser.error("--repeats, --ttl and --many-ttl are at least 1")
    wanted = [rows[name] for name in given.only] if given.only else list(rows.values())
    results = measure(
        wanted,
        [PEERS[name] for name in names],
        repeats,
        ttl_s=given.ttl,
        many_ttl_s=given.many_ttl,
        quick=given.quick,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(as_text(results, PEERS))
    told = as_json(
        results, PEERS, {"ttl_s": given.ttl, "many_ttl_s": given.many_ttl, "repeats": repeats, "quick": given.quick}
    )
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    if given.picture is not None:
        from tests.bench.picture import draw

        print(draw(told, given.picture))
    return 0


if __name__ == "__main__":
    sys.exit(main())
