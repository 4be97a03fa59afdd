"""The probe: it passes stores that keep their promises, and names the promise that the others break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from holocron.errors import StoreDenied, StoreUnfit, StoreUnreachable
from holocron.store.base import (
    Absent,
    Answer,
    Clash,
    Conflict,
    Delete,
    Deleted,
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
from holocron.store.memory import MemoryStore
from holocron.store.probe import Findings, probe
from holocron.store.probe_races import Broken, judge
from holocron.store.s3 import S3Store
from holocron.testing.server import Server
from tests.s3.dishonest import checks_then_acts, ignores_conditions
from tests.s3.faults import FaultProxy, conflict, deny, fail_after, hang, lose_response, on, reset, storm

# What a probe of a near store has to stay below on a machine that is busy with other things.
SECONDS = 20.0

Twist = Callable[[Store, Request, float], Answer]


class Twisted:
    """A store in memory whose answers pass through a twist."""

    def __init__(self, twist: Twist) -> None:
        self.inner = MemoryStore()
        self.twist = twist

    @property
    def uri(self) -> str:
        return "memory://twisted"

    def perform(self, request: Request, timeout_s: float) -> Answer:
        return self.twist(self.inner, request, timeout_s)

    def close(self) -> None:
        self.inner.close()


def failed(findings: Findings) -> list[str]:
    """The names of the promises that were broken."""
    return [check.name for check in findings.checks if not check.ok]


def leftovers(store: Store) -> list[str]:
    """The keys that are there."""
    listed = store.perform(List(""), 10)
    assert isinstance(listed, Listed)
    return [entry.key for entry in listed.entries]


# --- stores that keep their promises --------------------------------------------------------------------------------


def test_a_good_store_passes_and_is_left_clean() -> None:
    """Every promise is tried and held, races were run, and nothing of the probe stays behind."""
    store = MemoryStore()
    findings = probe(store)
    assert findings.ok
    assert failed(findings) == []
    assert findings.rounds > 0
    assert findings.clock_agrees
    assert leftovers(store) == []
    findings.raise_if_unfit()


def test_a_good_server_passes_within_seconds(s3_server: Server) -> None:
    """Over real HTTP the probe passes, finds the form of If-Match, and leaves the prefix clean."""
    store = S3Store("holocron", "probe/good", endpoint_url=s3_server.url)
    began = time.monotonic()
    findings = probe(store)
    assert time.monotonic() - began < SECONDS
    assert findings.ok
    assert findings.etag_form in {"quoted", "bare"}
    assert findings.clock_agrees
    assert leftovers(store) == []


def test_progress_is_told_in_sentences() -> None:
    """Whoever waits is told what is being tried, step by step."""
    told: list[str] = []
    probe(MemoryStore(), progress=told.append)
    assert told[0] == "Creating an object, and creating it again"
    assert any("writers race to create" in sentence for sentence in told)
    assert any("writers race to replace" in sentence for sentence in told)


def test_findings_can_be_shown_as_json() -> None:
    """What was found survives a trip through JSON, for `doctor -o json`."""
    findings = probe(MemoryStore())
    assert msgspec.json.decode(msgspec.json.encode(findings), type=Findings) == findings


# --- servers that do not --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["ignores conditions", "checks, then acts"])
def dishonest(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """A server that breaks the promise of conditional writes."""
    with ignores_conditions() if request.param == "ignores conditions" else checks_then_acts() as server:
        yield request.param, server


def test_a_dishonest_server_is_refused_within_seconds(dishonest: tuple[str, Server]) -> None:
    """Both ways of breaking conditional writes are found over real HTTP and named in one line (design section 3)."""
    how, server = dishonest
    store = S3Store("holocron", "probe/bad", endpoint_url=server.url)
    began = time.monotonic()
    findings = probe(store)
    assert time.monotonic() - began < SECONDS
    assert not findings.ok
    with pytest.raises(StoreUnfit) as raised:
        findings.raise_if_unfit()
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("s3://holocron/probe/bad is unfit for a cluster: ")
    if how == "ignores conditions":
        assert "already there" in line
    else:
        assert "racing writers" in line
        assert set(failed(findings)) == {"racing creates", "racing replacements"}
    assert leftovers(store) == []


def second_create_stores(store: Store, request: Request, timeout_s: float) -> Answer:
    """Says 412 to a second create, and stores it."""
    answer = store.perform(request, timeout_s)
    if isinstance(request, Put) and request.match is None and isinstance(answer, Clash):
        store.perform(Delete(request.key), timeout_s)
        store.perform(request, timeout_s)
    return answer


def any_etag_matches(store: Store, request: Request, timeout_s: float) -> Answer:
    """Replaces whatever the ETag."""
    if isinstance(request, Put) and request.match is not None:
        found = store.perform(Get(request.key), timeout_s)
        if isinstance(found, Found):
            return store.perform(Put(request.key, request.body, found.etag), timeout_s)
    return store.perform(request, timeout_s)


def no_etag_matches(store: Store, request: Request, timeout_s: float) -> Answer:
    """Refuses every replacement."""
    if isinstance(request, Put) and request.match is not None:
        return Clash()
    return store.perform(request, timeout_s)


def replaces_nothing(store: Store, request: Request, timeout_s: float) -> Answer:
    """Takes a replacement of what is not there for a creation."""
    if isinstance(request, Put) and isinstance(store.perform(Get(request.key), timeout_s), Absent):
        return store.perform(Put(request.key, request.body), timeout_s)
    return store.perform(request, timeout_s)


def one_etag_for_all(store: Store, request: Request, timeout_s: float) -> Answer:
    """Has one ETag for everything; as the condition always holds, replacements always work."""
    answer = any_etag_matches(store, request, timeout_s)
    if isinstance(answer, Written | Found):
        return msgspec.structs.replace(answer, etag='"same"')
    return answer


def lists_backward(store: Store, request: Request, timeout_s: float) -> Answer:
    """Lists from the last key to the first."""
    answer = store.perform(request, timeout_s)
    return Listed(answer.entries[::-1], answer.more) if isinstance(answer, Listed) else answer


def lists_from_the_start(store: Store, request: Request, timeout_s: float) -> Answer:
    """Knows no start-after."""
    if isinstance(request, List):
        return store.perform(List(request.prefix, None, request.limit), timeout_s)
    return store.perform(request, timeout_s)


def keeps_what_is_deleted(store: Store, request: Request, timeout_s: float) -> Answer:
    """Says that it deleted, and does not, the first few times."""
    if isinstance(request, Delete) and request.key.endswith("/delete"):
        return Deleted()
    return store.perform(request, timeout_s)


def lists_late() -> Twist:
    """Shows an object in a LIST only after the next write."""
    hidden: list[str] = []

    def twist(store: Store, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, Put) and request.match is None:
            hidden[:] = [request.key]
        answer = store.perform(request, timeout_s)
        if isinstance(answer, Listed):
            return Listed(tuple(entry for entry in answer.entries if entry.key not in hidden), answer.more)
        return answer

    return twist


def reads_late() -> Twist:
    """Answers a first read after a write with what was there before."""
    old: dict[str, Answer] = {}

    def twist(store: Store, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, Put) and request.match is not None:
            old[request.key] = store.perform(Get(request.key), timeout_s)
        if isinstance(request, Get) and request.key in old:
            return old.pop(request.key)
        return store.perform(request, timeout_s)

    return twist


@pytest.mark.parametrize(
    ("twist", "promise"),
    [
        (second_create_stores, "create if absent"),
        (any_etag_matches, "replace if unchanged"),
        (no_etag_matches, "replace if unchanged"),
        (one_etag_for_all, "replace if unchanged"),
        (replaces_nothing, "replace what is missing"),
        (lists_backward, "list"),
        (lists_from_the_start, "list"),
        (lists_late(), "list"),
        (keeps_what_is_deleted, "delete"),
    ],
    ids=lambda value: getattr(value, "__qualname__", value),
)
def test_each_broken_promise_is_named(twist: Twist, promise: str) -> None:
    """A store that breaks one promise is unfit, and the check of that promise is the one that says so."""
    findings = probe(Twisted(twist))
    assert promise in failed(findings)
    assert findings.rounds == 0
    with pytest.raises(StoreUnfit, match=r"memory://twisted is unfit"):
        findings.raise_if_unfit()


def test_a_stale_read_is_no_good() -> None:
    """A read that shows what was there before a write that was answered is a broken promise."""
    assert not probe(Twisted(reads_late())).ok


def test_times_that_disagree_are_reported_and_no_reason_to_refuse() -> None:
    """A store whose LastModified is not on its Date's clock is fit, but rule 11 may not be used on it."""

    def an_hour_off(store: Store, request: Request, timeout_s: float) -> Answer:
        answer = store.perform(request, timeout_s)
        if isinstance(answer, Found) and answer.modified_s is not None:
            return msgspec.structs.replace(answer, modified_s=answer.modified_s - 3600)
        return answer

    findings = probe(Twisted(an_hour_off))
    assert findings.ok
    assert not findings.clock_agrees
    assert findings.clock_off_ms is not None
    assert 3_599_000 <= findings.clock_off_ms <= 3_602_000


def test_a_store_without_times_is_fit() -> None:
    """Where a store shows no Date, nothing is known of its clock, and rule 11 may not be used."""

    def timeless(store: Store, request: Request, timeout_s: float) -> Answer:
        answer = store.perform(request, timeout_s)
        return msgspec.structs.replace(answer, date_s=None)

    findings = probe(Twisted(timeless))
    assert (findings.ok, findings.clock_agrees, findings.clock_off_ms) == (True, False, None)


# --- stores that cannot be probed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Put, Get, List, Delete])
def test_a_refusal_is_not_a_broken_promise(kind: type[Request]) -> None:
    """403 to anything that a node needs is `StoreDenied`, with the store's own advice (design section 3)."""

    def refuse(store: Store, request: Request, timeout_s: float) -> Answer:
        return Denied("ask for s3:Everything") if isinstance(request, kind) else store.perform(request, timeout_s)

    with pytest.raises(StoreDenied, match="ask for s3:Everything"):
        probe(Twisted(refuse))


@pytest.mark.parametrize("kind", [Put, Get, List, Delete])
def test_silence_is_not_a_broken_promise(kind: type[Request]) -> None:
    """A store that does not answer is `StoreUnreachable`, whatever the request."""

    def keep_silent(store: Store, request: Request, timeout_s: float) -> Answer:
        return Unclear("nobody there") if isinstance(request, kind) else store.perform(request, timeout_s)

    with pytest.raises(StoreUnreachable, match="could not be probed"):
        probe(Twisted(keep_silent), attempt_s=0.05)


def test_a_refusal_in_the_middle_leaves_nothing_behind() -> None:
    """When races are refused, what the probe wrote before is removed again."""

    def refuse_races(store: Store, request: Request, timeout_s: float) -> Answer:
        racing = isinstance(request, Put) and "/race/" in request.key
        return Denied("no races here") if racing else store.perform(request, timeout_s)

    store = Twisted(refuse_races)
    with pytest.raises(StoreDenied, match="no races here"):
        probe(store)
    assert leftovers(store.inner) == []


@pytest.mark.parametrize("fault", [lose_response, fail_after, reset, storm, conflict])
def test_a_fault_here_and_there_does_not_condemn_a_store(fault: Callable[..., None], s3_server: Server) -> None:
    """Unknown outcomes are settled by reading back: a good server behind a bad network passes (I10)."""
    with FaultProxy(s3_server.url) as proxy:
        rules = [
            proxy.rule(on("PUT", part), fault, times=1) for part in ("/create", "/replace", "/list/", "/race/", "/swap")
        ]
        findings = probe(S3Store("holocron", f"probe/{fault.__name__}", endpoint_url=proxy.url), attempt_s=5)
    assert findings.ok, findings.checks
    assert all(rule.hits == 1 for rule in rules)


def test_a_black_hole_ends_in_time(s3_server: Server) -> None:
    """Against a server that takes requests and never answers, the probe gives up with `StoreUnreachable`."""
    with FaultProxy(s3_server.url) as proxy:
        proxy.rule(on("PUT"), hang)
        with pytest.raises(StoreUnreachable):
            probe(S3Store("holocron", "probe/hole", endpoint_url=proxy.url), attempt_s=0.3)


def test_403_over_http_is_denied(s3_server: Server) -> None:
    """A server that answers 403 to writes is `StoreDenied` and not unfit."""
    with FaultProxy(s3_server.url) as proxy:
        proxy.rule(on("PUT"), deny)
        with pytest.raises(StoreDenied):
            probe(S3Store("holocron", "probe/denied", endpoint_url=proxy.url))


def test_a_bucket_that_tells_its_versioning_is_asked() -> None:
    """Where a store can say whether old versions are kept, the findings have it."""

    class Versioned(MemoryStore):
        def versioned(self, timeout_s: float) -> bool | None:
            return timeout_s > 0

    assert probe(Versioned()).versioned is True
    assert probe(MemoryStore()).versioned is None


# --- the judgement of a race ----------------------------------------------------------------------------------------

ONE, TWO, OLD = b"one", b"two", b"old"
WON, LOST, ASK_AGAIN, UNTOLD = Written('"1"'), Clash(), Conflict(), Unclear("no answer")


def there(body: bytes) -> Found:
    return Found(body, '"1"')


@pytest.mark.parametrize(
    ("answers", "now", "before", "settled"),
    [
        ([WON, LOST], there(ONE), None, True),
        ([LOST, WON], there(TWO), OLD, True),
        ([WON, UNTOLD], there(ONE), None, True),
        # Everyone was told nothing, or 500, as Ceph tells some: the winner is whoever is found there.
        ([UNTOLD, UNTOLD], there(TWO), None, True),
        ([LOST, UNTOLD], there(TWO), OLD, True),
        # Nobody won, and nobody was told so: that settles nothing.
        ([ASK_AGAIN, ASK_AGAIN], Absent(), None, False),
        ([UNTOLD, UNTOLD], Absent(), None, False),
        ([LOST, ASK_AGAIN], there(OLD), OLD, False),
    ],
)
def test_an_honest_race(answers: list[Answer], now: Found | Absent, before: bytes | None, settled: bool) -> None:
    """At most one winner, whose bytes are there; unknown outcomes are settled by what is found (I3)."""
    assert judge("create one object", answers, [ONE, TWO], now, before) is settled


@pytest.mark.parametrize(
    ("answers", "now", "before", "words"),
    [
        ([WON, WON], there(TWO), None, "2 of 2 racing writers"),
        ([WON, LOST], there(TWO), None, "another wrote"),
        ([WON, UNTOLD], there(TWO), None, "another wrote"),
        ([WON, LOST], Absent(), None, "nobody wrote"),
        ([UNTOLD, LOST], there(TWO), None, "had lost"),
        ([UNTOLD, LOST], there(b"strange"), None, "none of the racing writers"),
        ([UNTOLD, LOST], Absent(), OLD, "none of the racing writers"),
    ],
)
def test_a_dishonest_race(answers: list[Answer], now: Found | Absent, before: bytes | None, words: str) -> None:
    """Two winners, or a winner whose bytes are not there, or a loser whose bytes are, show a store to be unfit (I3)."""
    with pytest.raises(Broken, match=words):
        judge("create one object", answers, [ONE, TWO], now, before)


def test_a_refused_race_is_a_refusal() -> None:
    """403 to any of the writers says nothing of the promise."""
    with pytest.raises(StoreDenied, match="closed"):
        judge("create one object", [WON, Denied("closed")], [ONE, TWO], there(ONE), None)
