"""`memory://`: the contract, and what is its own."""

from __future__ import annotations

import pytest

from holocron.store.base import Found, Get, Put, Store, Written
from holocron.store.memory import MemoryStore
from tests.store.contract import StoreContract, ask, create, names, page, read


class TestMemory(StoreContract):
    """The store in memory keeps the contract."""

    rounds = 20

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(prefix="some/prefix")


def test_names_are_shared() -> None:
    """Two stores of one name see the same objects, each under its own prefix; another name sees none of them."""
    try:
        whole, part, other = MemoryStore("shared"), MemoryStore("shared", "a/b"), MemoryStore("other")
        create(part, "k", b"1")
        assert read(whole, "a/b/k").body == b"1"
        assert names(page(whole, "").entries) == ["a/b/k"]
        assert names(page(part, "").entries) == ["k"]
        assert page(other, "").entries == ()
    finally:
        MemoryStore.forget("shared")
        MemoryStore.forget("other")
    assert page(MemoryStore("shared"), "").entries == ()
    MemoryStore.forget("shared")


def test_rooted() -> None:
    """`rooted` gives the same objects under another prefix."""
    store = MemoryStore(prefix="a")
    create(store.rooted("a/b"), "k", b"1")
    assert read(store, "b/k").body == b"1"
    assert store.rooted("a/b").uri == "memory://anonymous/a/b"
    assert MemoryStore("n", "p/").uri == "memory://n/p"
    MemoryStore.forget("n")


def test_clock() -> None:
    """Times come from the clock given, in whole seconds as a server's do (rule 11)."""
    now = [1000.9]
    store = MemoryStore(clock=lambda: now[0])
    create(store, "k", b"1")
    now[0] = 1007.2
    found = read(store, "k")
    assert (found.modified_s, found.date_s) == (1000.0, 1007.0)


def test_equal_bytes_new_etag() -> None:
    """Each write has an ETag of its own even for equal bytes: no compare-and-swap is blind (design section 2)."""
    store = MemoryStore()
    etag = create(store, "k", b"same")
    answer = ask(store, Put("k", b"same", match=etag))
    assert isinstance(answer, Written)
    assert answer.etag != etag


def test_bodies_are_copies() -> None:
    """What is stored does not change with the caller's buffer."""
    store = MemoryStore()
    buffer = bytearray(b"abc")
    ask(store, Put("k", buffer))  # type: ignore[arg-type] # a caller without types may well do this
    buffer[0] = 0
    answer = ask(store, Get("k"))
    assert isinstance(answer, Found)
    assert answer.body == b"abc"
