"""The fault proxy: each fault is what its name says, to the store and to the server behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from holocron.store.base import Absent, Clash, Conflict, Denied, Found, Get, List, Listed, Put, Unclear, Written
from holocron.store.s3 import S3Store
from holocron.testing.server import Server, serve
from tests.s3.faults import (
    Action,
    FaultProxy,
    anything,
    conflict,
    delay,
    deny,
    fail_after,
    hang,
    hang_after,
    late,
    lose_response,
    on,
    reset,
    storm,
)

SHORT_S = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as running:
        yield running


@pytest.fixture
def store(proxy: FaultProxy, request: pytest.FixtureRequest, aws: None) -> Iterator[S3Store]:
    """A store that the faults befall."""
    made = S3Store("holocron", f"faults/{request.node.name}", endpoint_url=proxy.url)
    yield made
    made.close()


@pytest.fixture
def behind(server: Server, request: pytest.FixtureRequest, aws: None) -> Iterator[S3Store]:
    """The same store, past the proxy."""
    made = S3Store("holocron", f"faults/{request.node.name}", endpoint_url=server.url)
    yield made
    made.close()


def holds(store: S3Store, key: str) -> bytes | None:
    """What lies under `key`, or None."""
    answer = store.perform(Get(key), 10)
    assert isinstance(answer, Found | Absent)
    return answer.body if isinstance(answer, Found) else None


def test_without_a_rule_nothing_happens(store: S3Store, proxy: FaultProxy) -> None:
    """Requests and answers pass unchanged and are counted by kind."""
    written = store.perform(Put("a", b"x" * 100_000), 10)
    assert isinstance(written, Written)
    found = store.perform(Get("a"), 10)
    assert isinstance(found, Found)
    assert (found.body, found.etag) == (b"x" * 100_000, written.etag)
    listed = store.perform(List(""), 10)
    assert isinstance(listed, Listed)
    assert [entry.key for entry in listed.entries] == ["a"]
    assert proxy.requests() == {"PUT": 1, "GET": 1, "LIST": 1}


@pytest.mark.parametrize("action", [lose_response, fail_after, hang_after])
def test_what_was_applied_but_not_told(action: Action, store: S3Store, behind: S3Store, proxy: FaultProxy) -> None:
    """A lost response, a 500 and a silence after the write are all unknown outcomes of a write that was applied."""
    rule = proxy.rule(on("PUT", "a"), action, times=1)
    answer = store.perform(Put("a", b"1"), SHORT_S)
    assert isinstance(answer, Unclear)
    assert answer.sent
    assert rule.hits == 1
    assert holds(behind, "a") == b"1"
    assert isinstance(store.perform(Put("a", b"1"), 10), Clash)


@pytest.mark.parametrize(
    ("action", "expected"), [(reset, Unclear), (hang, Unclear), (storm, Unclear), (conflict, Conflict), (deny, Denied)]
)
def test_what_was_not_applied(
    action: Action, expected: type, store: S3Store, behind: S3Store, proxy: FaultProxy
) -> None:
    """A reset, a black hole, 503, 409 and 403 before the write leave nothing, and the next attempt works."""
    proxy.rule(on("PUT", "a"), action, times=1)
    assert isinstance(store.perform(Put("a", b"1"), SHORT_S), expected)
    assert holds(behind, "a") is None
    assert isinstance(store.perform(Put("a", b"1"), 10), Written)


def test_a_late_write_arrives_when_it_is_delivered(store: S3Store, behind: S3Store, proxy: FaultProxy) -> None:
    """A write whose client gave up can be applied long after, and then meets its condition (I10)."""
    proxy.rule(on("PUT", "a"), late, times=1)
    assert isinstance(store.perform(Put("a", b"sleeper"), 10), Unclear)
    assert holds(behind, "a") is None
    assert [answered.status for answered in proxy.deliver()] == [200]
    assert holds(behind, "a") == b"sleeper"
    assert proxy.deliver() == []


def test_a_rule_applies_as_often_as_it_says(store: S3Store, proxy: FaultProxy) -> None:
    """The first two reads are refused, the third is not, and the rule tells how often it applied."""
    rule = proxy.rule(on("GET"), storm, times=2)
    answers = [type(store.perform(Get("nothing"), 10)) for _ in range(3)]
    assert answers == [Unclear, Unclear, Absent]
    assert rule.wait(2)
    assert not rule.wait(3, timeout_s=0)


def test_a_rule_can_be_ended(store: S3Store, proxy: FaultProxy) -> None:
    """403 for a while, until the test says that it is over."""
    rule = proxy.rule(anything, deny)
    assert isinstance(store.perform(Get("nothing"), 10), Denied)
    rule.end()
    assert isinstance(store.perform(Get("nothing"), 10), Absent)


def test_a_delay_is_a_delay(store: S3Store, proxy: FaultProxy) -> None:
    """A delayed request is answered all the same if its client has the patience, and not if it has none."""
    proxy.rule(on("PUT"), delay(5 * SHORT_S))
    assert isinstance(store.perform(Put("a", b"1"), SHORT_S), Unclear)
    assert isinstance(store.perform(Put("b", b"1"), 30), Written)


def test_a_silent_partition_ends_with_the_healing(store: S3Store, behind: S3Store, proxy: FaultProxy) -> None:
    """In a partition nothing answers and nothing reaches the server; whoever still waits when it heals is cut off."""
    assert isinstance(store.perform(Put("before", b"1"), 10), Written)
    partition = proxy.partition()
    assert isinstance(store.perform(Put("during", b"1"), SHORT_S), Unclear)
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(store.perform(Put("during", b"1"), 60)))
    waiting.start()
    assert partition.wait(2)
    proxy.heal()
    waiting.join(30)
    assert isinstance(answers[0], Unclear)
    assert holds(behind, "during") is None
    assert isinstance(store.perform(Put("after", b"1"), 10), Written)


def test_a_partition_that_cuts_answers_at_once(store: S3Store, proxy: FaultProxy) -> None:
    """A partition of the other kind breaks every connection instead of keeping silent."""
    proxy.partition("cut")
    assert isinstance(store.perform(Get("nothing"), 60), Unclear)
    proxy.clear()
    assert isinstance(store.perform(Get("nothing"), 10), Absent)


def test_a_server_that_is_gone_is_a_broken_connection(aws: None) -> None:
    """With nothing behind it, the proxy breaks connections as a network would."""
    with serve() as gone:
        pass
    with FaultProxy(gone.url) as proxy:
        store = S3Store("holocron", "gone", endpoint_url=proxy.url)
        assert isinstance(store.perform(Get("a"), 10), Unclear)
