"""A race of conditional creates over bare sockets: all but the last byte of each first, then the last bytes at once.

Threads through an SDK arrive milliseconds apart and rarely meet in a server's gap between check and act. Requests that
are complete but for one byte are parsed, authorised and waiting when the last bytes come.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from http.client import HTTPException, HTTPResponse
from os import environ
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from holocron.store.base import Answer, Put, Unclear
from holocron.store.race import race_threads
from holocron.store.s3_errors import from_setup

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_s3 import S3Client

    from holocron.store.s3 import S3Store

__all__ = ["race_sockets"]

_CODE = re.compile(rb"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{0,400})</Message>")
_ANSWER_LIMIT_BYTES = 64 * 1024


class _Captured(Exception):
    """Carries a signed request out of the SDK, in place of its being sent."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__("captured")
        self.request = request


class _Target(NamedTuple):
    host: str
    port: int
    tls: ssl.SSLContext | None


class _Waiting(NamedTuple):
    """A connection on which everything but `last` was sent."""

    connection: socket.socket
    last: bytes


def race_sockets(
    store: S3Store,
    client: S3Client,
    arguments: Mapping[str, Any],
    put: Put,
    bodies: Sequence[bytes],
    timeout_s: float,
) -> list[Answer]:
    """Create the object of `arguments` once per body; the answers in order. Through a proxy, threads have to do."""
    if not bodies:
        return []
    address = urlsplit(client.meta.endpoint_url)
    if address.scheme in getproxies() and not proxy_bypass(address.hostname or ""):
        return race_threads(store, put.key, bodies, timeout_s)
    until = time.monotonic() + timeout_s
    try:
        requests = [_signed(client, {**arguments, "Body": body}) for body in bodies]
    except ClientError as error:
        return [store.refusal_of_put(error, put) for _ in bodies]
    except Exception as error:  # noqa: BLE001 - signing fails for as many reasons as there are sources of credentials
        return [from_setup(error) for _ in bodies]
    target = _target(requests[0].url)
    with ThreadPoolExecutor(len(bodies), thread_name_prefix="holocron-race") as pool:
        opened = list(pool.map(lambda request: _send_all_but_one(request, target, until), requests))
        with contextlib.ExitStack() as stack:
            for one in opened:
                if isinstance(one, _Waiting):
                    stack.callback(one.connection.close)
            for one in opened:
                if isinstance(one, _Waiting):
                    # Whoever cannot be sent its last byte finds out when it reads.
                    with contextlib.suppress(OSError):
                        one.connection.sendall(one.last)
            return list(pool.map(lambda one: _answer(store, one, put, until), opened))


def _signed(client: S3Client, arguments: Mapping[str, Any]) -> AWSPreparedRequest:
    def capture(request: AWSPreparedRequest, **_: Any) -> None:
        raise _Captured(request)

    client.meta.events.register("before-send.s3.PutObject", capture, unique_id="holocron-race")
    try:
        client.put_object(**arguments)
    except _Captured as captured:
        return captured.request
    raise RuntimeError("the SDK sent a request that was to be captured")


def _target(url: str) -> _Target:
    address = urlsplit(url)
    tls = address.scheme == "https"
    context = ssl.create_default_context(cafile=_authorities()) if tls else None
    return _Target(address.hostname or "", address.port or (443 if tls else 80), context)


def _authorities() -> str:
    """The file of certificate authorities that the SDK trusts."""
    return environ.get("AWS_CA_BUNDLE") or environ.get("REQUESTS_CA_BUNDLE") or str(get_cert_path(True))


def _bytes_of(request: AWSPreparedRequest) -> bytes:
    address = urlsplit(request.url)
    # The SDK's types leave open what a body is; it wraps our bytes in a file.
    held: Any = request.body
    body = bytes(held.read() if hasattr(held, "read") else held or b"")
    path = address.path + (f"?{address.query}" if address.query else "")
    headers = {_text(name): _text(value) for name, value in request.headers.items()}
    headers |= {"Content-Length": str(len(body)), "Connection": "close"}
    # The port belongs to the signed host unless it is the scheme's own.
    standard = {"http": 80, "https": 443}[address.scheme]
    host = address.hostname or ""
    headers["Host"] = f"[{host}]" if ":" in host else host
    if address.port not in {None, standard}:
        headers["Host"] += f":{address.port}"
    lines = [f"PUT {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _send_all_but_one(request: AWSPreparedRequest, target: _Target, until: float) -> _Waiting | Unclear:
    whole = _bytes_of(request)
    connection: socket.socket | None = None
    try:
        connection = socket.create_connection((target.host, target.port), max(0.001, until - time.monotonic()))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is not None:
            connection = target.tls.wrap_socket(connection, server_hostname=target.host)
        connection.sendall(whole[:-1])
    except OSError as error:
        if connection is not None:
            connection.close()
        # Without its last byte no server can have taken the request for whole.
        return Unclear(f"{target.host}:{target.port}: {error}", sent=False)
    return _Waiting(connection, whole[-1:])


def _answer(store: S3Store, sent: _Waiting | Unclear, put: Put, until: float) -> Answer:
    if isinstance(sent, Unclear):
        return sent
    try:
        sent.connection.settimeout(max(0.001, until - time.monotonic()))
        with contextlib.closing(HTTPResponse(sent.connection, method="PUT")) as response:
            response.begin()
            body = response.read(_ANSWER_LIMIT_BYTES)
            headers = {name.lower(): value for name, value in response.getheaders()}
    except (OSError, HTTPException) as error:
        return Unclear(f"{store.uri}: a writer of a race got no answer: {type(error).__name__}")
    meta = {"HTTPStatusCode": response.status, "HTTPHeaders": headers}
    if response.status == 200:
        return store.answer_to_put({"ETag": headers.get("etag"), "ResponseMetadata": meta})
    found, said = _CODE.search(body), _MESSAGE.search(body)
    detail = {
        "Code": unescape(found.group(1).decode("utf-8", "replace")) if found else str(response.status),
        "Message": unescape(said.group(1).decode("utf-8", "replace")) if said else "",
    }
    error_response: Any = {"Error": detail, "ResponseMetadata": meta}
    return store.refusal_of_put(ClientError(error_response, "PutObject"), put)
