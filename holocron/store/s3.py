"""`s3://bucket/prefix` over boto3: one attempt per request, every answer told apart, nothing decided.

* The SDK never tries again by itself: its second attempt would meet our own first one and report it as a loss.
* The credential chain is boto3's own (environment, profiles, SSO, containers, instance roles), untouched.
* A configured endpoint (option, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or profile) is taken for a server that is
  not Amazon's: path-style addresses unless the profile says otherwise, and no newer checksums, which many reject.
* Clients and their connections are shared by all stores of a process that reach S3 in the same way (`s3_clients`), and
  what a request may take is said for each request. It bounds connecting and waiting for the answer together: silence
  of any kind ends in time, but a server that dribbles bytes, or a name server that hangs, takes longer.
* Logging is left as it is: botocore's debug lines hold session tokens, so nothing here ever turns them on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from holocron.store.base import (
    PAGE,
    Answer,
    Clash,
    Delete,
    Deleted,
    Denied,
    Entry,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Put,
    Request,
    Unclear,
    Written,
)
from holocron.store.keys import request_fault, root_of
from holocron.store.s3_clients import SHORTEST_S, SetupError, Shared, Way, allow, borrow, give_back
from holocron.store.s3_errors import date_of, from_refusal, from_setup, from_trouble

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Store"]

_CHUNK_BYTES = 1 << 20
# The names of S3 Express directory buckets; their LIST is in no order and knows no StartAfter.
_DIRECTORY_BUCKET = "--x-s3"


class S3Store:
    """A store in `bucket`, rooted at `prefix`; safe to use from any thread.

    `endpoint_url`, `region` and `profile` win over the environment and the profile. `bucket_owner` is the account that
    must own the bucket. `timeout_s` caps every request. `quote_etags` is the form of If-Match that the server
    understands; None finds out by itself: where a condition failed although the object still has the very ETag that was
    asked for, the other form is tried, once, and kept if it works.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        bucket_owner: str | None = None,
        timeout_s: float | None = None,
        quote_etags: bool | None = None,
    ) -> None:
        self.bucket = bucket
        self._root = root_of(prefix)
        self._way = Way(endpoint_url, region, profile)
        self._owner = bucket_owner
        self._cap_s = timeout_s
        # The form of If-Match that is sent, and whether it has been seen to work.
        self.quote_etags = quote_etags is not False
        self._form_proven = quote_etags is not None
        self._common: dict[str, Any] = {"Bucket": bucket}
        if bucket_owner is not None:
            self._common["ExpectedBucketOwner"] = bucket_owner
        self._lock = threading.Lock()
        self._borrowed: dict[Way, Shared] = {}
        self._endpoint = endpoint_url or "S3"
        self._closed = False

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self._root}".rstrip("/")

    def with_etag_form(self, *, quoted: bool) -> S3Store:
        """The same store, told which form of If-Match its server understands (`quoted`: as in `"abc"`)."""
        self.quote_etags = quoted
        self._form_proven = True
        return self

    def close(self) -> None:
        with self._lock:
            self._closed = True
            borrowed = list(self._borrowed.values())
            self._borrowed.clear()
        for shared in borrowed:
            give_back(shared)

    def perform(self, request: Request, timeout_s: float) -> Answer:
        allowed_s = timeout_s if self._cap_s is None else min(timeout_s, self._cap_s)
        if self._closed:
            return Unclear("the store is closed", sent=False)
        if allowed_s <= 0:
            return Unclear("no time was left for the request", sent=False)
        fault = request_fault(self._root, request)
        if fault is not None:
            return Denied(fault)
        try:
            return self._perform(request, time.monotonic() + allowed_s)
        except ClientError as error:
            return from_refusal(error, request, self.bucket, self._owner)
        except SetupError as error:
            return from_setup(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        except Exception as error:  # noqa: BLE001 - whatever a server's bytes make the SDK raise is an answer too
            return from_trouble(error, self._endpoint)

    def race(self, key: str, bodies: Sequence[bytes], timeout_s: float) -> list[Answer]:
        """Create `key` once per body on as many connections, their last bytes released together (see `race.race`)."""
        from holocron.store.s3_race import race_sockets

        try:
            client = self.client(timeout_s, plain_body=True)
        except SetupError as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            return [from_setup(cause) for _ in bodies]
        arguments = {**self._common, "Key": self._root + key, "IfNoneMatch": "*"}
        return race_sockets(self, client, arguments, Put(key, b""), bodies, timeout_s)

    def versioned(self, timeout_s: float) -> bool | None:
        """Whether the bucket keeps every version of an object; None where the server or its policy does not say."""
        try:
            return self.client(timeout_s).get_bucket_versioning(**self._common).get("Status") == "Enabled"
        except Exception:  # noqa: BLE001 - asked for the sake of advice: whatever is wrong, the store may serve
            return None

    def answer_to_put(self, response: Mapping[str, Any]) -> Answer:
        """What a parsed response to a conditional create says."""
        date_s = date_of(response)
        etag = _etag(response.get("ETag"))
        if etag is None:
            # Something between us and the store says 200 to everything.
            return Unclear(f"{self._endpoint} answered 200 to a write, without an ETag: it is no S3 API", date_s=date_s)
        return Written(etag, date_s)

    def refusal_of_put(self, error: ClientError, request: Put) -> Answer:
        """What an error response to a conditional create says."""
        return from_refusal(error, request, self.bucket, self._owner)

    # --- requests ---------------------------------------------------------------------------------------------------

    def _perform(self, request: Request, until: float) -> Answer:
        client = self.client(until - time.monotonic())
        match request:
            case Get():
                return self._get(client, request, until)
            case Put(match=None):
                arguments = {**self._common, "Key": self._root + request.key, "Body": request.body, "IfNoneMatch": "*"}
                return self.answer_to_put(client.put_object(**arguments))
            case Put():
                return self._replace(client, request, until)
            case List():
                return self._list(client, request, until)
            case Delete():
                response = client.delete_object(**self._common, Key=self._root + request.key)
                return Deleted(date_of(response))

    def _get(self, client: S3Client, request: Get, until: float) -> Answer:
        response = client.get_object(**self._common, Key=self._root + request.key)
        date_s = date_of(response)
        stream = response["Body"]
        try:
            etag = _etag(response.get("ETag"))
            if etag is None:
                return Unclear(f"{self._endpoint} answered 200 without an ETag: it is no S3 API", date_s=date_s)
            # A server that sends in chunks need not say the size, whatever the SDK's types promise.
            size: int | None = dict(response).get("ContentLength")  # type: ignore[assignment] # an int where it is there
            if size is not None and size > request.limit_bytes:
                return Oversize(size, etag, date_s)
            chunks: list[bytes] = []
            read = 0
            while chunk := stream.read(_CHUNK_BYTES):
                chunks.append(chunk)
                read += len(chunk)
                if read > request.limit_bytes:
                    return Oversize(read, etag, date_s)
                if time.monotonic() > until:
                    return Unclear(f"{self._endpoint} did not send the whole object in time", date_s=date_s)
            if size is not None and read != size:
                return Unclear(f"the answer of {self._endpoint} broke off", date_s=date_s)
            return Found(b"".join(chunks), etag, _seconds(response.get("LastModified")), date_s)
        finally:
            # A stream that was read to its end has given its connection back; any other is cut here.
            stream.close()

    def _replace(self, client: S3Client, request: Put, until: float) -> Answer:
        quoted = self.quote_etags
        answer = self._put_if_match(client, request, quoted)
        if isinstance(answer, Written):
            self._form_proven = True
        if self._form_proven or not isinstance(answer, Clash):
            return answer
        # The condition did not hold, so nothing was applied. Was it the object that differs, or only the form?
        left_s = until - time.monotonic()
        if left_s <= SHORTEST_S:
            return answer
        try:
            client = self.client(left_s)
            found = client.head_object(**self._common, Key=self._root + request.key)
        except (BotoCoreError, ClientError):
            return answer
        if _etag(found.get("ETag")) != request.match or until - time.monotonic() <= SHORTEST_S:
            return answer
        second = self._put_if_match(self.client(until - time.monotonic()), request, not quoted)
        if isinstance(second, Written):
            self.quote_etags = not quoted
            self._form_proven = True
        return second

    def _put_if_match(self, client: S3Client, request: Put, quoted: bool) -> Answer:
        sent = request.match or ""
        if not quoted and len(sent) > 1 and sent[0] == sent[-1] == '"':
            sent = sent[1:-1]
        arguments = {**self._common, "Key": self._root + request.key, "Body": request.body, "IfMatch": sent}
        try:
            return self.answer_to_put(client.put_object(**arguments))
        except ClientError as error:
            return from_refusal(error, request, self.bucket, self._owner)

    def _list(self, client: S3Client, request: List, until: float) -> Answer:
        limit = min(request.limit, PAGE)
        arguments: dict[str, Any] = {**self._common, "Prefix": self._root + request.prefix, "MaxKeys": limit}
        ordered = not self.bucket.endswith(_DIRECTORY_BUCKET)
        if not ordered:
            # These take only prefixes that end in a slash.
            arguments = {**arguments, "Prefix": (self._root + request.prefix).rpartition("/")[0] + "/", "MaxKeys": PAGE}
            if arguments["Prefix"] == "/":
                del arguments["Prefix"]
        elif request.after is not None:
            arguments["StartAfter"] = self._root + request.after
        gathered: list[Entry] = []
        while True:
            page = client.list_objects_v2(**arguments)
            date_s = date_of(page)
            if "IsTruncated" not in page:
                # An answer cut to nothing, or not S3's at all, parses as a list of no keys.
                return Unclear(f"{self._endpoint} answered a LIST with something else: it is no S3 API", date_s=date_s)
            entries = list(self._entries(page.get("Contents", ()), request))
            gathered += entries
            truncated = bool(page["IsTruncated"])
            # One page is the answer where the server starts after `after` and sorts, as S3 does. A page that held
            # nothing of ours is no answer while more follow: the server does not know StartAfter.
            if not truncated or (ordered and gathered):
                gathered.sort(key=lambda entry: entry.key)
                return Listed(tuple(gathered[:limit]), truncated or len(gathered) > limit, date_s)
            token = page.get("NextContinuationToken")
            if not token or time.monotonic() >= until:
                return Unclear(f"{self._endpoint} did not finish the LIST in time", date_s=date_s)
            arguments["ContinuationToken"] = token
            client = self.client(until - time.monotonic())

    def _entries(self, contents: Iterable[Any], request: List) -> Iterator[Entry]:
        wanted = self._root + request.prefix
        for item in contents:
            key = item["Key"]
            if not key.startswith(wanted) or len(key) == len(self._root):
                continue
            name = key[len(self._root) :]
            if request.after is None or name > request.after:
                etag = _etag(item.get("ETag")) or ""
                yield Entry(name, etag, item.get("Size", 0), _seconds(item.get("LastModified")))

    # --- clients ----------------------------------------------------------------------------------------------------

    def client(self, timeout_s: float, *, plain_body: bool = False) -> S3Client:
        """The client, which gives what the calling thread asks of it about `timeout_s` altogether.

        With `plain_body` it never wraps what it sends. Raises `SetupError`.
        """
        allow(timeout_s)
        way = self._way._replace(plain_body=True) if plain_body else self._way
        shared = self._borrowed.get(way)
        if shared is None or shared.pid != os.getpid():
            shared = self._borrow(way)
        return shared.client

    def _borrow(self, way: Way) -> Shared:
        with self._lock:
            if self._closed:
                raise SetupError("the store was closed meanwhile")
            known = self._borrowed.get(way)
            if known is None or known.pid != os.getpid():
                known = self._borrowed[way] = borrow(way)
                self._endpoint = known.client.meta.endpoint_url
            return known


def _etag(raw: str | None) -> str | None:
    """An ETag in one form whatever the server's: some quote it in one place and not in another."""
    if not raw:
        return None
    return raw if raw.startswith(('"', "W/")) else f'"{raw}"'


def _seconds(when: datetime | None) -> float | None:
    return when.timestamp() if when is not None else None
