"""What can be a key, the same for every store, so that what works on one works on all."""

from __future__ import annotations

from holocron.store.base import Delete, Get, List, Put, Request

__all__ = ["KEY_LIMIT_BYTES", "key_fault", "request_fault", "root_of"]

# S3's own limit, the store's root included.
KEY_LIMIT_BYTES = 1024


def root_of(prefix: str) -> str:
    """What stands before every key of a store that is rooted at `prefix`."""
    bare = prefix.strip("/")
    return f"{bare}/" if bare else ""


def key_fault(root: str, key: str) -> str | None:
    """Why `key` cannot name an object under `root`, as one line, or None if it can."""
    if not key:
        return "an empty key names no object"
    return _text_fault(root, key)


def _text_fault(root: str, key: str) -> str | None:
    try:
        size = len((root + key).encode())
    except UnicodeEncodeError:
        return f"the key {key[:80]!r} is not valid Unicode"
    if "\0" in key:
        return f"the key {key[:80]!r} holds a NUL"
    if size > KEY_LIMIT_BYTES:
        return f"the key {key[:80]!r}… is {size} bytes long with its prefix; {KEY_LIMIT_BYTES} is the most"
    return None


def request_fault(root: str, request: Request) -> str | None:
    """Why no store could perform `request`, as one line, or None if one could."""
    match request:
        case Get() | Put() | Delete():
            return key_fault(root, request.key)
        case List():
            if request.limit < 1:
                return f"a page of {request.limit} keys makes no sense"
            return _text_fault(root, request.prefix) or (request.after and _text_fault(root, request.after)) or None
