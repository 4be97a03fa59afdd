"""A TCP proxy that counts requests as they pass, and can fall silent without closing anything.

Silent means what a black hole means to a client: its connections stand, its bytes are taken and acknowledged by the
kernel, new connections are accepted, and nothing ever comes back; the server hears nothing either.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

_HTTP = re.compile(rb" HTTP/1\.1\r\n")
_REDIS = re.compile(rb"(?:^|\r\n)\*\d+\r\n\$")
_PREFACE = 24
# A PUT of an epoch, its headers, and its body as far as the leader: that is within so many bytes.
_CLAIM = re.compile(rb'PUT /[^ ]*/epochs/(\d+)\.json HTTP.*?"leader":\s*\{\s*"node":\s*"([^"]+)"', re.DOTALL)
# What may become one: the line is not whole yet, or is that of an epoch.
_MAYBE = re.compile(rb"PUT [^ ]*(?:\Z|(?<=/epochs/\d{16}\.json) )")
_CLAIM_BYTES = 4096


class _Matches:
    """Counts what a pattern finds in a stream, wherever its pieces end."""

    def __init__(self, pattern: re.Pattern[bytes], longest: int) -> None:
        self._pattern, self._longest, self._rest = pattern, longest, b""

    def feed(self, data: bytes) -> int:
        text = self._rest + data
        count, end = 0, 0
        for match in self._pattern.finditer(text):
            count, end = count + 1, match.end()
        self._rest = text[max(end, len(text) - self._longest) :]
        return count


class _Frames:
    """Counts length-prefixed frames: ZooKeeper's packets, or the DATA frames of HTTP/2, one for each gRPC message."""

    def __init__(self, grpc: bool) -> None:
        self._grpc, self._rest = grpc, b""
        self._skip = _PREFACE if grpc else 0

    def feed(self, data: bytes) -> int:
        self._rest += data
        count = 0
        while len(self._rest) > self._skip:
            self._rest, self._skip = self._rest[self._skip :], 0
            head = 9 if self._grpc else 4
            if len(self._rest) < head:
                break
            length = int.from_bytes(self._rest[: 3 if self._grpc else 4], "big")
            # A frame of type 0 that is not empty carries a message; everything else is HTTP/2's own business.
            count += int(length > 0 and (not self._grpc or self._rest[3] == 0))
            self._skip = head + length
        if self._skip and len(self._rest) == self._skip:
            self._rest, self._skip = b"", 0
        return count


class _Claims:
    """Counts attempts to create an epoch, and tells of each: which epoch, and whose it would be."""

    def __init__(self, claimed: Callable[[int, str], None]) -> None:
        self._claimed, self._rest = claimed, b""

    def feed(self, data: bytes) -> int:
        self._rest += data
        count = 0
        while (begun := self._rest.find(b"PUT ")) >= 0:
            found = _CLAIM.match(self._rest, begun)
            if found is None and _MAYBE.match(self._rest, begun) and begun + _CLAIM_BYTES > len(self._rest):
                # The rest of it is still to come.
                self._rest = self._rest[begun:]
                return count
            if found is not None:
                count += 1
                self._claimed(int(found[1]), found[2].decode())
            self._rest = self._rest[begun + 4 if found is None else found.end() :]
        self._rest = self._rest[-3:]
        return count


_Counter = _Matches | _Frames | _Claims
_COUNTERS: dict[str, Callable[[], _Counter]] = {
    "http": lambda: _Matches(_HTTP, 10),
    "redis": lambda: _Matches(_REDIS, 12),
    "zookeeper": lambda: _Frames(grpc=False),
    "grpc": lambda: _Frames(grpc=True),
}


class Proxy:
    """Between clients and the server at `target`, "host:port". Ends with the `with`, and cuts every connection.

    Args:
        protocol: how requests are told apart.
        claimed: if given, what is counted are attempts to create an epoch, and it is called with the number and the
            node of each; on the threads that forward, before the attempt is.
    """

    def __init__(self, target: str, protocol: str = "http", claimed: Callable[[int, str], None] | None = None) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._new: Callable[[], _Counter] = _COUNTERS[protocol] if claimed is None else lambda: _Claims(claimed)
        self._silent = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self) -> int:
        """How many requests clients have sent through it."""
        with self._lock:
            return self._count

    def fall_silent(self) -> None:
        """From now on forward nothing, close nothing, and take whatever comes."""
        self._silent.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._keep(client)
                server: socket.socket | None = None
                if not self._silent.is_set():
                    try:
                        server = socket.create_connection(self._target, timeout=5)
                    except OSError:
                        client.close()
                        continue
                    server.settimeout(None)
                    self._keep(server)
                    threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()
                threading.Thread(target=self._pump, args=(client, server, self._new()), daemon=True).start()

    def _keep(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.append(connection)

    def _pump(self, source: socket.socket, sink: socket.socket | None, counter: _Counter | None) -> None:
        try:
            while data := source.recv(65536):
                if self._silent.is_set() or sink is None:
                    continue
                if counter is not None:
                    seen = counter.feed(data)
                    with self._lock:
                        self._count += seen
                sink.sendall(data)
        except OSError:
            pass
        # The end of one side is the end of the other, unless nobody may hear of it.
        if sink is not None and not self._silent.is_set():
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()
        with self._lock:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
