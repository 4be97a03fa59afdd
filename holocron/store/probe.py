"""Does a store keep the promises that an election stands on? Asked of the store itself, by trying.

The plain promises are tried one by one. Whether conditional writes are atomic shows only between writers that race
(`holocron.store.probe_races`), and there too a pass is evidence and no proof: `hard` gathers more of it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from holocron.clock import SystemClock
from holocron.errors import StoreDenied, StoreError, StoreUnfit, StoreUnreachable
from holocron.layout import PROBE_ROOM
from holocron.store.base import (
    Absent,
    Answer,
    Clash,
    Deadline,
    Delete,
    Denied,
    Found,
    Get,
    List,
    Listed,
    Put,
    Request,
    Store,
    Unclear,
    Written,
)
from holocron.store.drive import drive
from holocron.store.probe_races import Broken, Rounds, race_creates, race_replaces
from holocron.store.retry import asked

__all__ = ["Check", "Effort", "Findings", "Progress", "Versioning", "probe"]

Effort = Literal["normal", "hard"]
Progress = Callable[[str], None]

# Server times come in whole seconds, so two readings of one instant may differ by one.
_CLOCK_GRAIN_S = 1.0

_CREATES = {"normal": Rounds(12, 16, 1.2), "hard": Rounds(300, 32, 40.0)}
_REPLACES = {"normal": Rounds(6, 8, 0.6), "hard": Rounds(150, 16, 20.0)}


class Check(msgspec.Struct, frozen=True):
    """One promise that was tried: what it is called, whether it held, and what was seen."""

    name: str
    ok: bool
    detail: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe found.

    `rounds` is the number of races that were settled. `clock_agrees` says whether the store's Date and LastModified
    are one clock (rule 11 may be used); `clock_off_ms` is the widest gap seen between them, None where the store shows
    no times. `etag_form` is the form of If-Match that the store understands, "quoted" or "bare", where that was found
    out. `versioned` is None where it could not be learned.
    """

    store: str
    ok: bool
    effort: Effort
    checks: tuple[Check, ...]
    rounds: int
    clock_agrees: bool
    clock_off_ms: int | None
    etag_form: str | None
    versioned: bool | None
    took_s: float

    def raise_if_unfit(self) -> None:
        """Return if every promise held; else raise `StoreUnfit` with one line that says which did not."""
        advice = "use another store"
        if self.versioned:
            # Ceph's gateway keeps its promises in a plain bucket, and heeds no condition in a versioned one.
            advice = (
                "it keeps every version of an object, and some servers heed no condition then: try a bucket without"
            )
        for check in self.checks:
            if not check.ok:
                raise StoreUnfit(
                    f"{self.store} is unfit for a cluster: {check.detail} ({check.name}); "
                    f"{advice}, `holocron doctor` shows all that was tried"
                )


@runtime_checkable
class Versioning(Protocol):
    """A store that can tell whether its bucket keeps every version of an object."""

    def versioned(self, timeout_s: float) -> bool | None:
        """Whether old versions are kept, or None if the server does not say. Never raises."""
        ...


def probe(
    store: Store, *, effort: Effort = "normal", attempt_s: float = 3.0, progress: Progress | None = None
) -> Findings:
    """Put the promises of `store` to the test, under a folder of its own that is removed again.

    Takes about a second on a near store with the effort `normal`, about a minute with `hard`. `attempt_s` is how long
    one request may take; each is tried for three times as long. `progress` is called with a sentence before each step.

    Raises `StoreDenied` or `StoreUnreachable` where the store could not be put to the test. A broken promise is not
    raised: it is in the findings.
    """
    began_s = time.monotonic()
    work = _Probe(store, attempt_s, progress or (lambda _: None))
    try:
        work.plain()
        rounds = work.races(effort) if work.fits() else 0
    except StoreError:
        work.clean_up(quietly=True)
        raise
    work.clean_up()
    off_s = max(work.clock_off_s, key=abs, default=None)
    return Findings(
        store=store.uri,
        ok=work.fits(),
        effort=effort,
        checks=tuple(work.checks),
        rounds=rounds,
        clock_agrees=off_s is not None and work.clock_seen and abs(off_s) <= _CLOCK_GRAIN_S,
        clock_off_ms=None if off_s is None else round(off_s * 1000),
        etag_form=_etag_form(store),
        versioned=store.versioned(attempt_s) if isinstance(store, Versioning) else None,
        took_s=round(time.monotonic() - began_s, 3),
    )


class _Probe:
    """One probe at work: it asks, and writes down what it sees."""

    def __init__(self, store: Store, attempt_s: float, progress: Progress) -> None:
        self.store = store
        self.attempt_s = attempt_s
        self.progress = progress
        self.room = f"{PROBE_ROOM}{secrets.token_hex(8)}/"
        self.checks: list[Check] = []
        self.clock_off_s: list[float] = []
        # False once any answer lacked one of the two times: then rule 11 has nothing to stand on.
        self.clock_seen = True

    def fits(self) -> bool:
        return all(check.ok for check in self.checks)

    def plain(self) -> None:
        """Every promise that one writer alone can see broken."""
        for name, sentence, step in (
            ("create if absent", "Creating an object, and creating it again", self._create),
            ("replace if unchanged", "Replacing an object by its ETag, and by a stale one", self._replace),
            ("replace what is missing", "Replacing an object that is not there", self._replace_missing),
            ("list", "Listing what was just written", self._list),
            ("delete", "Deleting an object", self._delete),
        ):
            self.progress(sentence)
            self._note(name, step)

    def races(self, effort: Effort) -> int:
        """Every promise that only writers who race can see broken; the number of races that were settled."""
        settled = 0
        for name, run, rounds in (
            ("racing creates", race_creates, _CREATES[effort]),
            ("racing replacements", race_replaces, _REPLACES[effort]),
        ):

            def step(run: Callable[..., int] = run, rounds: Rounds = rounds) -> str:
                nonlocal settled
                done = run(self.store, self.room, rounds, self.attempt_s, self.read, self.progress)
                settled += done
                return f"{done} races of {rounds.writers} writers, one winner in each"

            self._note(name, step)
        return settled

    def clean_up(self, *, quietly: bool = False) -> None:
        """Remove all that was written; `quietly` after a failure that is already on its way to the caller."""
        self.progress("Removing what the probe wrote")
        try:
            while True:
                page = self._listed(List(self.room))
                for entry in page.entries:
                    self._ask(Delete(entry.key))
                if not page.more:
                    return
        except StoreError:
            if not quietly:
                raise

    # --- the promises -----------------------------------------------------------------------------------------------

    def _create(self) -> str:
        key, body = f"{self.room}create", _body()
        self._must_write(Put(key, body), "it refused to create an object where there was none")
        second = _body()
        self._must_refuse(Put(key, second), "it let a second writer create an object that was already there")
        self._must_hold(key, body, "it refused to create an object again and changed it all the same")
        return "created once, refused the second time, read back as written"

    def _replace(self) -> str:
        key, first, second = f"{self.room}replace", _body(), _body()
        stale = self._must_write(Put(key, first), "it refused to create an object where there was none")
        etag = self._must_write(Put(key, second, stale), "it refused to replace an object by its own ETag")
        if etag == stale:
            raise Broken("a replacement with other content got the same ETag")
        self._must_refuse(Put(key, _body(), stale), "it replaced an object although the ETag was a stale one")
        self._must_hold(key, second, "it refused a replacement and changed the object all the same")
        form = _etag_form(self.store)
        return "replaced by its ETag, refused by a stale one" + (f"; If-Match is understood {form}" if form else "")

    def _replace_missing(self) -> str:
        key, other = f"{self.room}missing", f"{self.room}replace"
        found = self.read(other)
        match = found.etag if isinstance(found, Found) else '"0"'
        self._must_refuse(Put(key, _body(), match), "it replaced an object that was not there")
        if not isinstance(self.read(key), Absent):
            raise Broken("it refused to replace an object that was not there and created it all the same")
        return "refused"

    def _list(self) -> str:
        folder = f"{self.room}list/"
        names = [f"{folder}{number:016d}" for number in range(1, 5)]
        # Written out of order, so that an order by time is not mistaken for one by name.
        for name in (names[2], names[0], names[3], names[1]):
            self._must_write(Put(name, _body()), "it refused to create an object where there was none")
            if name not in [entry.key for entry in self._listed(List(folder)).entries]:
                raise Broken("a LIST did not show an object that was just written")
        if [entry.key for entry in self._listed(List(folder)).entries] != names:
            raise Broken("a LIST did not come in the order of the keys")
        if [entry.key for entry in self._listed(List(folder, names[1])).entries] != names[2:]:
            raise Broken("a LIST that was to start after a key did not")
        page = self._listed(List(folder, names[0], 2))
        if [entry.key for entry in page.entries] != names[1:3] or not page.more:
            raise Broken("a LIST of two keys did not give two and say that more remain")
        return "shows what was just written, in order, and starts where it is told to"

    def _delete(self) -> str:
        key = f"{self.room}delete"
        self._must_write(Put(key, _body()), "it refused to create an object where there was none")
        self._ask(Delete(key))
        if not isinstance(self.read(key), Absent):
            raise Broken("an object that was just deleted could still be read")
        if self._listed(List(key)).entries:
            raise Broken("a LIST still showed an object that was just deleted")
        return "gone at once"

    # --- asking -----------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Found | Absent:
        """What is there now."""
        answer = self._ask(Get(key))
        if isinstance(answer, Found | Absent):
            return answer
        raise Broken(f"it answered a read of our own object with {type(answer).__name__.lower()}")

    def _listed(self, request: List) -> Listed:
        answer = self._ask(request)
        if isinstance(answer, Listed):
            return answer
        raise StoreUnreachable(f"{self.store.uri} answered a LIST with {type(answer).__name__.lower()}")

    def _ask(self, request: Request) -> Answer:
        """The answer, asked again while it is unclear; what asking again cannot mend is raised."""
        deadline = Deadline(SystemClock().now(), 3 * self.attempt_s, self.attempt_s)
        answer = drive(asked(self.store, request, deadline))
        if isinstance(answer, Denied):
            raise StoreDenied(f"{self.store.uri} refuses what a node needs: {answer.error}")
        if isinstance(answer, Unclear) and not (isinstance(request, Put) and answer.sent):
            raise StoreUnreachable(f"{self.store.uri} could not be probed: {answer.error}")
        return answer

    def _must_write(self, put: Put, otherwise: str) -> str:
        """Write, and see that a read shows it at once; the ETag of what was written."""
        answer = self._ask(put)
        found = self.read(put.key)
        there = found if isinstance(found, Found) and found.body == put.body else None
        if isinstance(answer, Written):
            if there is None:
                raise Broken("a read did not show an object that was just written")
            if there.etag != answer.etag:
                raise Broken("a read shows another ETag than the write of the same object did")
            self._compare_clocks(answer, there)
            return answer.etag
        if there is not None:
            # An earlier attempt of ours was applied without our being told.
            return there.etag
        if isinstance(answer, Clash):
            raise Broken(otherwise)
        raise StoreUnreachable(f"{self.store.uri} could not be probed: a write was not settled in time")

    def _must_refuse(self, put: Put, otherwise: str) -> None:
        answer = self._ask(put)
        if isinstance(answer, Written):
            raise Broken(otherwise)
        if not isinstance(answer, Clash):
            raise StoreUnreachable(f"{self.store.uri} could not be probed: a write was not settled in time")

    def _must_hold(self, key: str, body: bytes, otherwise: str) -> None:
        found = self.read(key)
        if not isinstance(found, Found) or found.body != body:
            raise Broken(otherwise)

    def _compare_clocks(self, written: Written, found: Found) -> None:
        """How far LastModified is from the Date of the very answer that confirmed the write."""
        if written.date_s is None or found.modified_s is None:
            self.clock_seen = False
        else:
            self.clock_off_s.append(written.date_s - found.modified_s)

    def _note(self, name: str, step: Callable[[], str]) -> None:
        try:
            self.checks.append(Check(name, True, step()))
        except Broken as broken:
            self.checks.append(Check(name, False, str(broken)))


def _body() -> bytes:
    """Bytes that no one else writes: equal bytes would have equal ETags."""
    return f"a probe of Holocron, safe to delete: {secrets.token_hex(16)}\n".encode()


def _etag_form(store: Store) -> str | None:
    quoted = getattr(store, "quote_etags", None)
    return None if quoted is None else "quoted" if quoted else "bare"
