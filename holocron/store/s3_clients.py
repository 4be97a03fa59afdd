"""The SDK's clients: one for each way of reaching S3, made once in a process and shared by all stores that go that way.

To make one takes as long as dozens of requests, and each has connections of its own, so:

* It comes from botocore, on which boto3 stands; boto3's layer above it (resources, transfers) is not loaded at all.
* Of the SDK's folders, which describe hundreds of services, only those that S3 and its credentials need are looked at.
* What a request may take is said for each request and not for each client, whose timeouts the SDK would keep for life.
  So all requests share their connections, and the next finds one that is open.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.session
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.loaders import Loader
from urllib3.util.timeout import Timeout

from holocron.loading import loading

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["SHORTEST_S", "SetupError", "Shared", "Way", "allow", "borrow", "give_back"]

SHORTEST_S = 0.05
_CONNECTIONS = 64
# S3 itself, and who may be asked for credentials: roles, IAM Identity Center, a login.
_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")
# Amazon's own endpoints, by which the SDK's choice may be configured as well as made.
_AMAZONS_OWN = re.compile(r"https://s3(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?/?\Z")
# What of the environment the SDK reads when a client is made: two stores between which it changed are no neighbours.
_READ_BY_THE_SDK = re.compile(r"(AWS_|BOTO)|(HOME|.*_proxy)\Z", re.IGNORECASE)


class SetupError(Exception):
    """No client could be made; the cause says why."""


class Way(NamedTuple):
    """How S3 is reached. With `plain_body` the SDK never wraps what is sent."""

    endpoint_url: str | None
    region: str | None
    profile: str | None
    plain_body: bool = False


class Shared:
    """A client, and how many stores use it; `borrow` makes them."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.pid = os.getpid()
        self.client = _make(way)
        self._users = 0


# Whose every value is read by one thread: until when the request that it is making may take.
_allowed = threading.local()
_lock = threading.Lock()
_shared: dict[tuple[Any, ...], Shared] = {}


def allow(timeout_s: float) -> None:
    """Give the requests that the calling thread makes from now on `timeout_s` seconds, all together."""
    _allowed.until = time.monotonic() + timeout_s


def borrow(way: Way) -> Shared:
    """The client for `way`, made if there is none; a forked child, which must not share sockets, gets its own.

    Raises:
        SetupError.
    """
    read = frozenset(item for item in os.environ.items() if _READ_BY_THE_SDK.match(item[0]))
    key = (way, os.getpid(), read)
    with _lock:
        shared = _shared.get(key)
        if shared is None:
            try:
                with loading():
                    shared = Shared(way)
            except Exception as error:
                raise SetupError(str(error)) from error
            _shared[key] = shared
        shared._users += 1
        return shared


def give_back(shared: Shared) -> None:
    """Use `shared` no more; its connections are closed by whoever is the last to do so."""
    with _lock:
        shared._users -= 1
        if shared._users > 0:
            return
        for key, other in list(_shared.items()):
            if other is shared:
                del _shared[key]
    if shared.pid == os.getpid():
        shared.client.close()


def _make(way: Way) -> S3Client:
    core = botocore.session.Session(profile=way.profile)
    if way.region is not None:
        core.set_config_variable("region", way.region)
    core.register_component("data_loader", _FewServices(core.get_config_variable("data_path")))
    settings: dict[str, Any] = {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": _CONNECTIONS,
        "tcp_keepalive": True,
        "user_agent_extra": "holocron",
        **_for_endpoint(way, core),
    }
    if way.plain_body:
        settings["request_checksum_calculation"] = "when_required"
    client: Any = core.create_client("s3", endpoint_url=way.endpoint_url, config=Config(**settings))
    # "Expect: 100-continue" costs a round trip per write, and some servers never answer it.
    client.meta.events.register("before-sign.s3.PutObject", _without_expect)
    client.meta.events.register_last("before-parameter-build.s3", _without_redirect)
    # The SDK hands its timeouts to its connections once; these hand out what is left each time they are asked.
    connections, left = client._endpoint.http_session, _Left()
    connections._timeout = left
    connections._manager.connection_pool_kw["timeout"] = left
    made: S3Client = client
    return made


def _for_endpoint(way: Way, core: botocore.session.Session) -> dict[str, Any]:
    """What to change for a configured endpoint; nothing where the endpoint is the SDK's own choice."""
    profile: Mapping[str, Any] = core.get_scoped_config()
    if way.endpoint_url is None:
        if core.get_config_variable("ignore_configured_endpoint_urls"):
            return {}
        # Asked of the SDK itself, so that every place where an endpoint can be configured counts.
        configured = ConfiguredEndpointProvider(core.full_config, profile, "s3").provide()
        if not configured or _AMAZONS_OWN.match(configured):
            return {}
    own = profile.get("s3")
    style = own.get("addressing_style") if isinstance(own, dict) else None
    return {
        "s3": {"addressing_style": style or "path"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }


class _FewServices(Loader):
    """Knows the services that are asked for without looking through the folders of all the others."""

    def __init__(self, data_path: str | None) -> None:
        # As the SDK's own `create_loader` takes AWS_DATA_PATH apart.
        paths = data_path.split(os.pathsep) if data_path else []
        super().__init__(extra_search_paths=[os.path.expanduser(os.path.expandvars(path)) for path in paths])

    def list_available_services(self, type_name: str) -> list[str]:
        return list(_SERVICES)


class _Left(Timeout):
    """What is left for the request that the asking thread makes, to connect and to wait for an answer together."""

    def clone(self) -> Timeout:
        left_s = max(getattr(_allowed, "until", 0.0) - time.monotonic(), SHORTEST_S)
        return Timeout(total=left_s, connect=left_s, read=left_s)


def _without_expect(request: Any, **_: Any) -> None:
    if "Expect" in request.headers:
        del request.headers["Expect"]


def _without_redirect(context: dict[str, Any], **_: Any) -> None:
    """Keep the SDK from following a bucket to its region with requests of its own; the answer names the region.

    What it would send has no bound: on a server that says 301 and no region, it asks until Python's stack is full.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True
