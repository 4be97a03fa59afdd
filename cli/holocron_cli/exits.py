"""The one place where an error becomes one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

__all__ = [
    "ERROR",
    "FINE",
    "LOST",
    "NO_LEADER",
    "TIMED_OUT",
    "UNFIT",
    "USAGE",
    "NoLeader",
    "NotFound",
    "StepFailed",
    "code_of",
    "tell",
]

FINE = 0
ERROR = 1
USAGE = 2
LOST = 3
NO_LEADER = 4
UNFIT = 5
TIMED_OUT = 75

# Set to anything, it makes an error show where it came from. For reports of bugs, not for every day.
TRACEBACK = "HOLOCRON_TRACEBACK"


class NoLeader(Exception):
    """The cluster has no leader at this moment, and the command needed one."""


class NotFound(Exception):
    """What was asked for by its number is not there."""


class StepFailed(Exception):
    """Something that a command set out to show did not happen."""


def code_of(error: BaseException) -> int:
    """The exit code that `error` calls for; the first row that fits counts, so the special stand before the general."""
    # Imported here, because `holocron --help` has no error to explain and should not pay for the library.
    from holocron import errors

    rows: tuple[tuple[type[BaseException], int], ...] = (
        (errors.SettingsError, USAGE),
        (errors.LeadershipLost, LOST),
        (errors.Superseded, LOST),
        (NoLeader, NO_LEADER),
        (errors.NotLeader, NO_LEADER),
        (errors.StoreUnfit, UNFIT),
        (errors.LeadTimeout, TIMED_OUT),
    )
    return next((code for kind, code in rows if isinstance(error, kind)), ERROR)


def tell(error: BaseException) -> int:
    """Say on stderr, in one line, what went wrong, and return the exit code for it."""
    from holocron.errors import HolocronError

    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    words = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, HolocronError | NoLeader | NotFound | StepFailed):
        # Nobody raised this on purpose, so its text alone may say little.
        words = f"unexpected {type(error).__name__}: {words} (set {TRACEBACK}=1 to see where)"
    sys.stderr.write(f"holocron: {words}\n")
    return code_of(error)
