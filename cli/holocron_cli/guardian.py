"""A process of its own that ends a command's process group when the lease under it is over, whatever has become of
`holocron run`: killed, frozen, or starved.

It reads lines from its standard input: first the process group, then each time the instant (seconds of BOOTTIME, which
all processes of a machine share) at which the group must be dead. "done" says that nobody needs it any more; an end of
its input without that says that whoever held the lease is gone, and with it the right to run.

Nothing but the standard library, and little of that: it has to be there at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

__all__ = ["clock_s", "main"]


def clock_s() -> float:
    """The machine's clock, which counts a suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def main() -> None:
    """Watch until told that it is done, or until the group has to go."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever is told to stop is told by `holocron run`, and that says "done" when it is.
        signal.signal(number, signal.SIG_IGN)
    group = 0
    deadline_s = float("inf")
    held = b""
    while True:
        left_s = deadline_s - clock_s()
        # A suspend does not count for select; it counts for the clock, which is read at least this often.
        ready, _, _ = select.select([0], [], [], max(0.0, min(left_s, 0.5)))
        if ready:
            chunk = os.read(0, 4096)
            if not chunk:
                break
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                if line == b"done":
                    return
                if not group:
                    group = int(line)
                else:
                    deadline_s = float(line)
        if clock_s() >= deadline_s:
            break
    if group > 1:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return


if __name__ == "__main__":
    main()
    sys.exit(0)
