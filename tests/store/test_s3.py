"""`s3://`: the contract over real HTTP against the embedded server, and what goes over the wire."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from holocron.store.base import (
    Absent,
    Clash,
    Delete,
    Deleted,
    Found,
    Get,
    List,
    Listed,
    Oversize,
    Put,
    Store,
    Unclear,
    Written,
)
from holocron.store.opening import StoreOptions, open_store
from holocron.store.s3 import S3Store
from holocron.testing.server import Server
from tests.store.canned import DATE, DATE_S, NO_KEY, Seen, answer, at, canned, error
from tests.store.contract import StoreContract, ask, create, names, page, read


class TestS3(StoreContract):
    """boto3 against the embedded server keeps the contract."""

    rounds = 3
    longest_segment = 950
    longest_key = 950

    @pytest.fixture
    def store(self, s3_server: Server) -> Iterator[Store]:
        prefix = f"contract/{secrets.token_hex(8)}"
        store = open_store(f"s3://holocron/{prefix}", StoreOptions(endpoint_url=s3_server.url))
        yield store
        store.close()


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_create_on_the_wire() -> None:
    """A create is one plain PUT: If-None-Match, path-style, no Expect, no newer checksums, no chunks, one attempt."""
    with canned(answer(200, ETag='"e"')) as server:
        assert ask(at(server.url), Put("a b+c", b"body")) == Written('"e"', DATE_S)
        (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("PUT", "/bucket/p/a%20b%2Bc", b"body")
    assert seen.headers["if-none-match"] == "*"
    assert "if-match" not in seen.headers
    assert "expect" not in seen.headers
    assert "transfer-encoding" not in seen.headers
    assert not [name for name in seen.headers if "checksum" in name or "trailer" in name]
    assert "expect" not in seen.headers["authorization"]
    assert "x-amz-expected-bucket-owner" not in seen.headers


def test_large_body_on_the_wire() -> None:
    """A body of megabytes too goes out without Expect, in one attempt."""
    with canned(answer(200, ETag='"e"')) as server:
        assert isinstance(ask(at(server.url), Put("k", b"x" * 3_000_000)), Written)
        (seen,) = server.seen
    assert "expect" not in seen.headers
    assert len(seen.body) == 3_000_000


def test_replace_on_the_wire() -> None:
    """A replacement carries If-Match with the ETag as the server said it, and the owner where one is configured."""
    with canned(answer(200, ETag='"f"')) as server:
        store = at(server.url, bucket_owner="123456789012")
        assert ask(store, Put("k", b"body", match='"e"')) == Written('"f"', DATE_S)
        ask(store, Get("k"))
        ask(store, Delete("k"))
        ask(store, List(""))
        put = server.seen[0]
    assert put.headers["if-match"] == '"e"'
    assert "if-none-match" not in put.headers
    assert [seen.headers["x-amz-expected-bucket-owner"] for seen in server.seen] == ["123456789012"] * 4


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_endpoint_of_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint from the environment is treated as one that was given: path-style, no newer checksums."""
    with canned(answer(200, ETag='"e"')) as server:
        monkeypatch.setenv(variable, server.url)
        assert isinstance(ask(open_store("s3://bucket/p"), Put("k", b"body")), Written)
        (seen,) = server.seen
    assert seen.target == "/bucket/p/k"
    assert not [name for name in seen.headers if "checksum" in name or "trailer" in name]


def test_endpoint_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile chosen by option brings its own endpoint, region and keys: the standard chain is untouched."""
    with canned(answer(200, ETag='"e"')) as server:
        config = tmp_path / "config"
        config.write_text(
            f"[profile lab]\nregion = eu-north-1\nservices = lab\naws_access_key_id = LABKEY\n"
            f"aws_secret_access_key = x\n[services lab]\ns3 =\n  endpoint_url = {server.url}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert isinstance(ask(open_store("s3://bucket/p", StoreOptions(profile="lab")), Put("k", b"b")), Written)
        monkeypatch.setenv("AWS_PROFILE", "lab")
        assert isinstance(ask(open_store("s3://bucket/p"), Put("k", b"b")), Written)
        assert [seen.target for seen in server.seen] == ["/bucket/p/k"] * 2
        assert all("LABKEY" in seen.headers["authorization"] for seen in server.seen)
        assert all("eu-north-1" in seen.headers["authorization"] for seen in server.seen)


def test_amazon_itself() -> None:
    """Without a configured endpoint the SDK's own choices stand: its addresses and its checksums."""
    client = S3Store("bucket", region="eu-west-1").client(1.0)
    assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    assert client.meta.config.request_checksum_calculation == "when_supported"  # type: ignore[attr-defined] # set by the SDK from its options
    assert not (client.meta.config.s3 or {}).get("addressing_style")  # type: ignore[attr-defined] # as above


# --- the form of If-Match ---------------------------------------------------------------------------------------------


def picky(form: Callable[[str], str], etags: list[str]) -> Callable[[Seen], bytes]:
    """A server with one object that understands one form of If-Match only; `etags` are its present and coming ETags."""

    def say(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return answer(200, ETag=etags[0])
        if seen.headers["if-match"] != form(etags[0]):
            return error(412, "PreconditionFailed")
        etags.pop(0)
        return answer(200, ETag=etags[0])

    return say


@pytest.mark.parametrize("quoted", [True, False])
def test_form_of_if_match(quoted: bool) -> None:
    """The form of If-Match that the server understands is found by itself, and remembered (design section 3)."""

    def form(etag: str) -> str:
        return etag if quoted else etag.strip('"')

    with canned(picky(form, ['"e1"', '"e2"', '"e3"', '"e4"'])) as server:
        store = at(server.url)
        assert ask(store, Put("k", b"1", match='"e1"')) == Written('"e2"', DATE_S)
        assert ask(store, Put("k", b"2", match='"e2"')) == Written('"e3"', DATE_S)
        assert isinstance(ask(store, Put("k", b"3", match='"e1"')), Clash)
        methods = [seen.method for seen in server.seen]
    assert store.quote_etags is quoted
    assert methods == (["PUT"] * 3 if quoted else ["PUT", "HEAD", "PUT", "PUT", "PUT"])


def test_form_of_if_match_given() -> None:
    """A store that was told the form uses it at once and never tries the other."""
    with canned(picky(lambda etag: etag.strip('"'), ['"e1"', '"e2"'])) as server:
        store = at(server.url).with_etag_form(quoted=False)
        assert ask(store, Put("k", b"1", match='"e1"')) == Written('"e2"', DATE_S)
        assert len(server.seen) == 1
        wrong = at(server.url).with_etag_form(quoted=True)
        assert isinstance(ask(wrong, Put("k", b"1", match='"e2"')), Clash)
        assert len(server.seen) == 2


def test_true_clash_with_an_unproven_form() -> None:
    """A clash because the object did change is a clash, and the form is not tried on it."""
    with canned(picky(lambda etag: etag, ['"e1"', '"e2"'])) as server:
        assert isinstance(ask(at(server.url), Put("k", b"1", match='"old"')), Clash)
        assert [seen.method for seen in server.seen] == ["PUT", "HEAD"]


def test_unquoted_etags_of_a_server() -> None:
    """ETags that a server leaves unquoted in one place are the same ETag as in another."""
    listing = (
        b"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>p/k</Key><ETag>e1</ETag><Size>1</Size></Contents></ListBucketResult>"
    )
    with canned(lambda seen: answer(200, listing if seen.method == "GET" else b"", ETag="e1")) as server:
        store = at(server.url)
        put, listed = ask(store, Put("k", b"1")), ask(store, List(""))
    assert isinstance(put, Written)
    assert isinstance(listed, Listed)
    assert put.etag == listed.entries[0].etag == '"e1"'


# --- LIST -------------------------------------------------------------------------------------------------------------


# What a directory bucket answers before anything else: credentials of its own.
SESSION = (
    b"<CreateSessionResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey>"
    b"<SessionToken>C</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"
)


def bucket_of(keys: list[str], *, start_after: bool, size: int) -> Callable[[Seen], bytes]:
    """A server that lists `keys` in the order given, `size` to a page, and heeds StartAfter or not."""
    from urllib.parse import parse_qs, quote, urlsplit

    def say(seen: Seen) -> bytes:
        if seen.target.endswith("?session"):
            return answer(200, SESSION)
        query = {name: values[0] for name, values in parse_qs(urlsplit(seen.target).query).items()}
        held = [key for key in keys if key.startswith(query.get("prefix", ""))]
        if start_after:
            held = [key for key in held if key > query.get("start-after", "")]
        first = int(query.get("continuation-token", "0"))
        some = held[first : first + size]
        more = first + size < len(held)
        contents = "".join(f"<Contents><Key>{escape(quote(key))}</Key><ETag>e</ETag></Contents>" for key in some)
        token = f"<NextContinuationToken>{first + size}</NextContinuationToken>" if more else ""
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}<EncodingType>url</EncodingType>{contents}"
        return answer(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())

    return say


def test_directory_bucket() -> None:
    """A directory bucket lists in no order and knows no StartAfter: all of it is read, sorted and cut (section 11)."""
    keys = [f"p/e/{number:02d}" for number in (5, 3, 9, 1, 7, 2, 8, 4, 6, 0)] + ["p/f/1", "q/1"]
    with canned(bucket_of(keys, start_after=False, size=3)) as server:
        store = at(server.url, bucket="b--use1-az4--x-s3")
        listed = page(store, "e/", after="e/03", limit=4)
        assert (names(listed.entries), listed.more) == (["e/04", "e/05", "e/06", "e/07"], True)
        listed = page(store, "e/", after="e/07", limit=4)
        assert (names(listed.entries), listed.more) == (["e/08", "e/09"], False)
        assert names(page(store, "e/0").entries)[:3] == ["e/00", "e/01", "e/02"]
        lists = [seen.target for seen in server.seen if "list-type" in seen.target]
        assert len(lists) == 12
        assert all("start-after" not in target and "prefix=p%2F" in target for target in lists)


def test_server_that_ignores_start_after() -> None:
    """Keys at or before start-after are dropped even if the server sends them, and paging goes on past them."""
    keys = [f"p/e/{number:02d}" for number in range(10)]
    with canned(bucket_of(keys, start_after=False, size=3)) as server:
        listed = page(at(server.url), "e/", after="e/06", limit=3)
    assert names(listed.entries) == ["e/07", "e/08"]
    assert listed.more


@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"<ListBucketResult/>", b"{}", b"<ListBucketRes"])
def test_list_of_something_else(body: bytes) -> None:
    """A 200 to a LIST that is no listing is unclear and never "no keys": that would call a lease free (I12)."""
    with canned(answer(200, body)) as server:
        assert isinstance(ask(at(server.url), List("")), Unclear)


def test_foreign_keys_in_a_list() -> None:
    """What a server lists from beside the prefix, or the folder marker itself, is left out."""
    whole = bucket_of(["p/", "p/k", "q/k"], start_after=True, size=9)(Seen("GET", "/", {}, b""))
    with canned(whole) as server:
        assert names(page(at(server.url), "").entries) == ["k"]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_oversize_is_not_read() -> None:
    """The size is compared before the body is read: the server never sends its gigabyte to the end (I12)."""
    head = answer(200, ETag='"e"').replace(b"Content-Length: 0", b"Content-Length: 1000000000") + b"x" * 100
    with canned(head) as server:
        assert ask(at(server.url), Get("k", limit_bytes=1000)) == Oversize(1_000_000_000, '"e"', DATE_S)


def test_oversize_without_a_size() -> None:
    """A body sent in chunks of unknown number is cut off at the limit."""
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    head = f'HTTP/1.1 200 OK\r\nETag: "e"\r\nDate: {DATE}\r\nTransfer-Encoding: chunked\r\n\r\n'.encode()
    with canned(head + chunk * 3 + b"0\r\n\r\n") as server:
        store = at(server.url)
        assert isinstance(ask(store, Get("k", limit_bytes=5000)), Oversize)
        found = ask(store, Get("k", limit_bytes=0x3000))
        assert isinstance(found, Found)
        assert found.body == b"x" * 0x3000


def test_times_of_the_server() -> None:
    """Date and LastModified of the server are kept, of refusals too (rule 11)."""
    modified = "Tue, 01 Sep 2026 09:59:00 GMT"
    with canned(answer(200, b"x", ETag='"e"', Last_Modified=modified)) as server:
        assert ask(at(server.url), Get("k")) == Found(b"x", '"e"', DATE_S - 60, DATE_S)
    with canned(answer(404, NO_KEY)) as server:
        assert ask(at(server.url), Get("k")) == Absent(DATE_S)
    with canned(answer(204)) as server:
        assert ask(at(server.url), Delete("k")) == Deleted(DATE_S)
    with canned(error(503, "SlowDown")) as server:
        refused = ask(at(server.url), Get("k"))
        assert isinstance(refused, Unclear)
        assert refused.date_s == DATE_S
    with canned(answer(200, ETag='"e"').replace(DATE.encode(), b"yesterday")) as server:
        assert ask(at(server.url), Put("k", b"1")) == Written('"e"', None)


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "kept"),
    [("<Status>Enabled</Status>", True), ("<Status>Suspended</Status>", False), ("", False)],
    ids=["enabled", "suspended", "never"],
)
def test_whether_versions_are_kept(inside: str, kept: bool) -> None:
    """The bucket itself says whether it keeps every version, in one request."""
    body = f"<VersioningConfiguration>{inside}</VersioningConfiguration>".encode()
    with canned(answer(200, body, Content_Type="application/xml")) as server:
        assert at(server.url).versioned(5.0) is kept
        (seen,) = server.seen
    assert (seen.method, seen.target) == ("GET", "/bucket?versioning")


@pytest.mark.parametrize(
    "said",
    [error(403, "AccessDenied"), error(501, "NotImplemented"), answer(200, b"hello"), None],
    ids=["denied", "unknown", "not XML", "hung up"],
)
def test_versions_that_cannot_be_told(said: bytes | None) -> None:
    """Advice is all that hangs on it: whatever goes wrong is None, and no error."""
    with canned(lambda _: said) as server:
        assert at(server.url).versioned(5.0) is None


# --- the embedded server ----------------------------------------------------------------------------------------------


def test_one_request_each(s3_server: Server) -> None:
    """A create, a read, a replacement, a LIST and a delete are one HTTP request each (I14)."""
    store = open_store(f"s3://holocron/{secrets.token_hex(4)}", StoreOptions(endpoint_url=s3_server.url))
    before = s3_server.requests()
    etag = create(store, "k", b"1")
    read(store, "k")
    assert isinstance(ask(store, Put("k", b"2", match=etag)), Written)
    page(store, "")
    ask(store, Delete("k"))
    after = s3_server.requests()
    assert {verb: after[verb] - before.get(verb, 0) for verb in after if after[verb] != before.get(verb, 0)} == {
        "PUT": 2,
        "GET": 1,
        "LIST": 1,
        "DELETE": 1,
    }
