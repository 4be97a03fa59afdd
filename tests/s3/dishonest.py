"""Two S3 servers that break the promise the protocol stands on, each in the way that real ones do.

Both answer every other request as the embedded server does, because behind the lie it is the embedded server.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from holocron.testing.server import DEFAULT_BUCKETS, Server, serve
from holocron.testing.wire import answer_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


def ignores_conditions(buckets: Sequence[str] = DEFAULT_BUCKETS) -> Server:
    """A server that does not know conditional writes: it answers 200 to each and overwrites."""
    return serve(buckets=buckets, around=_ignoring)


def checks_then_acts(gap_s: float = 0.01, buckets: Sequence[str] = DEFAULT_BUCKETS) -> Server:
    """A server that looks, waits for `gap_s` and then writes: no single writer can tell, two that race both win."""
    return serve(buckets=buckets, around=lambda application: _gap(application, gap_s))


def _ignoring(application: WSGIApplication) -> WSGIApplication:
    def lie(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return application(_unconditional(environ), start_response)

    return lie


def _gap(application: WSGIApplication, gap_s: float) -> WSGIApplication:
    def lie(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and any(name in environ for name in _CONDITIONS):
            if not _holds(application, environ):
                return _refusal(start_response)
            time.sleep(gap_s)
            return application(_unconditional(environ), start_response)
        return application(environ, start_response)

    return lie


def _unconditional(environ: WSGIEnvironment) -> WSGIEnvironment:
    if environ["REQUEST_METHOD"] != "PUT":
        return environ
    return {name: value for name, value in environ.items() if name not in _CONDITIONS}


def _holds(application: WSGIApplication, environ: WSGIEnvironment) -> bool:
    """Whether the condition of a PUT holds at this moment, and only at this moment."""
    look = {**_unconditional(environ), "REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": "0", "wsgi.input": io.BytesIO()}
    status, headers, _ = answer_of(application, look)
    etag = next((value for name, value in headers if name.lower() == "etag"), None)
    if not status.startswith("200"):
        etag = None
    if environ.get("HTTP_IF_NONE_MATCH") == "*":
        return etag is None
    return etag is not None and environ["HTTP_IF_MATCH"].strip('"') == etag.strip('"')


def _refusal(start_response: Callable[..., object]) -> Iterable[bytes]:
    body = b"<Error><Code>PreconditionFailed</Code><Message>The condition did not hold</Message></Error>"
    start_response("412 Precondition Failed", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
