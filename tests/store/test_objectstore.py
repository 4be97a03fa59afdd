"""gs:// and az:// through obstore: the contract on obstore's own stores, and how its errors are told."""

from __future__ import annotations

from pathlib import Path

import obstore.exceptions
import obstore.store
import pytest

from holocron.errors import SettingsError
from holocron.store.base import (
    Absent,
    Answer,
    Clash,
    Conflict,
    Delete,
    Deleted,
    Denied,
    Get,
    List,
    Listed,
    Put,
    Request,
    Store,
    Unclear,
)
from holocron.store.objectstore import ObStore
from holocron.store.opening import open_store
from tests.store.contract import ODD_KEYS, PATHLESS_KEYS, StoreContract, ask


class TestObstoreMemory(StoreContract):
    """obstore's memory store, seen through ours, keeps the whole contract but for keys that are no paths."""

    tells_time = False
    odd_keys = ODD_KEYS

    @pytest.fixture
    def store(self) -> Store:
        return ObStore(obstore.store.MemoryStore(), "obstore-memory:", "some/prefix")


class TestObstoreLocal(StoreContract):
    """obstore's local store keeps what it can: it has no replace-if-unchanged, and its keys are file names."""

    tells_time = False
    replaces = False
    # A file system takes no segment above 255 bytes and tells apart no key "a" beside "a/b".
    odd_keys = tuple(key for key in ODD_KEYS if key != "back\\slash")
    longest_segment = 200

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ObStore(obstore.store.LocalStore(str(tmp_path)), "obstore-local:", "some/prefix")


@pytest.mark.parametrize("key", [key for key in PATHLESS_KEYS if key not in {"a", "a/b"}])
def test_keys_that_are_no_paths(key: str) -> None:
    """A key that obstore would quietly turn into another is refused: two keys must never meet."""
    store = ObStore(obstore.store.MemoryStore(), "obstore-memory:")
    for request in (Get(key), Put(key, b"1"), Delete(key)):
        answer = ask(store, request)
        assert isinstance(answer, Denied), answer
        assert "no path" in answer.error


REFUSALS: list[tuple[Exception, Request, type[Answer], str]] = [
    (FileNotFoundError("Object at location k not found: <Code>NoSuchKey</Code>"), Get("k"), Absent, ""),
    (FileNotFoundError("Object at location k not found: <Code>NoSuchBucket</Code>"), Get("k"), Denied, "create it"),
    (FileNotFoundError("x\nContainerNotFound"), Put("k", b"", match="e"), Denied, "create it"),
    (FileNotFoundError("x"), Put("k", b"", match="e"), Clash, ""),
    (FileNotFoundError("x"), Put("k", b""), Denied, "create it"),
    (FileNotFoundError("x"), Delete("k"), Deleted, ""),
    (FileNotFoundError("x"), List("k/"), Listed, ""),
    (obstore.exceptions.AlreadyExistsError("x"), Put("k", b""), Clash, ""),
    (obstore.exceptions.AlreadyExistsError("x"), Put("k", b"", match="e"), Conflict, ""),
    (obstore.exceptions.PreconditionError("x"), Put("k", b"", match="e"), Clash, ""),
    (obstore.exceptions.PreconditionError("x"), Get("k"), Unclear, "x"),
    (obstore.exceptions.PermissionDeniedError("no\ndebug: secret"), Get("k"), Denied, "access denied (no)"),
    (obstore.exceptions.UnauthenticatedError("no"), Put("k", b""), Denied, "check the credentials"),
    (obstore.exceptions.NotSupportedError("no"), Put("k", b""), Denied, "cannot do this"),
    (obstore.exceptions.GenericError("reset by peer"), Put("k", b""), Unclear, "reset by peer"),
    (OSError("broken"), Put("k", b""), Unclear, "broken"),
]


@pytest.mark.parametrize(("error", "request_", "kind", "says"), REFUSALS)
def test_refusals(error: Exception, request_: Request, kind: type[Answer], says: str) -> None:
    """Each error of obstore is the outcome it stands for; a 404 for the bucket is never "absent" (design section 3)."""

    class Failing(ObStore):
        async def _perform(self, request: Request) -> Answer:
            raise error

    answer = ask(Failing(obstore.store.MemoryStore(), "gs://bucket"), request_)
    assert isinstance(answer, kind), answer
    if isinstance(answer, Denied | Unclear):
        assert says in answer.error
        assert "\n" not in answer.error
        assert "secret" not in answer.error


def test_timeout() -> None:
    """A request that gets no answer ends in time, as unclear."""
    import asyncio

    class Hanging(ObStore):
        async def _perform(self, request: Request) -> Answer:
            await asyncio.Event().wait()
            return Absent()

    store = Hanging(obstore.store.MemoryStore(), "gs://bucket")
    answer = store.perform(Get("k"), 0.05)
    assert isinstance(answer, Unclear)
    assert answer.sent
    store.close()


def test_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    """gs:// and az:// open without sending anything; az:// without an account says so."""
    assert open_store("gs://bucket/a/b").uri == "gs://bucket/a/b"
    with pytest.raises(SettingsError, match="az://container cannot be set up"):
        open_store("az://container/a")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert open_store("az://container/a").uri == "az://container/a"
