"""The SDK's clients: made once, shared, and told for each request what it may take."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holocron.store import s3_clients
from holocron.store.base import Get, List, Put, Unclear, Written
from holocron.store.opening import StoreOptions, open_store
from holocron.store.s3 import S3Store
from holocron.store.s3_clients import SetupError, Way, borrow, give_back
from tests.store.canned import at, black_hole, closed_door

NOWHERE = "http://127.0.0.1:1"


class KeepAlive(ThreadingHTTPServer):
    """A server that answers every PUT, keeps connections open, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.connections = 0
        super().__init__(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        assert isinstance(self.server, KeepAlive)
        self.server.connections += 1
        super().setup()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls it by
        pass


@pytest.fixture
def server() -> Iterator[KeepAlive]:
    with KeepAlive() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def test_requests_of_all_stores_and_all_timeouts_share_a_connection(server: KeepAlive) -> None:
    """One connection serves one request after the other, whatever each may take and whichever store asks."""
    stores = [at(server.url), at(server.url, bucket="another", prefix="q")]
    for timeout_s in (0.5, 9.0, 2.0, 60.0):
        for store in stores:
            assert isinstance(store.perform(Put("k", b"body"), timeout_s), Written)
    assert server.connections == 1
    for store in stores:
        store.close()


def test_one_client_for_each_way_of_reaching_s3() -> None:
    """Stores that reach S3 in the same way have one client; another region, profile or endpoint has its own."""
    one, two = S3Store("a", "p", endpoint_url=NOWHERE), S3Store("b", "q", endpoint_url=NOWHERE)
    other = S3Store("a", "p", endpoint_url=NOWHERE, region="eu-west-1")
    assert one.client(2.0) is two.client(0.3)
    assert one.client(2.0) is not other.client(2.0)
    # The environment is where credentials come from: after it has changed, nobody is given the client of before.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "another")
        assert S3Store("a", "p", endpoint_url=NOWHERE).client(2.0) is not one.client(2.0)
    for store in (one, two, other):
        store.close()


def test_the_last_store_closes_the_client() -> None:
    """A client lives as long as a store uses it, and the next store after that has a new one."""
    way = Way(NOWHERE, "eu-north-1", None)
    first = borrow(way)
    assert borrow(way) is first
    give_back(first)
    again = borrow(way)
    assert again is first
    give_back(first)
    give_back(again)
    fresh = borrow(way)
    assert fresh is not first
    give_back(fresh)


def test_many_threads_make_one_client() -> None:
    """The first requests of a node come side by side, and one client is made for them."""
    store = S3Store("a", "p", endpoint_url=NOWHERE, region="ap-south-1")
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: store.client(1.0), range(32)))
    assert len({id(client) for client in clients}) == 1
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_has_a_client_of_its_own() -> None:
    """Two processes that wrote to one socket would mix their requests."""
    store = S3Store("a", "p", endpoint_url=NOWHERE)
    mine = store.client(1.0)
    child = os.fork()
    if child == 0:
        os._exit(0 if store.client(1.0) is not mine else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.close()


def test_a_client_that_cannot_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the set-up is said at each attempt, and a set-up that was mended works."""
    way = Way(NOWHERE, None, "no-such-profile")
    for _ in range(2):
        with pytest.raises(SetupError, match="no-such-profile"):
            borrow(way)
    assert all(shared.way != way for shared in s3_clients._shared.values())


@pytest.mark.parametrize("hole", [black_hole, closed_door])
def test_the_timeout_is_each_requests_own(hole: object) -> None:
    """A server that is silent, or takes no connection, holds a request up for as long as that request may take."""
    assert callable(hole)
    with hole() as url:
        store = at(url)
        # The long one first: what it was allowed must not stick to the connections or to the thread.
        for timeout_s in (2.0, 0.2):
            for request in (Get("k"), Put("k", b"x"), List("")):
                began = time.monotonic()
                assert isinstance(store.perform(request, timeout_s), Unclear)
                # Never much less, and no part of it is granted twice: connecting and waiting have one time together.
                assert timeout_s * 0.9 <= time.monotonic() - began
        took = time.monotonic()
        store.perform(Get("k"), 0.2)
        assert time.monotonic() - took < 1.9
        store.close()


def test_threads_do_not_share_what_they_are_allowed() -> None:
    """A request that may take long leaves another thread's short one short."""
    with black_hole() as url:
        store = at(url)
        store.client(1.0)
        with ThreadPoolExecutor(2) as pool:
            long = pool.submit(store.perform, Get("k"), 3.0)
            short = pool.submit(store.perform, Get("k"), 0.2)
            assert isinstance(short.result(30), Unclear)
            assert not long.done()
            assert isinstance(long.result(30), Unclear)
        store.close()


@pytest.mark.parametrize(
    ("configured", "own"),
    [
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://s3.amazonaws.com/", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://s3.example.com", False),
        ("https://s3.eu-west-1.amazonaws.com.example.org", False),
    ],
)
def test_an_endpoint_that_is_amazons_own(configured: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon's endpoint is the SDK's choice even where it was configured; any other is taken for another server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", configured)
    store = S3Store("bucket", region="eu-west-1")
    style = (store.client(1.0).meta.config.s3 or {}).get("addressing_style")  # type: ignore[attr-defined] # set by the SDK from its options
    assert (style != "path") is own
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert S3Store("bucket", region="eu-west-1").client(1.0).meta.endpoint_url.endswith("s3.eu-west-1.amazonaws.com")
    store.close()


def test_credentials_of_a_role_can_still_be_asked_for() -> None:
    """The services that hand out credentials are among the few that are looked for, and no other is."""
    loader = s3_clients._FewServices(None)
    for name in ("s3", "sts", "sso", "sso-oidc"):
        assert loader.load_service_model(name, "service-2")["metadata"]
    assert "ec2" not in loader.list_available_services("service-2")


def test_a_store_of_the_public_door_shares_too() -> None:
    """`open_store` leads to the same client."""
    options = StoreOptions(endpoint_url=NOWHERE, region="sa-east-1")
    one, two = open_store("s3://bucket/a", options), open_store("s3://bucket/b", options)
    assert isinstance(one, S3Store)
    assert isinstance(two, S3Store)
    assert one.client(1.0) is two.client(1.0)
    one.close()
    two.close()
