"""The guardian's own side: a process that waits for the death of its parent, and then writes what that one cannot.

What counts is the death of the process, and the proof of it is that this process has another parent. The kernel hands
a process's children over when the last of its threads is on its way out (Linux: `exit_notify`, which looks for a thread
of the same process that is not exiting yet before it looks for anyone else; macOS: after all threads have ended). So no
thread of it runs its program any more, none can ask a lease, and what it had sent before may still arrive, no more.

That the line from it has closed is no proof: a process may close every descriptor and live on (to become a daemon), or
become another program with the same number (`exec`, after which it is let alone until it dies); and where a fork has
copied the line, it stays open after a death. A pidfd only says when to ask: it becomes readable when the process ends.
That a number is given to another process does no harm, for it is only ever compared with that of the parent. A parent
that stands still (SIGSTOP, a debugger) is alive; a guardian that stands still acts late, on what is then in the store.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from holocron.clock import SystemClock
from holocron.errors import HolocronError
from holocron.layout import EPOCH_FLOOR, EPOCHS
from holocron.protocol.guarding import PATIENCE_S, Charge, verdict
from holocron.records import Epoch
from holocron.runtime.guarding.releasing import release
from holocron.runtime.guarding.words import Charges, Entrusted, decode
from holocron.runtime.hinter import tell_heirs
from holocron.store.base import Deadline, Get, Store
from holocron.store.chain import Chain
from holocron.store.drive import drive
from holocron.store.opening import StoreOptions, open_store

__all__ = ["Guardian", "main"]

# How often the parent is asked after where nothing says when to ask: without a pidfd, before and after the line closed.
_ASK_EVERY_S = 0.25
_ASK_CLOSELY_S = 0.01
# How many releases are written at once, where several nodes of one process led.
_SIDE_BY_SIDE = 8


class Guardian:
    """Watches over the process `guarded`, which tells it on the descriptor `line` what it needs to know."""

    def __init__(self, guarded: int, line: int) -> None:
        self._guarded = guarded
        self._line = line
        self._charges = Charges()
        self._stores: dict[tuple[str, StoreOptions], Store | None] = {}
        self._held = b""
        self._cut_off_at_s: float | None = None
        self._clock = SystemClock()
        os.set_blocking(line, False)

    def watch(self) -> None:
        """Return when nobody needs a guardian any more; at the death of the process, only after it has acted."""
        alarm = self._alarm()
        while True:
            # Asked before the line is read: what was said before a death is then on the line. And asked after the alarm
            # was set: it is then for our parent, and not for whoever was given its number since.
            decided = verdict(self._guarded, os.getppid(), self._cut_off_s())
            self._hear()
            if decided == "release":
                self._release()
            if decided != "watch":
                return
            if self._wait(alarm) and os.getppid() == self._guarded:
                # A false alarm would never fall silent again. (Linux before 6.15 gave one where a thread called exec.)
                alarm = None

    # --- waiting and hearing ----------------------------------------------------------------------------------------

    def _alarm(self) -> int | None:
        """A descriptor that becomes readable when the process ends, where there is such a thing."""
        try:
            return os.pidfd_open(self._guarded)
        except (AttributeError, OSError):
            return None

    def _wait(self, alarm: int | None) -> bool:
        """Wait until there is something to hear or to ask; whether it was the alarm."""
        waiting = select.poll()
        cut_off = self._cut_off_at_s is not None
        if not cut_off:
            waiting.register(self._line, select.POLLIN)
        if alarm is None:
            ready = waiting.poll((_ASK_CLOSELY_S if cut_off else _ASK_EVERY_S) * 1000)
        else:
            waiting.register(alarm, select.POLLIN)
            ready = waiting.poll(PATIENCE_S * 1000 if cut_off else None)
        return any(descriptor == alarm for descriptor, _ in ready)

    def _cut_off_s(self) -> float:
        return 0.0 if self._cut_off_at_s is None else time.monotonic() - self._cut_off_at_s

    def _hear(self) -> None:
        """Take in all that there is on the line."""
        while self._cut_off_at_s is None:
            try:
                chunk = os.read(self._line, 65536)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self._cut_off_at_s = time.monotonic()
                return
            *lines, self._held = (self._held + chunk).split(b"\n")
            for line in lines:
                word = decode(line)
                self._charges.hear(word)
                if isinstance(word, Entrusted):
                    self._get_ready(word)

    # --- acting -----------------------------------------------------------------------------------------------------

    def _get_ready(self, whose: Entrusted) -> None:
        """Open the store and ask it for something: what is loaded with the first request is there when it counts."""
        place = (whose.uri, whose.options)
        if place in self._stores:
            return
        try:
            store = open_store(whose.uri, whose.options)
        except HolocronError:
            # It has become unusable since the process opened it. Then nothing is released, and the lease lapses.
            self._stores[place] = None
            return
        self._stores[place] = store
        store.perform(Get(EPOCH_FLOOR), whose.attempt_s)

    def _release(self) -> None:
        leading = list(self._charges.leading())
        if len(leading) == 1:
            self._release_one(*leading[0])
            return
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            for whose, charge in leading:
                pool.submit(self._release_one, whose, charge)

    def _release_one(self, whose: Entrusted, charge: Charge) -> Epoch | None:
        store = self._stores.get((whose.uri, whose.options))
        if store is None:
            return None
        chain = Chain(store, EPOCHS, EPOCH_FLOOR, whose.cluster)
        # After a lease's time the lease has lapsed by itself, and there is nothing left to be gained.
        deadline = Deadline(self._clock.now(), whose.ttl_s, whose.attempt_s)
        # The heirs are told before the floor is read: a hint only makes them look, and what counts they find out.
        releasing = release(chain, charge, self._clock.now, lambda: secrets.token_hex(16), deadline, tell_heirs)
        return drive(releasing, self._clock)


def main() -> None:
    """Guard the process whose number is the one argument, which speaks on standard input."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever stops a whole service tells the process too, and that one ends its guardian when it has stopped.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        Guardian(int(sys.argv[1]), sys.stdin.fileno()).watch()
