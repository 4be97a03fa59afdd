"""`gs://bucket/prefix` and `az://container/prefix` through obstore (the `objectstore` extra), with the same outcomes.

Where obstore differs from S3 and what is made of it here:

* Its keys are paths: no empty segment, no `.` or `..`, no control characters, no slash at either end. Such keys are
  `Denied`; Holocron itself makes none.
* Its LIST takes a folder and not any prefix, and promises no order: the folder is listed, filtered and sorted.
* It tells no server `Date`, so `date_s` is always None and rule 11's opt-in does not apply.
* Google compares generations and Azure ETags: our `etag` carries both, opaque. A LIST may know only one of them, so an
  ETag from a LIST is good for "has it changed since the last LIST" and not for a replacement.
* obstore's own local store (used by tests alone) cannot replace if unchanged; its memory store can.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from holocron.errors import MissingExtra, SettingsError
from holocron.store.base import (
    PAGE,
    Absent,
    Answer,
    Clash,
    Conflict,
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

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = ["ObStore", "open_objectstore"]

_T = TypeVar("_T")
# Between an ETag and a version in our own opaque etag; neither can hold a line break.
_DIVIDER = "\n"
# What servers say inside a 404 when it is the bucket that is missing and not the object.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist", "ContainerBeingDeleted")


def open_objectstore(scheme: str, place: str, prefix: str, *, timeout_s: float | None = None) -> ObStore:
    """The store in bucket or container `place` of Google (`gs`) or Azure (`az`), found through their usual environment.

    `timeout_s` caps every request. Raises `MissingExtra` without obstore, `SettingsError` where it cannot be set up.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore
    except ImportError:
        raise MissingExtra(f"{scheme}:// needs obstore: pip install 'holocron-runtime[objectstore]'") from None
    # obstore's own retry would hide a success behind a loss, as the S3 SDK's would.
    retry: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    client: ClientConfig = {"timeout": timedelta(seconds=600), "connect_timeout": timedelta(seconds=10)}
    try:
        inner: ObjectStore
        if scheme == "gs":
            inner = GCSStore(place, retry_config=retry, client_options=client)
        else:
            inner = AzureStore(place, retry_config=retry, client_options=client)
    except (BaseError, ValueError) as error:
        raise SettingsError(f"{scheme}://{place} cannot be set up: {_line(error)}") from None
    return ObStore(inner, f"{scheme}://{place}", prefix, timeout_s=timeout_s, ordered=True)


class ObStore:
    """A store on any obstore store, rooted at `prefix`; safe to use from any thread.

    `place` is what `uri` shows before the prefix. `timeout_s` caps every request. `ordered` says that the inner store
    lists in key order, so that a page can end early.
    """

    def __init__(
        self,
        inner: ObjectStore,
        place: str,
        prefix: str = "",
        *,
        timeout_s: float | None = None,
        ordered: bool = False,
    ) -> None:
        self._inner = inner
        self._place = place
        self._root = root_of(prefix)
        self._cap_s = timeout_s
        self._ordered = ordered
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def uri(self) -> str:
        return f"{self._place}/{self._root}".rstrip("/")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def perform(self, request: Request, timeout_s: float) -> Answer:
        allowed_s = timeout_s if self._cap_s is None else min(timeout_s, self._cap_s)
        if allowed_s <= 0:
            return Unclear("no time was left for the request", sent=False)
        fault = request_fault(self._root, request) or _path_fault(self._root, request)
        if fault is not None:
            return Denied(fault)
        try:
            future = self._submit(self._perform(request))
        except RuntimeError:
            return Unclear("the store is closed", sent=False)
        try:
            return future.result(allowed_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            return Unclear(f"{self._place} did not answer in time")
        except concurrent.futures.CancelledError:
            return Unclear("the store was closed meanwhile")
        except Exception as error:  # noqa: BLE001 - obstore raises types of its own, of Python's, and its runtime's
            return self._refused(error, request)

    def _submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Have `work` done on this store's own event loop: obstore's blocking calls know no timeout, its others do."""
        with self._lock:
            if self._closed:
                work.close()
                raise RuntimeError("closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="holocron-objectstore", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _perform(self, request: Request) -> Answer:
        match request:
            case Get():
                return await self._get(request)
            case Put():
                return await self._put(request)
            case List():
                return await self._list(request)
            case Delete():
                await self._inner.delete_async(self._root + request.key)
                return Deleted()

    async def _get(self, request: Get) -> Answer:
        result = await self._inner.get_async(self._root + request.key)
        meta = result.meta
        etag = _etag(meta.get("e_tag"), meta.get("version"))
        if meta["size"] > request.limit_bytes:
            return Oversize(meta["size"], etag)
        body = bytes(await result.bytes_async())
        if len(body) != meta["size"]:
            return Unclear(f"the answer of {self._place} broke off")
        return Found(body, etag, meta["last_modified"].timestamp())

    async def _put(self, request: Put) -> Answer:
        if request.match is None:
            result = await self._inner.put_async(self._root + request.key, request.body, mode="create")
        else:
            version = _version(request.match)
            result = await self._inner.put_async(self._root + request.key, request.body, mode=version)
        return Written(_etag(result.get("e_tag"), result.get("version")))

    async def _list(self, request: List) -> Answer:
        wanted = self._root + request.prefix
        offset = None if request.after is None else self._root + request.after
        limit = min(request.limit, PAGE)
        gathered: list[ObjectMeta] = []
        folder = wanted.rpartition("/")[0] or None
        stream = self._inner.list(folder, offset=offset, chunk_size=PAGE)
        async for chunk in stream:
            gathered += [meta for meta in chunk if _listed(meta["path"], wanted, offset)]
            if self._ordered and len(gathered) > limit:
                break
        gathered.sort(key=lambda meta: meta["path"])
        entries = tuple(
            Entry(
                meta["path"][len(self._root) :],
                _etag(meta.get("e_tag"), meta.get("version")),
                meta["size"],
                meta["last_modified"].timestamp(),
            )
            for meta in gathered[:limit]
        )
        return Listed(entries, len(gathered) > limit)

    def _refused(self, error: Exception, request: Request) -> Answer:
        from obstore import exceptions as theirs

        said = _line(error)
        match error:
            case FileNotFoundError():
                return self._missing(str(error), request)
            case theirs.AlreadyExistsError():
                # Azure says so (409) of every write that met another one.
                return Clash() if isinstance(request, Put) and request.match is None else Conflict()
            case theirs.PreconditionError() if isinstance(request, Put):
                return Clash()
            case theirs.PermissionDeniedError() | theirs.UnauthenticatedError() | PermissionError():
                return Denied(f"{self._place}: access denied ({said}): check the credentials and their rights there")
            case theirs.NotSupportedError() | NotImplementedError() | theirs.InvalidPathError() | ValueError():
                return Denied(f"{self._place} cannot do this: {said}")
            case _:
                return Unclear(f"{self._place}: {said}")

    def _missing(self, said: str, request: Request) -> Answer:
        if any(sign in said for sign in _NO_BUCKET):
            return Denied(f"{self._place} does not exist: create it or check its name")
        match request:
            case Get():
                return Absent()
            case Put(match=str()):
                return Clash()
            case Delete():
                return Deleted()
            case List():
                return Listed(())
        return Denied(f"{self._place} does not exist: create it or check its name")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _path_fault(root: str, request: Request) -> str | None:
    match request:
        case List():
            # Only its folders are asked of obstore; the rest of a prefix is compared here.
            path = (root + request.prefix).rpartition("/")[0]
            if not path:
                return None
        case _:
            path = root + request.key
    plain = all(letter >= " " and letter != "\x7f" for letter in path)
    if plain and not any(part in {"", ".", ".."} for part in path.split("/")):
        return None
    return f"the key {path[:80]!r} is no path: empty, '.' and '..' parts and control characters are not for this store"


def _listed(path: str, wanted: str, offset: str | None) -> bool:
    return path.startswith(wanted) and (offset is None or path > offset)


def _etag(e_tag: str | None, version: str | None) -> str:
    return (e_tag or "") + (_DIVIDER + version if version else "")


def _version(etag: str) -> UpdateVersion:
    e_tag, _, version = etag.partition(_DIVIDER)
    # The parts that there are: obstore takes a None amiss.
    wanted: UpdateVersion = {}
    if e_tag:
        wanted["e_tag"] = e_tag
    if version:
        wanted["version"] = version
    return wanted


def _line(error: BaseException) -> str:
    """The first line: below it obstore prints the inside of its requests."""
    first = str(error).strip().partition("\n")[0]
    return " ".join(first.split())[:200].rstrip(". ") or type(error).__name__
