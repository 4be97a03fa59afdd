"""An S3 server for trying things and for tests: moto's, made atomic, quick and countable, on this machine only.

    with serve() as server:
        store = open_store("s3://holocron", StoreOptions(endpoint_url=server.url))

`spawn` runs the same as a process of its own, and so does `python -m holocron.testing.server`. Everything is kept
in memory and gone when the process ends; there is no authentication: any credentials will do. All servers of one
process share one set of buckets, because that is how moto keeps them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from holocron.errors import HolocronError, MissingExtra, SettingsError
from holocron.testing.wire import Connections, handler_class

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.serving import BaseWSGIServer

__all__ = ["CREDENTIALS", "Server", "SpawnedServer", "main", "serve", "spawn"]

DEFAULT_BUCKETS = ("holocron",)

# Any credentials will do; these are the ones that `Server.environment` names.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "holocron", "AWS_SECRET_ACCESS_KEY": "holocron", "AWS_DEFAULT_REGION": "us-east-1"}

# Where the server answers about itself. "-" can never be the name of a bucket.
_REQUESTS_PATH = "/-/requests"

# A cold interpreter on a busy machine imports moto in a few seconds; this only bounds one that hangs.
_START_S = 120.0

# moto checks a condition and stores the object in two steps, and its threads can meet between them: now and then two
# writers of one key are both told that they won. One request at a time makes its conditional writes atomic. The lock
# belongs to the process, as moto's buckets do.
_ONE_AT_A_TIME = threading.Lock()


class Server:
    """An S3 server in a thread of this process; `serve` makes one. Stopped by `stop` or at the end of a `with`."""

    def __init__(self, httpd: BaseWSGIServer, counts: _Counts, live: Connections, host: str) -> None:
        self._httpd = httpd
        self._counts = counts
        self._live = live
        self.host = host
        self.port = int(httpd.server_address[1])
        self._thread = threading.Thread(
            target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, name="holocron-s3-server", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint to give to an S3 client."""
        return f"http://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Environment variables that point any AWS SDK or command at this server."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": self.url}

    def requests(self) -> dict[str, int]:
        """How many requests for objects came in since the start or the last `reset`, by kind.

        The kinds are GET, PUT, LIST, DELETE and HEAD; whatever else came (creating a bucket, say) is OTHER.
        """
        return self._counts.snapshot()

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that is there already stays as it is. `HolocronError` if the name cannot be one."""
        _create_bucket(self.url, name)
        self._counts.forget("OTHER")

    def reset(self, buckets: Sequence[str] = DEFAULT_BUCKETS) -> None:
        """Empty and remove every bucket of this process, create `buckets` anew, and count requests from zero."""
        from moto.s3.models import s3_backends

        with _ONE_AT_A_TIME:
            for account in s3_backends.values():
                for backend in account.values():
                    backend.reset()
        for bucket in buckets:
            _create_bucket(self.url, bucket)
        self._counts.clear()

    def stop(self) -> None:
        """Stop listening and cut every open connection; what lies in the buckets stays with the process. Idempotent."""
        if self._thread.is_alive():
            self._httpd.shutdown()
            self._thread.join()
            self._httpd.server_close()
        self._live.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    buckets: Sequence[str] = DEFAULT_BUCKETS,
    *,
    around: Callable[[WSGIApplication], WSGIApplication] | None = None,
) -> Server:
    """Start an S3 server in this process and return it once it answers.

    `port` 0 takes a free one. `buckets` are created. `around` may wrap the application, which is atomic on its own,
    to make a server that misbehaves. Raises `MissingExtra` without moto, and `SettingsError` if the port is taken or
    a bucket cannot have its name.
    """
    application = _application()
    counts, live = _Counts(), Connections()
    with contextlib.closing(_listen(host, port)) as listener:
        from werkzeug.serving import make_server

        httpd = make_server(
            host,
            port,
            _front(application if around is None else around(application), counts),
            threaded=True,
            request_handler=handler_class(live),
            fd=listener.fileno(),
        )
    server = Server(httpd, counts, live, host)
    try:
        for bucket in buckets:
            server.create_bucket(bucket)
    except BaseException:
        server.stop()
        raise
    return server


class SpawnedServer:
    """An S3 server in a process of its own; `spawn` makes one. It ends with `stop`, or when its parent ends."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def environment(self) -> dict[str, str]:
        """Environment variables that point any AWS SDK or command at this server."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": self.url}

    def requests(self) -> dict[str, int]:
        """How many requests for objects came in, by kind, as `Server.requests` has them."""
        with _opener().open(self.url + _REQUESTS_PATH, timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts

    def stop(self, timeout_s: float = 10.0) -> int:
        """End the process, by force if it is not gone in `timeout_s` seconds; its exit code. Idempotent."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def spawn(port: int = 0, buckets: Sequence[str] = DEFAULT_BUCKETS) -> SpawnedServer:
    """Start an S3 server as a process of its own on 127.0.0.1 and return it once it answers.

    Raises `MissingExtra` without moto, and `HolocronError` with the process's own words if it does not start.
    """
    _require_moto()
    command = [sys.executable, "-m", "holocron.testing.server", "--port", str(port), "--with-parent"]
    for bucket in buckets:
        command += ["--bucket", bucket]
    with tempfile.TemporaryFile() as words:
        # A session of its own: Ctrl-C in a terminal reaches the parent, which decides when the server ends.
        process = subprocess.Popen(  # noqa: S603 - our own module, run with our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        server = SpawnedServer(process, _first_line(process, _START_S))
        if not server.url.startswith("http://"):
            server.stop()
            words.seek(0)
            last = words.read().decode(errors="replace").strip().splitlines()[-1:]
            raise HolocronError(f"the S3 server did not start: {last[0] if last else 'it said nothing'}")
    return server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until SIGTERM or SIGINT; its URL is the first line on stdout, printed once it answers."""
    parser = argparse.ArgumentParser(
        prog="python -m holocron.testing.server", description="An S3 server for tests, on this machine, in memory."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 takes a free one")
    parser.add_argument("--bucket", action="append", dest="buckets", help="a bucket to create; may be repeated")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)

    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        server = serve(options.host, options.port, tuple(options.buckets or DEFAULT_BUCKETS))
    except HolocronError as error:
        print(error, file=sys.stderr)
        return 1
    with server:
        print(server.url, flush=True)
        if options.with_parent:
            threading.Thread(target=_end_with_parent, args=(over,), name="holocron-parent", daemon=True).start()
        over.wait()
    return 0


# --- the application ------------------------------------------------------------------------------------------------


def _require_moto() -> None:
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        raise MissingExtra("the embedded S3 server is an extra: pip install 'holocron-runtime[server]'")


@functools.cache
def _application() -> WSGIApplication:
    """moto's S3 and nothing but S3, one request at a time."""
    _require_moto()
    from moto.moto_server.werkzeug_app import create_backend_app

    backend: Any = create_backend_app("s3")

    def one_at_a_time(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with _ONE_AT_A_TIME:
            answer = backend(environ, start_response)
            # Streamed bodies are read from the stored object, which the next write may replace: take it all now.
            try:
                return [b"".join(answer)]
            finally:
                if hasattr(answer, "close"):
                    answer.close()

    return one_at_a_time


def _front(application: WSGIApplication, counts: _Counts) -> WSGIApplication:
    """Count requests, and answer the question how many there were."""

    def front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == _REQUESTS_PATH:
            body = json.dumps(counts.snapshot()).encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        counts.add(_kind(environ["REQUEST_METHOD"], path))
        return application(environ, start_response)

    return front


def _kind(method: str, path: str) -> str:
    """What S3 calls the request: a GET or HEAD of a bucket is not one of an object."""
    bucket, _, key = path.lstrip("/").partition("/")
    if key:
        return method if method in ("GET", "PUT", "DELETE", "HEAD") else "OTHER"
    return "LIST" if method == "GET" and bucket else "OTHER"


class _Counts:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, kind: str) -> None:
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1

    def forget(self, kind: str) -> None:
        with self._lock:
            self._counts.pop(kind, None)

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


# --- odds and ends --------------------------------------------------------------------------------------------------


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=256)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error}; choose another port") from error
    return listener


def _opener() -> urllib.request.OpenerDirector:
    """A client that never goes through a proxy: what it asks is on this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _create_bucket(url: str, name: str) -> None:
    request = urllib.request.Request(f"{url}/{name}", method="PUT")  # noqa: S310 - the URL is our own server's, on this machine
    try:
        with _opener().open(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise SettingsError(f"cannot create the bucket {name!r}: the server answered {error.code}") from error


def _end_with_parent(over: threading.Event) -> None:
    """Standard input is a pipe that the parent holds: it ends when the parent does, however the parent ends."""
    while os.read(0, 4096):
        pass
    over.set()


def _first_line(process: subprocess.Popen[str], within_s: float) -> str:
    """The first line that the process prints, or nothing if it prints none in time."""
    assert process.stdout is not None  # The caller asked for a pipe.
    ready, _, _ = select.select([process.stdout], [], [], within_s)
    return process.stdout.readline().strip() if ready else ""


def _python_path() -> str:
    """The child's module path: where this package came from first, whatever directory the child starts in."""
    here = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return f"{here}{os.pathsep}{inherited}" if inherited else here


if __name__ == "__main__":
    sys.exit(main())
