"""A node over HTTP: for Prometheus, for load balancers, for whoever keeps the process alive.

    GET /health    200 while the node runs, 503 once it has stopped
    GET /leader    200 while this node may act as leader, else 503; either way the body says who leads
    GET /topology  the leader's view of everyone; 503 before the first
    GET /metrics   for Prometheus (extra `metrics`)

HEAD and OPTIONS answer with the same codes and no body. Nothing here asks the store for anything or changes anything.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import socketserver
import threading
from http import HTTPStatus
from types import TracebackType
from typing import Any, ClassVar

import msgspec

from holocron.errors import MissingExtra, SettingsError
from holocron.observe.logs import logger
from holocron.observe.metrics import exposition
from holocron.observe.observed import Observed

__all__ = ["Endpoints", "serve"]

# How long a client may take over its request before it is cut off.
_PATIENCE_S = 10.0

_Answer = tuple[HTTPStatus, str, bytes]


def serve(node: Observed | None = None, host: str = "127.0.0.1", port: int = 0) -> Endpoints:
    """Serve `node` over HTTP, on a thread of its own, until the result is closed.

    Without a node the endpoints answer that it is still starting, until `show` brings it: so a port that is taken
    is found out before anything is written. There is no access control, and so by default no way in from outside.

    Args:
        port: 0 takes a free one; the result's `url` says which.

    Raises:
        SettingsError: nothing can listen there.
    """
    endpoints = Endpoints(host, port)
    if node is not None:
        endpoints.show(node)
    return endpoints


class Endpoints:
    """One node's HTTP endpoints; made by `serve`. To be closed, or used in a `with` statement."""

    def __init__(self, host: str, port: int) -> None:
        self._node: Observed | None = None
        self._server = _listen(host, port, self._answer)
        shown = f"[{host}]" if ":" in host else host
        #: Where it listens, such as "http://127.0.0.1:8008".
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="holocron-http", daemon=True
        )
        self._thread.start()

    def show(self, node: Observed) -> None:
        """Answer for `node` from now on."""
        self._node = node
        logger(node=node.id).info("Serving HTTP.", epoch=node.epoch, term=_term(node), role=node.role, url=self.url)

    def close(self) -> None:
        """Stop listening; the node lives on. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Endpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- the answers ------------------------------------------------------------------------------------------------

    def _answer(self, path: str, accept: str) -> _Answer:
        node = self._node
        match path.partition("?")[0]:
            case "/health":
                return self._health(node)
            case "/leader":
                return self._leader(node)
            case "/topology":
                view = node.topology() if node is not None else None
                code = HTTPStatus.OK if view is not None else HTTPStatus.SERVICE_UNAVAILABLE
                return _json(code, view)
            case "/metrics":
                return self._metrics(node, accept)
        return _json(HTTPStatus.NOT_FOUND, {"error": "known are /health, /leader, /topology and /metrics"})

    def _health(self, node: Observed | None) -> _Answer:
        if node is None:
            return _json(HTTPStatus.OK, {"role": "starting"})
        said: dict[str, Any] = {"node": node.id, "incarnation": node.incarnation, "role": node.role}
        if said["role"] != "stopped":
            return _json(HTTPStatus.OK, said | {"epoch": node.epoch})
        failure = node.failure
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, said | {"error": str(failure) if failure is not None else None})

    def _leader(self, node: Observed | None) -> _Answer:
        if node is None:
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"node": None, "leads": False, "leader": None})
        leader = node.leader()
        said: dict[str, Any] = {"node": node.id, "leads": False, "leader": None}
        said |= {"epoch": node.epoch, "term": _term(node)}
        if leader is not None:
            said["leader"] = {key: getattr(leader, key) for key in ("node", "name", "address", "incarnation")}
        # Asked last, and of the lease itself: what was read above may have changed meanwhile, this decides (I1).
        lease = node.lease
        if lease is not None and lease.valid:
            return _json(HTTPStatus.OK, said | {"leads": True, "term": lease.term, "remaining_s": lease.remaining_s})
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, said)

    def _metrics(self, node: Observed | None, accept: str) -> _Answer:
        try:
            body, form = exposition(accept, *(() if node is None else (node,)))
        except MissingExtra as error:
            return _json(HTTPStatus.NOT_IMPLEMENTED, {"error": str(error)})
        return HTTPStatus.OK, form, body


def _term(node: Observed) -> int:
    view = node.topology()
    return view.term if view is not None else 0


def _json(code: HTTPStatus, value: object) -> _Answer:
    body = json.dumps(msgspec.to_builtins(value), indent=2).encode() + b"\n"
    return code, "application/json", body


# --- the server -----------------------------------------------------------------------------------------------------


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    # A request that is being answered when the server closes is not waited for.
    block_on_close = False
    # A restarted node gets its port back at once, although its last connections still linger.
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away in the middle of its request is no news; `socketserver` would print a traceback.
        return


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listen(host: str, port: int, answer: Any) -> _Server:
    class Handler(_Handler):
        answers = staticmethod(answer)

    try:
        return (_Server6 if ":" in host else _Server)((host, port), Handler)
    except (OSError, OverflowError, UnicodeError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {why}; choose another address or port") from None


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    answers: ClassVar[Any]

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def do_OPTIONS(self) -> None:
        self._respond()

    def _respond(self) -> None:
        try:
            code, form, body = self.answers(self.path, self.headers.get("Accept", ""))
        except Exception:  # noqa: BLE001 - a fault of ours is told to the log, and the client gets an answer
            logger().exception("An HTTP endpoint failed.", path=self.path)
            code, form, body = _json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "see the log"})
        if self.command == "OPTIONS":
            body = b""
        self.send_response(code)
        self.send_header("Allow", "GET, HEAD, OPTIONS")
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        # Whether a node leads is true only now.
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def version_string(self) -> str:
        return "holocron"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        return
