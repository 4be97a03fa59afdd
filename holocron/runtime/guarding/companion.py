"""The guardian as the process knows it that it guards: started late, told little, and never waited for.

There is one for a process, shared by all of its nodes. It is started when one of them has renewed a lease for the
first time: whoever only follows, or leads for a moment, pays nothing. Without one everything goes on as before, and a
death is followed when the lease is over.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from holocron.clock import Clock, SystemClock
from holocron.observe.logs import logger
from holocron.protocol.messages import NoteTenureBegan, NoteTenureRenewed
from holocron.records import Identity
from holocron.runtime.guarding.words import Entrusted, Left, Word, encode, word_of
from holocron.runtime.notices import Notice
from holocron.settings import Settings
from holocron.store.opening import Origin

__all__ = ["Guarded"]

# What may wait to be said to a guardian that does not listen; it is some hours' worth.
_UNHEARD_LIMIT_BYTES = 1024 * 1024
# How long a process that was killed may take to be gone.
_END_S = 5.0
# A send on a line that is closed at its other end must not raise a signal that the application lets kill it.
_QUIET = getattr(socket, "MSG_NOSIGNAL", 0)

_lock = threading.Lock()
_numbers = itertools.count(1)
_present: _Companion | None = None


class Guarded:
    """One node's part in the guardian of its process. Safe to use from any thread; `notice` never waits or raises.

    Args:
        origin: how the cluster's store was opened. None leaves the node without a guardian: it was not wanted, or the
            store is one that no other process could open (memory://, an object of the application's own).
    """

    def __init__(self, origin: Origin | None, identity: Identity, settings: Settings, clock: Clock) -> None:
        self._entrusted: Entrusted | None = None
        self._companion: _Companion | None = None
        # A clock of a test's own has nothing to do with the life of a real process.
        if origin is not None and isinstance(clock, SystemClock):
            self._entrusted = Entrusted(
                number=next(_numbers),
                uri=origin.uri,
                options=origin.options,
                cluster=identity.cluster,
                node=identity.node,
                incarnation=identity.incarnation,
                session=identity.session,
                ttl_s=settings.ttl_s,
                attempt_s=settings.attempt_s,
            )

    def notice(self, notice: Notice) -> None:
        """Tell the guardian what it has to know of `notice`."""
        if self._entrusted is None:
            return
        if isinstance(notice, NoteTenureBegan) and self._companion is not None and self._companion.over:
            self._companion = None
        if self._companion is None and isinstance(notice, NoteTenureRenewed):
            self._companion = _join(self._entrusted)
        if self._companion is not None:
            word = word_of(self._entrusted.number, notice)
            if word is not None:
                self._companion.tell(word)

    def leave(self) -> None:
        """The node has stopped and needs no guardian any more; the last one of a process ends it, and waits for it."""
        entrusted, self._entrusted = self._entrusted, None
        if self._companion is not None and entrusted is not None:
            _leave(self._companion, entrusted.number)


class _Companion:
    """The guardian of this process: begun on a thread of its own, for that takes some milliseconds."""

    def __init__(self) -> None:
        self.entrusted: set[int] = set()
        #: Whether it is no use any more: dismissed, dead, or never begun.
        self.over = False
        self._lock = threading.Lock()
        self._unsaid = bytearray()
        self._line: socket.socket | None = None
        self._line_is: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._beginning = threading.Thread(target=self._begin, name="holocron-guardian", daemon=True)
        try:
            self._beginning.start()
        except RuntimeError:
            # There are no more threads to be had, or the interpreter is on its way out: then there is no guardian.
            self.over = True

    def tell(self, word: Word) -> None:
        """Say `word`, now or as soon as it can be said; never waits."""
        with self._lock:
            if self.over:
                return
            self._unsaid += encode(word)
            lost = self._say()
        _log(lost)

    def dismiss(self) -> None:
        """End it. It holds nothing that would have to be given back, so it is not asked but killed."""
        with self._lock:
            self.over = True
        if self._beginning.ident is not None:
            self._beginning.join(_END_S)
        with self._lock:
            self._let_go()
            if self._process is not None:
                # Whoever was reaped already, by us or by the application, is not signalled: Popen sees to that.
                self._process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S)

    def abandon(self) -> None:
        """This is a fork of the process, the guardian is its parent's. No lock is taken: it may be held for ever."""
        self._lock = threading.Lock()
        self.over = True
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.returncode = 0

    def _begin(self) -> None:
        lost: str | None
        try:
            ours, process = _spawn()
        except (OSError, ValueError, RuntimeError) as error:
            with self._lock:
                lost = self._lose(f"it could not be started: {error}")
            _log(lost)
            return
        with self._lock:
            self._line, self._process = ours, process
            self._line_is = _identity(ours.fileno())
            lost = None if self.over else self._say()
        _log(lost)

    def _say(self) -> str | None:
        """Say what can be said now; why the guardian was lost over it, if it was."""
        if self._line is None:
            return None
        if _identity(self._line.fileno()) != self._line_is:
            # The application has closed it, and the number may be a file of its own by now: nothing is written to that.
            return self._lose("this process has closed the line to it")
        try:
            while self._unsaid:
                said = self._line.send(self._unsaid, _QUIET)
                del self._unsaid[:said]
        except BlockingIOError:
            if len(self._unsaid) > _UNHEARD_LIMIT_BYTES:
                if self._process is not None:
                    self._process.kill()
                return self._lose("it does not listen")
        except OSError as error:
            return self._lose(f"it has ended: {error}")
        return None

    def _lose(self, why: str) -> str:
        self.over = True
        self._unsaid.clear()
        self._let_go()
        if self._process is not None:
            self._process.poll()
        return why

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None and line.fileno() >= 0:
            if _identity(line.fileno()) == self._line_is:
                line.close()
            else:
                line.detach()


def _join(entrusted: Entrusted) -> _Companion:
    """The guardian of this process, begun if there is none, with one node more under its guard."""
    global _present
    with _lock:
        if _present is None or _present.over:
            _present = _Companion()
        present = _present
        present.entrusted.add(entrusted.number)
    present.tell(entrusted)
    return present


def _log(lost: str | None) -> None:
    # With no lock held: a handler of the application's may do anything.
    if lost is not None:
        logger().warning(
            "The guardian of this process is gone; a death is followed when the lease is over.", error=lost
        )


def _leave(companion: _Companion, number: int) -> None:
    """One node less under guard; the last one ends the guardian."""
    global _present
    with _lock:
        companion.entrusted.discard(number)
        last = not companion.entrusted
        if last and _present is companion:
            _present = None
    if last:
        companion.dismiss()
    else:
        companion.tell(Left(number))


def _spawn() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A guardian that is spared what is sent to this process's group, and finds modules where this process does; and
    our end of the line to it.
    """
    executable = sys.executable or ""
    if getattr(sys, "frozen", False) or not Path(executable).name.lower().startswith(("python", "pypy")):
        # Some programs have an interpreter inside them and are none.
        raise FileNotFoundError(f"{executable or 'this program'} is no Python interpreter")
    path = os.pathsep.join(os.path.abspath(place) for place in map(str, sys.path) if os.pathsep not in place)
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
                [executable, "-P", "-m", "holocron.runtime.guarding", str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Whoever reads what this process writes waits for its end, and not for its guardian's.
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)
    return ours, process


def _identity(descriptor: int) -> tuple[int, int] | None:
    """What `descriptor` is, whatever its number."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _forked() -> None:
    global _lock, _present
    _lock = threading.Lock()
    present, _present = _present, None
    if present is not None:
        present.abandon()


# A fork that kept the line would hide the death of its parent from a guardian that has nothing but the line to go by.
os.register_at_fork(after_in_child=_forked)
