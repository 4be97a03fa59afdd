"""Tiny servers that say exactly what a test wants an S3 server to say, or nothing at all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import msgspec

from holocron.store.opening import StoreOptions, open_store
from holocron.store.s3 import S3Store

NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
DATE = "Tue, 01 Sep 2026 10:00:00 GMT"
DATE_S = 1788256800.0


class Seen(msgspec.Struct, frozen=True):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole HTTP response, with a Date of 2026-09-01 10:00 UTC; underscores in header names stand for dashes."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", f"Date: {DATE}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(status: int, code: str, inside: str = "", **headers: str) -> bytes:
    """An S3 error response."""
    text = f"<Error><Code>{code}</Code><Message>It\nis {code}.</Message>{inside}</Error>"
    return answer(status, text.encode(), Content_Type="application/xml", **headers)


class Canned:
    """A server that gives each request to `say` and sends the bytes it returns; None means to hang up with a reset."""

    def __init__(self, say: Callable[[Seen], bytes | None]) -> None:
        self.say = say
        self.seen: list[Seen] = []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            reader = connection.makefile("rb")
            while line := reader.readline():
                if not line.endswith(b"HTTP/1.1\r\n"):
                    connection.sendall(answer(400))
                    return
                method, target, _ = line.decode().split(" ", 2)
                headers: dict[str, str] = {}
                while (text := reader.readline().decode().strip()) != "":
                    name, _, value = text.partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = reader.read(int(headers.get("content-length", "0")))
                self.seen.append(Seen(method, target, headers, body))
                response = self.say(self.seen[-1])
                if response is None:
                    # Linger for zero seconds: the peer gets a reset and not an orderly end.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                connection.sendall(response)
                if b"Connection: close" in response:
                    return


@contextlib.contextmanager
def canned(say: Callable[[Seen], bytes | None] | bytes) -> Iterator[Canned]:
    """A `Canned` server for the length of a test."""
    server = Canned(say if callable(say) else lambda _: say)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The URL of a server whose kernel takes connections and requests, and which never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def closed_door() -> Iterator[str]:
    """The URL of a server that is too full to take another connection: attempts to connect just hang."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def at(url: str, bucket: str = "bucket", prefix: str = "p", **options: str) -> S3Store:
    """The store in `bucket` on the server at `url`."""
    store = open_store(f"s3://{bucket}/{prefix}", StoreOptions(endpoint_url=url, **options))  # type: ignore[arg-type] # only text options are given here
    assert isinstance(store, S3Store)
    return store
