"""Listening for hints: UDP sockets of one process, all heard by one thread that costs nothing while nobody speaks.

Nodes of a process that listen at the same HOST:PORT share its socket. Whatever arrives is at most a number and a kind
for a node that listens; anything else is counted and forgotten. Under a flood the thread rests between handfuls, and
what the machine cannot hold meanwhile is dropped there.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from holocron.clock import SystemClock
from holocron.errors import SettingsError
from holocron.observe.logs import logger
from holocron.runtime.hinter import Send
from holocron.runtime.hinting import Kind, send, topic, understood
from holocron.runtime.waiting import start

__all__ = ["Ear", "Hearer", "Listening", "listen"]

#: Called with a kind, a number and how many seconds to wait first; on the listening thread, so it must not wait itself.
Hearer = Callable[[Kind, int, float], None]

# How much is read from one socket before the others have their turn, and how long the thread rests when there was less,
# or more: a flood is not to take the interpreter from those who have work.
_HANDFUL = 64
_REST_S, _LONG_REST_S = 0.001, 0.02
# What waits to be read, in bytes as the kernel counts them.
_BUFFER_BYTES = 64 * 1024
# Nodes that share a socket are not sent to the store all at once.
_WAVE, _WAVE_S = 16, 0.01


class Listening(Protocol):
    """What a node hears hints by and sends them by: an `Ear`, or what a test has for one."""

    send: Send

    @property
    def address(self) -> str: ...

    @property
    def dropped(self) -> int: ...

    def hear(self, cluster: str, node: str, hearer: Hearer) -> None: ...

    def close(self) -> None: ...


def listen(place: str) -> Ear:
    """Listen for hints at `place` ("HOST:PORT"; port 0 takes a free one), until `Ear.close`.

    Raises:
        SettingsError: nobody can listen there, or nobody could be told to send there.
    """
    host, port = _parse(place)
    return _hub.ear(place, host, port)


def _parse(place: str) -> tuple[str, int]:
    host, sign, port = place.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not sign or not bare or (":" in host and bare == host) or not (port.isascii() and port.isdecimal()):
        raise SettingsError(f"hints wants HOST:PORT, such as 10.0.0.7:7400 or [::1]:7400, not {place!r:.80}")
    if len(port) > 5 or int(port) > 65535:
        raise SettingsError(f"hints wants a port up to 65535, not {port[:20]}")
    return bare, int(port)


class Ear:
    """One node's share of a socket that hints come to, and its way to send them."""

    send: Send = staticmethod(send)

    def __init__(self, hub: _Hub, shared: _Socket) -> None:
        self._hub = hub
        self._socket = shared
        self._closed = False

    @property
    def address(self) -> str:
        """Where others send hints to: HOST:PORT, numeric."""
        return self._socket.address

    @property
    def dropped(self) -> int:
        """How much arrived here that was no hint for anyone who listens here."""
        return self._socket.dropped

    def hear(self, cluster: str, node: str, hearer: Hearer) -> None:
        """Have `hearer` called for each hint to `node`, or to all of `cluster`, from now on until `close`."""
        self._hub.hear(self._socket, self, (topic(cluster), topic(cluster, node)), hearer)

    def close(self) -> None:
        """Hear nothing any more. Calling it again is harmless."""
        if not self._closed:
            self._closed = True
            self._hub.leave(self._socket, self)


class _Socket:
    """A bound socket and who listens at it."""

    def __init__(self, bound: socket.socket, address: str) -> None:
        self.bound = bound
        self.address = address
        self.dropped = 0
        self.ears: dict[Ear, tuple[tuple[bytes, ...], Hearer] | None] = {}
        # Made anew whenever someone comes or goes, and never changed: the thread reads it without a lock.
        self.listening: dict[bytes, tuple[Hearer, ...]] = {}

    def arrange(self) -> None:
        """Bring `listening` up to date."""
        listening: dict[bytes, tuple[Hearer, ...]] = {}
        for heard in self.ears.values():
            if heard is not None:
                for each in heard[0]:
                    listening[each] = (*listening.get(each, ()), heard[1])
        self.listening = listening

    def take(self) -> tuple[dict[bytes, dict[Kind, int]], bool]:
        """A handful of what has arrived, the newest number of each kind for each topic; whether there may be more."""
        news: dict[bytes, dict[Kind, int]] = {}
        for _ in range(_HANDFUL):
            try:
                # One byte more than any hint has: what is longer is cut off there and not understood.
                data = self.bound.recv(64)
            except OSError:
                return news, False
            hint = understood(data)
            if hint is None or hint.topic not in self.listening:
                self.dropped += 1
                continue
            kinds = news.setdefault(hint.topic, {})
            kinds[hint.kind] = max(hint.number, kinds.get(hint.kind, 0))
        return news, True

    def tell(self, news: dict[bytes, dict[Kind, int]]) -> None:
        """Pass on what was taken."""
        for whom, kinds in news.items():
            for position, hearer in enumerate(self.listening.get(whom, ())):
                for kind, number in kinds.items():
                    try:
                        hearer(kind, number, position // _WAVE * _WAVE_S)
                    except Exception:  # noqa: BLE001 - one node's fault must not make the others deaf
                        logger().exception("A hint could not be passed on.")


class _Hub:
    """All sockets of this process, and the thread that reads them while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: dict[tuple[str, int], _Socket] = {}
        self._selector: selectors.BaseSelector | None = None
        self._wake: socket.socket | None = None

    def ear(self, place: str, host: str, port: int) -> Ear:
        """A share of the socket at `host` and `port`, opened if it is the first."""
        with self._lock:
            shared = self._sockets.get((host, port))
            if shared is None:
                shared = _open(place, host, port)
                self._sockets[host, port] = shared
                self._attend(shared)
            ear = Ear(self, shared)
            shared.ears[ear] = None
            return ear

    def hear(self, shared: _Socket, ear: Ear, topics: tuple[bytes, ...], hearer: Hearer) -> None:
        with self._lock:
            shared.ears[ear] = (topics, hearer)
            shared.arrange()

    def leave(self, shared: _Socket, ear: Ear) -> None:
        """`ear` hears no more; the last one closes the socket, and the last socket ends the thread."""
        with self._lock:
            if shared.ears.pop(ear, ear) is ear:
                # Of another process: a fork has no share in its parent's sockets.
                return
            shared.arrange()
            if shared.ears:
                return
            self._sockets = {key: one for key, one in self._sockets.items() if one is not shared}
            if self._selector is not None:
                self._selector.unregister(shared.bound)
            shared.bound.close()
            if not self._sockets:
                self._rouse()
                self._selector = self._wake = None

    def forked(self) -> None:
        """In a child: what was opened is the parent's, and only these copies of it are closed."""
        self._lock = threading.Lock()
        for shared in self._sockets.values():
            shared.ears.clear()
            with contextlib.suppress(OSError):
                shared.bound.close()

    def _attend(self, shared: _Socket) -> None:
        if self._selector is None:
            selector = self._selector = selectors.DefaultSelector()
            self._wake, woken = socket.socketpair()
            selector.register(woken, selectors.EVENT_READ, None)
            start(SystemClock(), lambda: self._work(selector, woken), "holocron-hints")
        self._selector.register(shared.bound, selectors.EVENT_READ, shared)

    def _rouse(self) -> None:
        if self._wake is not None:
            # Whoever reads at the other end sees that it was closed.
            self._wake.close()

    def _work(self, selector: selectors.BaseSelector, woken: socket.socket) -> None:
        rest = threading.Event()
        while True:
            flooded = False
            for key, _ in selector.select():
                if key.data is None:
                    selector.close()
                    woken.close()
                    return
                news, more = key.data.take()
                flooded = flooded or more
                key.data.tell(news)
            rest.wait(_LONG_REST_S if flooded else _REST_S)


def _open(place: str, host: str, port: int) -> _Socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"hints={place}: there is no host {host[:80]!r} ({error})") from None
    family, _, _, _, there = found[0]
    bare = str(there[0])
    packed = b"" if "%" in bare else socket.inet_pton(family, bare)
    if not any(packed) or packed[0] >= (0xE0 if family is socket.AF_INET else 0xFF):
        raise SettingsError(f"hints={place}: {bare} is no address that others could send to: name this machine's own")
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        bound.bind(there)
        taken = bound.getsockname()[1]
    except OSError as error:
        bound.close()
        raise SettingsError(f"hints={place}: cannot listen there: {error.strerror or error}") from None
    return _Socket(bound, f"[{bare}]:{taken}" if family is socket.AF_INET6 else f"{bare}:{taken}")


_hub = _Hub()


def _begin_anew() -> None:
    """A fork has none of the threads, and may have copied a lock that one of them held."""
    global _hub
    _hub.forked()
    _hub = _Hub()


os.register_at_fork(after_in_child=_begin_anew)
