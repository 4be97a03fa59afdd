"""`file:///path`: a directory of one machine, for any number of its processes; survives SIGKILL and power loss.

* A write goes to a file of its own and is made durable there first. *Create if absent* then is link(2), which the
  kernel refuses when the name is taken. *Replace if unchanged* locks the very file it is about to replace (flock on
  its inode, checked to be still the one under the name), compares, and renames over it. A killed process leaves
  either the old object or the new one, whole, and the kernel lets go of its lock.
* An ETag is the inode, the time and the size of the file. The time is set by us and rises with every replacement of
  the object, so an ETag does not come back when an inode number does.
* **One machine only.** Over NFS and other network file systems link, rename and flock do not promise what this
  stands on, and a stale attribute cache may answer for an object that has been replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

from holocron.store.base import (
    PAGE,
    Absent,
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
from holocron.store.keys import request_fault
from holocron.store.local_names import directory_of, name_segment, path_of

__all__ = ["LocalStore"]

# Where a write lives before it has its name; a leftover of a killed process is removed after this long.
_ROOM = ".writing"
_LEFTOVER_S = 3600.0
_SWEEP_EVERY_S = 600.0
# How often a lock held by another process is tried again: flock(2) knows no timeout.
_LOCK_TRY_LOW_S = 0.0005
_LOCK_TRY_HIGH_S = 0.02
# O_NONBLOCK, because opening a stray pipe would otherwise wait for a writer that never comes.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTSUP,
    errno.EINVAL,
    errno.EXDEV,
    errno.EMLINK,
    errno.EFBIG,
}


class _TimeOver(Exception):
    """A lock was not to be had in time."""


class LocalStore:
    """A store in the directory `path` (absolute), made on the first write.

    `clock` gives the wall time in seconds since 1970 that objects and answers are stamped with. Safe to use from any
    thread and, with other stores on the same path, from any process of this machine. A request that waits for a lock
    gives up in time; one that hangs in the disk itself cannot be interrupted.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.time) -> None:
        self._path = os.path.normpath(path)
        self._clock = clock
        self._closed = False
        self._swept_at = -_SWEEP_EVERY_S

    @property
    def uri(self) -> str:
        return f"file://{quote(self._path)}"

    def close(self) -> None:
        self._closed = True

    def perform(self, request: Request, timeout_s: float) -> Answer:
        if self._closed:
            return Unclear("the store is closed", sent=False)
        if timeout_s <= 0:
            return Unclear("no time was left for the request", sent=False)
        fault = request_fault("", request)
        if fault is not None:
            return Denied(fault, self._clock())
        until = time.monotonic() + timeout_s
        try:
            match request:
                case Get():
                    return self._get(request)
                case Put():
                    return self._put(request, until)
                case List():
                    return self._list(request)
                case Delete():
                    return self._delete(request, until)
        except _TimeOver as over:
            return Unclear(f"another process held {over} for {timeout_s:g}s", sent=False, date_s=self._clock())
        except OSError as error:
            return self._trouble(error, applied=False)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _file(self, key: str) -> str:
        return os.path.join(self._path, *path_of(key))

    def _get(self, request: Get) -> Answer:
        path = self._file(request.key)
        with _opened(path) as held:
            if held is None:
                return Absent(self._clock())
            status = os.fstat(held)
            if not stat.S_ISREG(status.st_mode):
                return Denied(f"{path} is not a regular file: move it away", self._clock())
            if status.st_size > request.limit_bytes:
                return Oversize(status.st_size, _etag(status), self._clock())
            with os.fdopen(os.dup(held), "rb") as file:
                body = file.read()
        if len(body) != status.st_size:
            return Unclear(f"{path} changed while it was read", date_s=self._clock())
        return Found(body, _etag(status), status.st_mtime_ns / 1e9, self._clock())

    def _list(self, request: List) -> Answer:
        limit = min(request.limit, PAGE)
        top = directory_of(request.prefix)
        stem = request.prefix.rpartition("/")[0] + "/" if "/" in request.prefix else ""
        found = sorted(_keys(os.path.join(self._path, *top), stem, "", request.prefix, request.after))
        entries: list[Entry] = []
        more = False
        for key, path in found:
            if len(entries) == limit:
                more = True
                break
            try:
                status = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                continue  # Deleted since the directory was read.
            entries.append(Entry(key, _etag(status), status.st_size, status.st_mtime_ns / 1e9))
        return Listed(tuple(entries), more, self._clock())

    # --- writing ----------------------------------------------------------------------------------------------------

    def _put(self, request: Put, until: float) -> Answer:
        path = self._file(request.key)
        if request.match is None:
            # Not needed for safety (link decides), but it spares the loser of a race its write to the disk.
            if os.path.lexists(path):
                return Clash(self._clock())
            with self._written(request.body, 0) as (fresh, etag):
                return self._create(fresh, path, etag)
        with self._locked(path, until) as status:
            if status is None or _etag(status) != request.match:
                return Clash(self._clock())
            with self._written(request.body, status.st_mtime_ns) as (fresh, etag):
                os.rename(fresh, path)
                return self._settled(path, etag)

    def _create(self, fresh: str, path: str, etag: str) -> Answer:
        try:
            try:
                os.link(fresh, path)
            except FileNotFoundError:
                _make_directories(os.path.dirname(path))
                os.link(fresh, path)
        except FileExistsError:
            return Clash(self._clock())
        return self._settled(path, etag)

    def _settled(self, path: str, etag: str) -> Answer:
        """The new name is in place; it is `Written` once a power loss cannot take it back."""
        try:
            _sync_directory(os.path.dirname(path))
        except OSError as error:
            return self._trouble(error, applied=True)
        return Written(etag, self._clock())

    def _delete(self, request: Delete, until: float) -> Answer:
        path = self._file(request.key)
        with self._locked(path, until) as status:
            if status is not None:
                os.unlink(path)
                _sync_directory(os.path.dirname(path))
        return Deleted(self._clock())

    @contextlib.contextmanager
    def _locked(self, path: str, until: float) -> Iterator[os.stat_result | None]:
        """Hold the object at `path` against every other replacement and removal; None if there is no object.

        The lock is on the inode. Whoever waited for it may find that the name has moved on to another inode and
        starts anew; whoever holds the lock of the inode under the name is the only one who may change the name.
        """
        while True:
            with _opened(path) as held:
                if held is None:
                    yield None
                    return
                _lock(held, path, until)
                try:
                    mine = os.fstat(held)
                    try:
                        named = os.stat(path, follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino):
                        yield mine
                        return
                finally:
                    # Said aloud and not left to close: a process forked meanwhile has a copy of the descriptor.
                    fcntl.flock(held, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _written(self, body: bytes, above_ns: int) -> Iterator[tuple[str, str]]:
        """A durable file with `body`, not yet under any key, with the ETag that it will have."""
        room = os.path.join(self._path, _ROOM)
        fresh = os.path.join(room, f"{os.getpid()}-{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            handle = os.open(fresh, flags, 0o666)
        except FileNotFoundError:
            _make_directories(room)
            handle = os.open(fresh, flags, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                # The random part keeps apart two objects that a clock standing still would give one time.
                now_ns = max(int(self._clock() * 1e9) + secrets.randbelow(1_000_000), above_ns + 1)
                os.utime(handle, ns=(now_ns, now_ns))
                if os.fstat(handle).st_mtime_ns <= above_ns:
                    # A file system with coarse times: step over its grain, so that the time rises all the same.
                    os.utime(handle, ns=(above_ns + 2_000_000_000,) * 2)
                os.fsync(handle)
                etag = _etag(os.fstat(handle))
            yield fresh, etag
        finally:
            # Whatever comes of this says nothing about the object; what stays is swept up later.
            with contextlib.suppress(OSError):
                os.unlink(fresh)
        self._sweep(room)

    def _sweep(self, room: str) -> None:
        """Remove what killed processes left half-written, now and then."""
        if time.monotonic() - self._swept_at < _SWEEP_EVERY_S:
            return
        self._swept_at = time.monotonic()
        # By the wall clock of the machine, which is what the times of these files come from; a leftover is
        # only ever a copy, so removing one too early costs its writer an error and nobody an object.
        old_s = time.time() - _LEFTOVER_S
        with contextlib.suppress(OSError), os.scandir(room) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_ctime < old_s:
                        os.unlink(entry.path)

    def _trouble(self, error: OSError, *, applied: bool) -> Answer:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else self._path
        what = error.strerror or type(error).__name__
        date_s = self._clock()
        if error.errno in _FULL:
            return Unclear(f"{path}: {what}: free some room", sent=applied, date_s=date_s)
        if applied or error.errno not in _REFUSED:
            return Unclear(f"{path}: {what}", date_s=date_s)
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return Denied(f"{path}: {what}: give user {os.geteuid()} the right to read and write there", date_s)
        if error.errno == errno.ENOTDIR:
            return Denied(f"{path}: {what}: the store needs a directory at {self._path}", date_s)
        return Denied(f"{path}: {what}", date_s)


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int | None]:
    try:
        handle = os.open(path, _READ)
    except FileNotFoundError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, path: str, until: float) -> None:
    wait_s = _LOCK_TRY_LOW_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise _TimeOver(path) from None
            time.sleep(min(wait_s, left_s))
            wait_s = min(wait_s * 2, _LOCK_TRY_HIGH_S)


def _make_directories(path: str) -> None:
    """`mkdir -p`, durable: each new directory's name is made to survive a power loss."""
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for fresh in reversed(missing):
        # Another process may have been quicker; where a file stands in the way, the next step says so.
        with contextlib.suppress(FileExistsError):
            os.mkdir(fresh)
        _sync_directory(os.path.dirname(fresh))


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _names(path: str) -> dict[str, bool]:
    """Every name in the directory and whether it is a directory itself; read again while it changes under us.

    An object that is being replaced may slip through one reading of its directory; the readings are put together, and
    whoever uses a name asks whether it is still there.
    """
    names: dict[str, bool] = {}
    for _ in range(3):
        try:
            before = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                for entry in entries:
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if is_directory or entry.is_file(follow_symlinks=False):
                        names[entry.name] = is_directory
            if os.stat(path).st_mtime_ns == before:
                break
        except FileNotFoundError:
            break
    return names


def _keys(path: str, stem: str, piece: str, prefix: str, after: str | None) -> Iterator[tuple[str, str]]:
    """Every key under `path` that begins with `prefix` and sorts after `after`, with its file.

    `stem` is the part of the keys that led here, `piece` the beginning of a segment that was cut.
    """
    for name, is_directory in _names(path).items():
        inner = os.path.join(path, name)
        if not is_directory:
            segment = name_segment(piece + name, is_object=True)
            if segment is not None:
                key = stem + segment
                if key and key.startswith(prefix) and (after is None or key > after):
                    yield key, inner
        elif name.endswith("+"):
            yield from _keys(inner, stem, piece + name[:-1], prefix, after)
        elif not name.startswith("."):
            segment = name_segment(piece + name, is_object=False)
            if segment is None:
                continue
            below = f"{stem}{segment}/"
            if not below.startswith(prefix[: len(below)]):
                continue
            # All keys below begin with `below`: unless `after` does too, they stand on one side of it together.
            if after is None or below > after or after.startswith(below):
                yield from _keys(inner, below, "", prefix, after)
