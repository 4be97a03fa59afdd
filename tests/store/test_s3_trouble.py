"""`s3://` in trouble: silence, noise, broken answers, the race over bare sockets, and what must never be logged."""

from __future__ import annotations

import logging
import time

import pytest

from holocron.store.base import Answer, Delete, Deleted, Denied, Get, List, Put, Unclear
from holocron.store.opening import StoreOptions, open_store
from holocron.store.race import race
from tests.store.canned import Seen, answer, at, black_hole, canned, closed_door, error
from tests.store.contract import ask

# --- silence and noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [Get("k"), Put("k", b"1"), Put("k", b"1", match='"e"'), List(""), Delete("k")])
def test_black_hole(request_: Get | Put | List | Delete) -> None:
    """A server that takes the request and never answers costs the time limit and not more (section 11)."""
    with black_hole() as url:
        store = at(url)
        began = time.monotonic()
        told = store.perform(request_, 0.3)
        took_s = time.monotonic() - began
    assert isinstance(told, Unclear), told
    assert told.sent
    # Generous, for a machine that is busy with other things; boto3's own default is a minute.
    assert took_s < 5


def test_closed_door() -> None:
    """A connection that is never taken ends in time, and nothing was sent."""
    with closed_door() as url:
        told = at(url).perform(Put("k", b"1"), 0.3)
    assert isinstance(told, Unclear), told
    assert not told.sent


def test_cap_on_time() -> None:
    """`StoreOptions.timeout_s` caps what any request may take."""
    with black_hole() as url:
        store = open_store("s3://bucket", StoreOptions(endpoint_url=url, timeout_s=0.2))
        began = time.monotonic()
        assert isinstance(store.perform(Get("k"), 60.0), Unclear)
        assert time.monotonic() - began < 20


def test_body_that_stops() -> None:
    """A body that stops half-way ends the read in time, as unclear."""

    def say(_: Seen) -> bytes:
        return answer(200, ETag='"e"').replace(b"Content-Length: 0", b"Content-Length: 4000000") + b"x" * 2_000_000

    with canned(say) as server:
        began = time.monotonic()
        told = at(server.url).perform(Get("k"), 0.3)
        assert time.monotonic() - began < 10
    assert isinstance(told, Unclear), told


def test_refused_connection() -> None:
    """Where nothing listens, nothing was sent, and the line says where it was going."""
    told = ask(at("http://127.0.0.1:1"), Put("k", b"1"))
    assert isinstance(told, Unclear)
    assert not told.sent
    assert "http://127.0.0.1:1" in told.error
    assert "--endpoint-url" in told.error


def test_name_that_does_not_resolve() -> None:
    """A name that cannot be resolved may be a name server that is down: unclear, nothing sent."""
    told = ask(at("http://holocron.invalid:9000"), Put("k", b"1"))
    assert isinstance(told, Unclear)
    assert not told.sent
    assert "resolved" in told.error


@pytest.mark.parametrize("request_", [Get("k"), Put("k", b"1"), List(""), Delete("k")])
def test_reset(request_: Get | Put | List | Delete) -> None:
    """A connection that is cut after the request was sent leaves the outcome open, after exactly one attempt."""
    with canned(lambda _: None) as server:
        told = ask(at(server.url), request_)
        assert len(server.seen) == 1
    assert isinstance(told, Unclear), told
    assert told.sent


@pytest.mark.parametrize("request_", [Get("k"), List("")])
def test_truncated(request_: Get | List) -> None:
    """An answer that breaks off in its body is unclear and never taken for a shorter one."""
    whole = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" + b" " * 4000
    cut = answer(200, whole, ETag='"e"', Connection="close")
    for keep in (len(cut) - 3000 if isinstance(request_, Get) else len(cut) - len(whole) + 30, len(cut) - len(whole)):
        with canned(cut[:keep]) as server:
            told = ask(at(server.url), request_)
        assert isinstance(told, Unclear), told


@pytest.mark.parametrize(
    "noise", [b"\0\xff\0\xff\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\n\xff\xfe", b"\r\n"]
)
def test_noise(noise: bytes) -> None:
    """Bytes that are no HTTP are unclear, and nothing is raised (I12)."""
    with canned(noise + b"Connection: close") as server:
        for request in (Get("k"), Put("k", b"1"), List(""), Delete("k")):
            told = ask(at(server.url), request)
            assert isinstance(told, Unclear | Deleted), told
            if isinstance(told, Unclear):
                assert "\n" not in told.error


def test_yes_to_everything() -> None:
    """Something that says 200 to everything, as a captive portal does, has written nothing and holds nothing."""
    with canned(answer(200, b"<html>Please log in</html>")) as server:
        for request in (Get("k"), Put("k", b"1"), Put("k", b"1", match='"e"'), List("")):
            told = ask(at(server.url), request)
            assert isinstance(told, Unclear), told
            assert "no S3 API" in told.error


# --- the race ---------------------------------------------------------------------------------------------------------


def test_race_on_the_wire() -> None:
    """The racing requests are signed creates, whole and equal to what a client sends; each answer finds its writer."""

    def say(seen: Seen) -> bytes:
        return {
            b"won": answer(200, ETag='"e"'),
            b"lost": error(412, "PreconditionFailed"),
            b"again": error(409, "ConditionalRequestConflict"),
            b"ill": error(500, "InternalError"),
            b"not you": error(403, "AccessDenied"),
        }[seen.body]

    with canned(say) as server:
        told = race(at(server.url), "k", [b"lost", b"won", b"again", b"ill", b"not you"], 10.0)
        assert [type(one).__name__ for one in told] == ["Clash", "Written", "Conflict", "Unclear", "Denied"]
        for seen in server.seen:
            assert (seen.method, seen.target) == ("PUT", "/bucket/p/k")
            assert seen.headers["if-none-match"] == "*"
            assert seen.headers["host"] == server.url.removeprefix("http://")
            assert "if-none-match" in seen.headers["authorization"]
            assert seen.headers["connection"] == "close"


def test_race_in_trouble() -> None:
    """A race against a door that is shut, a black hole or a reset ends in time, with what can be said of each."""
    told = race(at("http://127.0.0.1:1"), "k", [b"1", b"2"], 5.0)
    assert all(isinstance(one, Unclear) and not one.sent for one in told)
    with black_hole() as url:
        told = race(at(url), "k", [b"1", b"2"], 0.3)
    assert all(isinstance(one, Unclear) and one.sent for one in told)
    with canned(lambda _: None) as server:
        told = race(at(server.url), "k", [b"1", b"2"], 5.0)
    assert all(isinstance(one, Unclear) and one.sent for one in told)


def test_race_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A race that cannot be signed is denied, each writer of it."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    told = race(at("http://127.0.0.1:1"), "k", [b"1", b"2"], 5.0)
    assert [type(one) for one in told] == [Denied, Denied]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    told = race(at("http://127.0.0.1:1"), "k", [b"1", b"2"], 5.0)
    assert [type(one) for one in told] == [Denied, Denied]


def test_race_over_tls() -> None:
    """A race for an endpoint with TLS checks certificates as the SDK does: what does not speak TLS gets nothing."""
    with canned(answer(200, ETag='"e"')) as server:
        told = race(at(server.url.replace("http://", "https://")), "k", [b"1", b"2"], 5.0)
        assert all(isinstance(one, Unclear) and not one.sent for one in told)
        assert not [seen for seen in server.seen if seen.method == "PUT"]


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor tokens reach a log or an answer, and botocore's log level stays what it was (section 11)."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "very-secret-session-token")
    levels = {name: logging.getLogger(name).level for name in ("botocore", "boto3", "urllib3")}
    caplog.set_level(logging.DEBUG, logger="holocron")
    answers: list[Answer] = []
    with canned(error(403, "ExpiredToken", "<Token-0>very-secret-session-token</Token-0>")) as server:
        store = at(server.url)
        answers += [ask(store, request) for request in (Get("k"), Put("k", b"1"), List(""), Delete("k"))]
        answers += race(store, "k", [b"1", b"2"], 5.0)
    assert all(isinstance(one, Denied) for one in answers)
    assert {name: logging.getLogger(name).level for name in levels} == levels
    assert "very-secret" not in repr(answers) + caplog.text
