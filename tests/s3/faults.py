"""A proxy between S3 clients and an S3 server that does what networks and servers do at the worst moment.

    with FaultProxy(server.url) as proxy:
        lost = proxy.rule(on("PUT", "epochs/"), lose_response, times=1)
        ...                       # clients use proxy.url
        assert lost.wait()        # it has happened

A rule is a question about a request and an action for those it is true of; the first rule that applies acts, and a
request that no rule applies to is passed on. What a node alone is to suffer goes into a proxy of its own: several may
stand before one server.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Literal, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = [
    "Action",
    "Answered",
    "Asked",
    "Exchange",
    "FaultProxy",
    "Rule",
    "anything",
    "conflict",
    "delay",
    "deny",
    "fail_after",
    "hang",
    "hang_after",
    "late",
    "lose_response",
    "on",
    "pass_on",
    "reset",
    "storm",
]

# No test waits longer for something to happen; it is a bound on hanging, not a measure of anything.
LIVENESS_S = 30.0


class Asked(NamedTuple):
    """A request: what S3 calls its kind (GET, PUT, LIST, DELETE, HEAD), its bucket and its key (a LIST's prefix)."""

    kind: str
    bucket: str
    key: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Answered(NamedTuple):
    """What a server answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Predicate = Callable[[Asked], bool]
Action = Callable[["Exchange"], None]


class Exchange:
    """One request under an action's hands."""

    def __init__(self, proxy: FaultProxy, handler: _Handler, asked: Asked, released: threading.Event) -> None:
        self._proxy = proxy
        self._released = released
        self._handler = handler
        self.asked = asked

    def forward(self) -> Answered:
        """Let the server have the request, once, and give back its answer without passing it on."""
        return self._proxy._forward(self.asked)

    def answer(self, answered: Answered) -> None:
        """Answer the client."""
        self._handler.send(answered)

    def refuse(self, status: int, code: str) -> None:
        """Answer the client with an S3 error."""
        body = f"<Error><Code>{code}</Code><Message>a fault on purpose</Message></Error>".encode()
        self.answer(Answered(status, [("Content-Type", "application/xml")], body))

    def cut(self) -> None:
        """Reset the client's connection."""
        self._handler.cut()

    def silence(self) -> None:
        """Never answer: hold the connection open until the proxy is healed or stopped, then cut it."""
        self._released.wait()
        self.cut()

    def wait(self, seconds: float) -> None:
        """Let time pass, but not beyond the proxy's healing or end."""
        self._released.wait(seconds)

    def later(self) -> None:
        """Let the server have the request when `FaultProxy.deliver` is called."""
        self._proxy._keep(self.asked)


# --- actions --------------------------------------------------------------------------------------------------------


def pass_on(exchange: Exchange) -> None:
    """No fault."""
    exchange.answer(exchange.forward())


def lose_response(exchange: Exchange) -> None:
    """The server does it; the connection breaks before the client is told."""
    exchange.forward()
    exchange.cut()


def reset(exchange: Exchange) -> None:
    """The connection breaks before the server has the request."""
    exchange.cut()


def hang(exchange: Exchange) -> None:
    """A black hole: the server never has the request, and nobody answers."""
    exchange.silence()


def hang_after(exchange: Exchange) -> None:
    """The server does it, and nobody answers."""
    exchange.forward()
    exchange.silence()


def late(exchange: Exchange) -> None:
    """The connection breaks, and the server has the request later, when `FaultProxy.deliver` is called."""
    exchange.later()
    exchange.cut()


def fail_after(exchange: Exchange) -> None:
    """The server does it, and says 500."""
    exchange.forward()
    exchange.refuse(500, "InternalError")


def storm(exchange: Exchange) -> None:
    """503, as S3 sheds load; nothing is done."""
    exchange.refuse(503, "SlowDown")


def conflict(exchange: Exchange) -> None:
    """409, as S3 answers a conditional write that raced another; nothing is done."""
    exchange.refuse(409, "ConditionalRequestConflict")


def deny(exchange: Exchange) -> None:
    """403; nothing is done."""
    exchange.refuse(403, "AccessDenied")


def delay(seconds: float) -> Action:
    """The server has the request after so many seconds."""

    def act(exchange: Exchange) -> None:
        exchange.wait(seconds)
        pass_on(exchange)

    return act


# --- predicates -----------------------------------------------------------------------------------------------------


def anything(_: Asked) -> bool:
    """Every request."""
    return True


def on(kind: str, part: str = "") -> Predicate:
    """Requests of this kind whose key (or prefix, for a LIST) contains `part`."""
    return lambda asked: asked.kind == kind and part in asked.key


# --- the proxy ------------------------------------------------------------------------------------------------------


class Rule:
    """What is to happen to which requests, how often, and how often it has."""

    def __init__(self, predicate: Predicate, action: Action, times: int | None) -> None:
        self._predicate = predicate
        self._left = times
        self._changed = threading.Condition()
        self.action = action
        self.hits = 0

    def takes(self, asked: Asked) -> bool:
        """Whether the request falls under this rule now; if so, it is counted."""
        with self._changed:
            if self._left == 0 or not self._predicate(asked):
                return False
            if self._left is not None:
                self._left -= 1
            self.hits += 1
            self._changed.notify_all()
            return True

    def wait(self, hits: int = 1, timeout_s: float = LIVENESS_S) -> bool:
        """Wait until the rule has applied so often; False if that does not happen in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.hits >= hits, timeout_s)

    def end(self) -> None:
        """Apply to no further request."""
        with self._changed:
            self._left = 0


class FaultProxy:
    """A proxy on a free port of 127.0.0.1 before the S3 server at `upstream`."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._partition: Rule | None = None
        self._counts: Counter[str] = Counter()
        self._kept: list[Asked] = []
        self._open: set[socket.socket] = set()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="fault-proxy", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint that clients are given."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def rule(self, predicate: Predicate, action: Action, times: int | None = None) -> Rule:
        """Do `action` to requests that `predicate` is true of, `times` times or until `Rule.end` or `clear`."""
        made = Rule(predicate, action, times)
        with self._lock:
            self._rules.append(made)
        return made

    def partition(self, how: Literal["silent", "cut"] = "silent") -> Rule:
        """Cut clients off until `heal`: nothing answers, or every connection breaks. Open connections suffer too."""
        made = Rule(anything, hang if how == "silent" else reset, None)
        with self._lock:
            self._partition = made
        return made

    def heal(self) -> None:
        """End the partition and all silence: those who still wait for an answer lose their connection."""
        with self._lock:
            self._partition = None
            released, self._released = self._released, threading.Event()
        released.set()

    def clear(self) -> None:
        """No faults from here on."""
        with self._lock:
            self._rules.clear()
        self.heal()

    def deliver(self) -> list[Answered]:
        """Let the server have, in order, what `late` has kept from it; its answers, which no client will see."""
        with self._lock:
            kept, self._kept = self._kept, []
        return [self._forward(asked) for asked in kept]

    def requests(self) -> dict[str, int]:
        """How many requests clients have sent, by kind, whatever became of them."""
        with self._lock:
            return dict(self._counts)

    def stop(self) -> None:
        """Stop listening and break every connection. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self.heal()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- for the handlers -------------------------------------------------------------------------------------------

    def _serve(self, handler: _Handler, asked: Asked) -> None:
        with self._lock:
            self._counts[asked.kind] += 1
            rules = [*([self._partition] if self._partition else []), *self._rules]
            # Taken together with the rules: who suffers from a partition is released by the very heal that ends it.
            released = self._released
        action = next((rule.action for rule in rules if rule.takes(asked)), pass_on)
        action(Exchange(self, handler, asked, released))

    def _forward(self, asked: Asked) -> Answered:
        # A connection of its own: a kept one may have gone stale, and a request must never be sent twice.
        with contextlib.closing(http.client.HTTPConnection(*self._upstream, timeout=LIVENESS_S)) as connection:
            connection.putrequest(asked.method, asked.target, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                if name.lower() not in ("connection", "content-length", "transfer-encoding", "expect"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(asked.body)))
            connection.endheaders(asked.body or None)
            answer = connection.getresponse()
            return Answered(answer.status, answer.getheaders(), answer.read())

    def _keep(self, asked: Asked) -> None:
        with self._lock:
            self._kept.append(asked)

    def _opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def _closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    proxy: FaultProxy


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle(self) -> None:
        self.server.proxy._opened(self.connection)
        try:
            # Clients that give up break their connections; that is half of what this proxy is for.
            with contextlib.suppress(ConnectionError):
                super().handle()
        finally:
            self.server.proxy._closed(self.connection)

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().finish()

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        # Left in the buffer, the word to go on would reach the client after it has waited for a second.
        self.wfile.flush()
        return True

    def exchange(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # The client broke off: no server would take this for a request.
            self.close_connection = True
            return
        self.server.proxy._serve(self, _asked(self.command, self.path, dict(self.headers.items()), body))

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = exchange

    def send(self, answered: Answered) -> None:
        self.send_response_only(answered.status)
        for name, value in answered.headers:
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "keep-alive"):
                self.send_header(name, value)
        if not any(name.lower() == "date" for name, _ in answered.headers):
            self.send_header("Date", self.date_time_string())
        if self.command == "HEAD":
            length = next((value for name, value in answered.headers if name.lower() == "content-length"), "0")
        else:
            length = str(len(answered.body))
        if answered.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD" and answered.status != 204:
            self.wfile.write(answered.body)

    def cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            # To linger for no time is to reset: the client sees a broken connection and not an orderly end. The file
            # objects made from the socket hold it open, so the close has to go through all of them.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name for it
        """Say nothing: tests ask the rules what happened."""


def _asked(method: str, target: str, headers: dict[str, str], body: bytes) -> Asked:
    address = urlsplit(target)
    bucket, _, key = unquote(address.path).lstrip("/").partition("/")
    kind = method
    if method == "GET" and not key:
        kind, key = "LIST", parse_qs(address.query).get("prefix", [""])[0]
    return Asked(kind, bucket, key, method, target, headers, body)
