"""HTTP for the embedded server: connections that stay open, requests that are read whole, nothing on stderr."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from werkzeug.serving import WSGIRequestHandler

__all__ = ["Connections", "answer_of", "handler_class"]


class Connections:
    """The connections that are open now, so that a stopped server does not go on answering on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @contextlib.contextmanager
    def held(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def cut(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def handler_class(live: Connections) -> type[WSGIRequestHandler]:
    """werkzeug's request handler, with connections that stay open and nothing on stderr."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without these an answer leaves in two packets, and the second waits 40 ms for the client's acknowledgement.
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle(self) -> None:
            with live.held(self.connection):
                super().handle()

        def handle_expect_100(self) -> bool:
            """Tell the client to go on, at once: left in the buffer, the word would reach it after a second's wait."""
            super().handle_expect_100()
            self.wfile.flush()
            return True

        def run_wsgi(self) -> None:
            """werkzeug's own closes the connection after each answer; this one reads each request whole instead.

            Reading before the application runs also keeps a slow sender from holding the lock.
            """
            environ = self.make_environ()
            length = environ.get("CONTENT_LENGTH")
            if environ.get("wsgi.input_terminated"):
                body = environ["wsgi.input"].read()
                environ.pop("HTTP_TRANSFER_ENCODING", None)
            else:
                body = self.rfile.read(int(length)) if length else b""
                if len(body) < int(length or 0):
                    self.close_connection = True
                    return
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = io.BytesIO(body)

            status, headers, answer = answer_of(self.server.app, environ)
            code, _, words = status.partition(" ")
            self.send_response_only(int(code), words)
            names = {name.lower() for name, _ in headers}
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            if "date" not in names:
                self.send_header("Date", self.date_time_string())
            if self.command == "HEAD":
                # The length of what a GET would have answered; no body follows it.
                length = next((value for name, value in headers if name.lower() == "content-length"), "0")
                self.send_header("Content-Length", length)
                self.end_headers()
            elif int(code) in (204, 304):
                self.end_headers()
            else:
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
            """Say nothing: whoever runs the server has logs of their own."""

    return Handler


def answer_of(application: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body that `application` answers to `environ`; its crash is a 500."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return lambda _: None

    try:
        body = b"".join(application(environ, start_response))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is to be told
        return "500 Internal Server Error", [("Content-Type", "text/plain")], repr(error).encode()
    status, headers = started[0]
    return status, headers, body
