"""A table that refuses a leader of the past: each write carries the fencing token, and the row keeps the highest seen.

The check and the write are one statement, `UPDATE ... WHERE fence <= :token`: however long a process was paused between
asking its lease and writing, a write of an older term changes nothing once a newer leader has written.

python examples/fenced_sqlite.py file:///tmp/holocron-example
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import holocron


class StaleLeader(Exception):
    """A leader with a higher token has written already."""


class FencedTable:
    """One value in an SQLite database, fenced by the token of who wrote it last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS box (id INTEGER PRIMARY KEY, value TEXT, fence INTEGER)")
            database.execute("INSERT OR IGNORE INTO box VALUES (1, '', 0)")

    def write(self, value: str, token: int) -> None:
        """Write `value` for the leader of `token`; `StaleLeader` if a higher token has written."""
        with closing(sqlite3.connect(self._path)) as database, database:
            done = database.execute(
                "UPDATE box SET value = :value, fence = :token WHERE id = 1 AND fence <= :token",
                {"value": value, "token": token},
            )
            if done.rowcount != 1:
                raise StaleLeader(f"token {token} is older than one that has written")

    def read(self) -> tuple[str, int]:
        """The value and the token it was written with."""
        with closing(sqlite3.connect(self._path)) as database:
            value, fence = database.execute("SELECT value, fence FROM box WHERE id = 1").fetchone()
        return str(value), int(fence)


def main(location: str) -> None:
    """Show at `location` that a leader of the past cannot overwrite what its successor wrote."""
    settings = holocron.Settings(ttl_s=2.0)
    with (
        tempfile.TemporaryDirectory() as room,
        holocron.Node.start(location, name="old", settings=settings) as old,
        holocron.Node.start(location, name="new", settings=settings) as new,
    ):
        table = FencedTable(Path(room) / "box.sqlite")
        with old.lead(timeout=60) as former:
            table.write("written by the old leader", former.token)
            print(f"old wrote with token {former.token}")
        with new.lead(timeout=60) as lease:
            table.write("written by the new leader", lease.token)
            print(f"new wrote with token {lease.token}")
            # What a process does that was paused after its check and before its write.
            try:
                table.write("written too late", former.token)
            except StaleLeader as error:
                print(f"old was refused: {error}")
        value, fence = table.read()
        print(f"the table holds {value!r}, fence {fence}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory://example/fenced-sqlite")
