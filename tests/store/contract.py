"""The one contract that every store keeps; each store's test module subclasses `StoreContract` with its own `store`."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

import pytest

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
    Store,
    Unclear,
    Written,
)
from holocron.store.race import race, race_threads

T = TypeVar("T")
# Generous: what is tested is the answer and not the speed.
TIME_S = 30.0

ODD_KEYS = (
    "plain",
    "a b",
    " ",
    "é/ü/ß",
    "日本語/キー",
    "🜁",
    "a+b",
    "100%",
    "%2F",
    "%",
    "a#b",
    "what?",
    "a&b=c",
    "'single' \"double\"",
    "~*!();:@$,",
    "UPPER/lower",
    "upper/lower",
    "...",
    "trailing.",
    ".hidden",
    "_/-/=",
    "back\\slash",
    "<tag>",
    "a{b}c[d]|^`",
)
# Keys that S3 takes and that stores whose keys are paths do not.
PATHLESS_KEYS = ("a", "a/", "a//b", "a/b", "/lead", ".", "..", "./../x", "a/./b", "tab\there")


class LostAnswers:
    """A store whose answers to writes are lost on their way back, after the write was applied."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def uri(self) -> str:
        return self.inner.uri

    def perform(self, request: Request, timeout_s: float) -> Answer:
        answer = self.inner.perform(request, timeout_s)
        return Unclear("the answer was lost") if isinstance(request, Put | Delete) else answer

    def close(self) -> None:
        self.inner.close()


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work(0)` to `work(count - 1)`, each on a thread of its own, begun together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> T:
        barrier.wait(TIME_S)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def ask(store: Store, request: Request) -> Answer:
    return store.perform(request, TIME_S)


def create(store: Store, key: str, body: bytes) -> str:
    """Create `key` and give its ETag."""
    answer = ask(store, Put(key, body))
    assert isinstance(answer, Written), answer
    return answer.etag


def read(store: Store, key: str) -> Found:
    answer = ask(store, Get(key))
    assert isinstance(answer, Found), answer
    return answer


def page(store: Store, prefix: str, after: str | None = None, limit: int = PAGE) -> Listed:
    answer = ask(store, List(prefix, after, limit))
    assert isinstance(answer, Listed), answer
    return answer


def names(entries: Sequence[Entry]) -> list[str]:
    return [entry.key for entry in entries]


class StoreContract:
    """What is promised of every store. A subclass brings a fixture `store`: a fresh, empty one."""

    # False for a store that cannot replace if unchanged (obstore's own local store).
    replaces: ClassVar[bool] = True
    # False for a store that cuts a page of a thousand short now and then, as Ceph does, and says that there is more.
    full_pages: ClassVar[bool] = True
    # False for a store whose answers carry no time of the server's.
    tells_time: ClassVar[bool] = True
    odd_keys: ClassVar[tuple[str, ...]] = ODD_KEYS + PATHLESS_KEYS
    # The longest single segment and the longest key, in bytes, that the store must take.
    longest_segment: ClassVar[int] = 900
    longest_key: ClassVar[int] = 900
    rounds: ClassVar[int] = 5
    racers: ClassVar[int] = 64

    # --- outcomes ---------------------------------------------------------------------------------------------------

    def test_absent(self, store: Store) -> None:
        """What was never written is absent, said as such (design section 3: a 404 on a read is "absent")."""
        assert isinstance(ask(store, Get("epochs/0000000000000001.json")), Absent)

    def test_create_and_read(self, store: Store) -> None:
        """A created object is read back whole, under the one ETag that write, read and LIST all tell."""
        etag = create(store, "epochs/0000000000000001.json", b'{"epoch": 1}')
        found = read(store, "epochs/0000000000000001.json")
        (entry,) = page(store, "epochs/").entries
        assert (found.body, found.etag) == (b'{"epoch": 1}', etag)
        assert (entry.key, entry.size) == ("epochs/0000000000000001.json", 12)
        assert entry.etag == page(store, "epochs/").entries[0].etag
        assert entry.etag.partition("\n")[0] == etag.partition("\n")[0]

    def test_create_once(self, store: Store) -> None:
        """Create-if-absent on a key that is taken is a clash and changes nothing (design section 3)."""
        create(store, "k", b"first")
        assert isinstance(ask(store, Put("k", b"second")), Clash)
        assert isinstance(ask(store, Put("k", b"first")), Clash)
        assert read(store, "k").body == b"first"

    def test_replace_unchanged(self, store: Store) -> None:
        """Replace-if-unchanged applies once: the ETag it consumed matches no more (design section 3)."""
        if not self.replaces:
            assert isinstance(ask(store, Put("k", b"2", match=create(store, "k", b"1"))), Denied)
            return
        first = create(store, "k", b"1")
        second = ask(store, Put("k", b"2", match=first))
        assert isinstance(second, Written)
        assert second.etag != first
        assert isinstance(ask(store, Put("k", b"3", match=first)), Clash)
        assert (read(store, "k").body, read(store, "k").etag) == (b"2", second.etag)
        assert isinstance(ask(store, Put("k", b"3", match=second.etag)), Written)
        assert read(store, "k").body == b"3"

    def test_replace_with_the_etag_of_a_read(self, store: Store) -> None:
        """The ETag that a read told is good for a replacement."""
        create(store, "k", b"1")
        answer = ask(store, Put("k", b"2", match=read(store, "k").etag))
        assert isinstance(answer, Written if self.replaces else Denied)
        assert read(store, "k").body == (b"2" if self.replaces else b"1")

    def test_replace_absent(self, store: Store) -> None:
        """Replace-if-unchanged on a missing key is a clash, whatever the server's code for it, and creates nothing."""
        etag = create(store, "other", b"1")
        assert isinstance(ask(store, Put("k", b"2", match=etag)), Clash if self.replaces else Denied)
        assert isinstance(ask(store, Get("k")), Absent)

    def test_replace_deleted(self, store: Store) -> None:
        """An object that was deleted and created anew is not the one that an older ETag names."""
        if not self.replaces:
            pytest.skip("this store cannot replace if unchanged")
        etag = create(store, "k", b"one")
        ask(store, Delete("k"))
        create(store, "k", b"two")
        assert isinstance(ask(store, Put("k", b"three", match=etag)), Clash)
        assert read(store, "k").body == b"two"

    def test_delete(self, store: Store) -> None:
        """A deleted key is absent and free again; deleting what is not there is no error."""
        create(store, "k", b"1")
        create(store, "k2", b"1")
        assert isinstance(ask(store, Delete("k")), Deleted)
        assert isinstance(ask(store, Get("k")), Absent)
        assert names(page(store, "").entries) == ["k2"]
        assert isinstance(ask(store, Delete("k")), Deleted)
        create(store, "k", b"2")
        assert read(store, "k").body == b"2"

    def test_oversize(self, store: Store) -> None:
        """An object above the limit of a read is named as such with its size; one at the limit is read (I12)."""
        etag = create(store, "k", b"x" * 1000)
        assert isinstance(ask(store, Get("k", limit_bytes=1000)), Found)
        answer = ask(store, Get("k", limit_bytes=999))
        assert isinstance(answer, Oversize)
        assert (answer.size, answer.etag) == (1000, etag)
        assert isinstance(ask(store, Get("k", limit_bytes=0)), Oversize)

    def test_times(self, store: Store) -> None:
        """Answers carry the server's own times, and those of one write and its read agree (rule 11)."""
        create(store, "k", b"1")
        found = read(store, "k")
        assert found.modified_s is not None
        if self.tells_time:
            requests: list[Request] = [Get("k"), Get("none"), List(""), Put("k", b"2"), Put("k2", b"2"), Delete("k")]
            assert all(ask(store, request).date_s is not None for request in requests)
            assert found.date_s is not None
            assert -2 <= found.date_s - found.modified_s < 60

    def test_no_time(self, store: Store) -> None:
        """A request for which no time is left is not sent, and says so."""
        answer = store.perform(Put("k", b"1"), 0.0)
        assert isinstance(answer, Unclear)
        assert not answer.sent
        assert isinstance(ask(store, Get("k")), Absent)

    def test_closed(self, store: Store) -> None:
        """After `close`, every answer is unclear and nothing is sent."""
        create(store, "k", b"1")
        store.close()
        for request in (Get("k"), Put("k2", b"1"), List(""), Delete("k")):
            answer = ask(store, request)
            assert isinstance(answer, Unclear), answer
            assert not answer.sent
        store.close()

    # --- keys and bodies --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 4096, 3 * 1024 * 1024 + 1])
    def test_bodies(self, store: Store, size: int) -> None:
        """Any bytes come back as they went, from none at all to megabytes."""
        body = secrets.token_bytes(size)
        etag = create(store, "k", body)
        assert read(store, "k").body == body
        if self.replaces:
            assert isinstance(ask(store, Put("k", body[::-1] + b"!", match=etag)), Written)
            assert read(store, "k").body == body[::-1] + b"!"

    def test_odd_keys(self, store: Store) -> None:
        """Keys with blanks, signs, other scripts and dots are all apart, come back as they went, and are listed so."""
        etags = {key: create(store, key, key.encode()) for key in self.odd_keys}
        for key, etag in etags.items():
            found = read(store, key)
            assert (found.body, found.etag) == (key.encode(), etag)
        # The order of S3: that of the UTF-8 bytes.
        assert names(page(store, "").entries) == sorted(self.odd_keys, key=str.encode)
        for key in self.odd_keys:
            rest = sorted((other for other in self.odd_keys if other.encode() > key.encode()), key=str.encode)
            assert names(page(store, "", after=key).entries) == rest
        for key in self.odd_keys:
            assert isinstance(ask(store, Delete(key)), Deleted)
            assert isinstance(ask(store, Get(key)), Absent)
        assert page(store, "").entries == ()

    def test_long_keys(self, store: Store) -> None:
        """A long key, in one segment or in many, is stored; a key above the limit is refused and nothing else."""
        long = "s" * self.longest_segment
        deep = ("d/" * self.longest_key)[: self.longest_key - 1] + "e"
        for key in (long, deep):
            create(store, key, b"1")
            assert read(store, key).body == b"1"
        assert sorted([long, deep]) == names(page(store, "").entries)
        assert isinstance(ask(store, Put("k" * 1025, b"1")), Denied)

    @pytest.mark.parametrize("key", ["", "nul\0", "half \ud800"])
    def test_impossible_keys(self, store: Store, key: str) -> None:
        """A key that no store could hold is refused with a line, and nothing is raised."""
        for request in (Get(key), Put(key, b"1"), Delete(key)):
            answer = ask(store, request)
            assert isinstance(answer, Denied), answer
            assert "\n" not in answer.error

    # --- LIST -------------------------------------------------------------------------------------------------------

    def test_list_prefix(self, store: Store) -> None:
        """LIST gives the keys under a prefix, which may end anywhere, and no other."""
        for key in ("epochs/1", "epochs/2", "epochs.floor.json", "epoch", "members/a", "epochs2/1"):
            create(store, key, b"1")
        assert names(page(store, "epochs/").entries) == ["epochs/1", "epochs/2"]
        assert names(page(store, "epochs").entries) == ["epochs.floor.json", "epochs/1", "epochs/2", "epochs2/1"]
        assert names(page(store, "epochs/2").entries) == ["epochs/2"]
        assert names(page(store, "none/").entries) == []
        assert len(page(store, "").entries) == 6

    def test_list_after(self, store: Store) -> None:
        """Start-after is exclusive, and need be neither a key that exists nor one under the prefix."""
        keys = [f"e/{number:04d}" for number in range(0, 10, 2)]
        for key in (*keys, "a", "z"):
            create(store, key, b"1")
        assert names(page(store, "e/", after="e/0004").entries) == ["e/0006", "e/0008"]
        assert names(page(store, "e/", after="e/0003").entries) == ["e/0004", "e/0006", "e/0008"]
        assert names(page(store, "e/", after="b").entries) == keys
        assert names(page(store, "e/", after="e/").entries) == keys
        assert names(page(store, "e/", after="e/0008").entries) == []
        assert names(page(store, "e/", after="f").entries) == []
        assert names(page(store, "", after="e/0008").entries) == ["z"]

    def test_list_pages(self, store: Store) -> None:
        """Pages of any size join to the whole, and `more` is false on the last alone."""
        keys = [f"e/{number:04d}" for number in range(7)]
        for key in keys:
            create(store, key, b"1")
        gathered: list[str] = []
        pages = 0
        while True:
            one = page(store, "e/", after=gathered[-1] if gathered else None, limit=3)
            gathered += names(one.entries)
            pages += 1
            if not one.more:
                break
            assert len(one.entries) == 3
        assert (gathered, pages) == (keys, 3)
        assert not page(store, "e/", limit=7).more
        assert page(store, "e/", limit=6).more

    def test_list_thousands(self, store: Store) -> None:
        """More keys than one page holds are all found, in order (rule 12 keeps epochs to one page, not members)."""
        keys = [f"members/{number:06d}.json" for number in range(PAGE + 30)]
        with ThreadPoolExecutor(8) as pool:
            assert all(isinstance(answer, Written) for answer in pool.map(lambda key: ask(store, Put(key, b"1")), keys))
        gathered: list[str] = []
        sizes: list[int] = []
        more = True
        while more:
            one = page(store, "members/", after=gathered[-1] if gathered else None, limit=5000)
            more = one.more
            gathered += names(one.entries)
            sizes.append(len(one.entries))
        assert gathered == keys
        assert all(0 < size <= PAGE for size in sizes), sizes
        assert sizes == [PAGE, 30] or not self.full_pages

    # --- races ------------------------------------------------------------------------------------------------------

    def _one_winner(self, store: Store, key: str, bodies: list[bytes], answers: list[Answer]) -> None:
        winner = read(store, key).body
        assert winner in bodies
        told = [body for body, answer in zip(bodies, answers, strict=True) if isinstance(answer, Written)]
        assert told in ([winner], []), f"{len(told)} writers of {key} were told that they won"
        for body, answer in zip(bodies, answers, strict=True):
            # A server in trouble may leave a loser, or even the winner, without a clear word; reading settles it.
            assert isinstance(answer, Written | Clash | Conflict | Unclear), answer
            if body == winner:
                assert isinstance(answer, Written | Unclear), answer

    def test_race_of_creates(self, store: Store) -> None:
        """Of 64 threads that create one key exactly one wins, every round (I3)."""
        for number in range(self.rounds):
            key = f"epochs/{number:016d}.json"
            bodies = [b"%d-%d" % (number, racer) for racer in range(self.racers)]
            self._one_winner(store, key, bodies, race_threads(store, key, bodies, TIME_S))

    def test_race_of_last_bytes(self, store: Store) -> None:
        """Of 64 creates let go together, as closely as the store allows, exactly one wins, every round (I3)."""
        for number in range(self.rounds):
            key = f"epochs/{number:016d}.json"
            bodies = [b"%d-%d" % (number, racer) for racer in range(self.racers)]
            self._one_winner(store, key, bodies, race(store, key, bodies, TIME_S))

    def test_race_of_empty_bodies(self, store: Store) -> None:
        """A race of nobody has no answers; a race of empty bodies has one winner."""
        assert race(store, "k", [], TIME_S) == []
        answers = race(store, "k", [b"", b""], TIME_S)
        assert sum(isinstance(answer, Written) for answer in answers) == 1
        assert read(store, "k").body == b""

    def test_counter(self, store: Store) -> None:
        """A counter that threads raise by compare-and-swap loses nothing (design section 3)."""
        if not self.replaces:
            pytest.skip("this store cannot replace if unchanged")
        create(store, "counter", b"0 start")
        threads, times = 8, 12

        def raise_it(_: int) -> None:
            for _ in range(times):
                while True:
                    found = read(store, "counter")
                    body = b"%d %s" % (int(found.body.split()[0]) + 1, secrets.token_hex(8).encode())
                    answer = ask(store, Put("counter", body, match=found.etag))
                    if isinstance(answer, Written):
                        break
                    assert isinstance(answer, Clash | Conflict | Unclear), answer
                    # An unknown outcome whose nonce is there is a win told late. Were it there no more, this counter
                    # could not tell; but a server that says 500 to a loser has not applied what it says it of.
                    if isinstance(answer, Unclear) and read(store, "counter").body == body:
                        break

        at_once(threads, raise_it)
        assert int(read(store, "counter").body.split()[0]) == threads * times

    def test_replace_against_delete(self, store: Store) -> None:
        """Where a replacement and a deletion race, the object afterwards is gone or new, and never the old."""
        if not self.replaces:
            pytest.skip("this store cannot replace if unchanged")
        for number in range(self.rounds):
            key = f"k{number}"
            etag = create(store, key, b"old")
            requests: list[Request] = [Put(key, b"new", match=etag), Delete(key)]
            replaced, _ = at_once(2, lambda which, asked=requests: ask(store, asked[which]))  # type: ignore[misc] # mypy cannot type a default of a lambda
            after = ask(store, Get(key))
            if isinstance(replaced, Clash):
                assert isinstance(after, Absent)
            assert isinstance(after, Absent) or (isinstance(after, Found) and after.body == b"new")

    def test_readers_see_whole_objects(self, store: Store) -> None:
        """While an object is rewritten, every read sees one whole version, and versions never go back."""
        if not self.replaces:
            pytest.skip("this store cannot replace if unchanged")
        done = threading.Event()

        def version(number: int) -> bytes:
            return b"%06d" % number * 2000

        def work(which: int) -> None:
            if which == 0:
                etag = create(store, "k", version(0))
                try:
                    for number in range(1, 40):
                        answer = ask(store, Put("k", version(number), match=etag))
                        assert isinstance(answer, Written), answer
                        etag = answer.etag
                finally:
                    done.set()
                return
            last = 0
            while not done.is_set():
                answer = ask(store, Get("k"))
                if isinstance(answer, Found):
                    seen = int(answer.body[:6])
                    assert answer.body == version(seen)
                    assert seen >= last
                    last = seen

        at_once(4, work)
        assert read(store, "k").body == version(39)

    # --- answers that are lost --------------------------------------------------------------------------------------

    def test_lost_answer_to_a_create(self, store: Store) -> None:
        """A create whose answer was lost meets itself as a clash; the object carries our nonce ("won, told late")."""
        body = secrets.token_hex(8).encode()
        assert isinstance(LostAnswers(store).perform(Put("k", body), TIME_S), Unclear)
        assert isinstance(ask(store, Put("k", body)), Clash)
        assert read(store, "k").body == body

    def test_lost_answer_to_a_replacement(self, store: Store) -> None:
        """A replacement whose answer was lost meets itself as a clash; the object carries our nonce."""
        if not self.replaces:
            pytest.skip("this store cannot replace if unchanged")
        etag = create(store, "k", b"1")
        body = secrets.token_hex(8).encode()
        assert isinstance(LostAnswers(store).perform(Put("k", body, match=etag), TIME_S), Unclear)
        assert isinstance(ask(store, Put("k", body, match=etag)), Clash)
        assert read(store, "k").body == body
