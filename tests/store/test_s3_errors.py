"""Every way in which an S3 server or the configuration says no: the outcome, and the one line that helps."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import msgspec
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

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
    Put,
    Request,
    Unclear,
)
from holocron.store.opening import StoreOptions, open_store
from holocron.store.s3_errors import from_refusal, from_setup, from_trouble
from tests.store.canned import DATE, DATE_S, NO_KEY, answer, canned, error
from tests.store.contract import ask

GET, CREATE, REPLACE, LIST, DELETE = Get("k"), Put("k", b"1"), Put("k", b"1", match='"e"'), List(""), Delete("k")
ALL: list[Request] = [GET, CREATE, REPLACE, LIST, DELETE]


def told(response: bytes, request: Request, **options: str) -> Answer:
    """What a store on a server that says `response` answers to `request`."""
    with canned(response) as server:
        chosen = msgspec.structs.replace(StoreOptions(endpoint_url=server.url), **options)
        store = open_store("s3://some-bucket/p", chosen)
        try:
            return ask(store, request)
        finally:
            store.close()


@pytest.mark.parametrize(
    ("response", "request_", "expected"),
    [
        (answer(404, NO_KEY), GET, Absent(DATE_S)),
        (answer(404, NO_KEY), REPLACE, Clash(DATE_S)),
        (answer(404, NO_KEY), DELETE, Deleted(DATE_S)),
        (error(412, "PreconditionFailed"), CREATE, Clash(DATE_S)),
        (error(412, "PreconditionFailed"), REPLACE, Clash(DATE_S)),
        (error(409, "ConditionalRequestConflict"), CREATE, Conflict(DATE_S)),
        (error(409, "ConditionalRequestConflict"), REPLACE, Conflict(DATE_S)),
        (error(409, "OperationAborted"), CREATE, Conflict(DATE_S)),
    ],
)
def test_outcomes(response: bytes, request_: Request, expected: Answer) -> None:
    """404, 412 and 409 are the outcomes they stand for, each with the server's Date (design section 3)."""
    assert told(response, request_) == expected


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (502, "BadGateway"),
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
        (429, "TooManyRequests"),
        (408, "RequestTimeout"),
        (400, "RequestTimeout"),
        (400, "IncompleteBody"),
        (409, "SomethingElse"),
    ],
)
def test_unclear(status: int, code: str) -> None:
    """A server in trouble leaves the outcome open, after one attempt, with its Date and what it said in one line."""
    with canned(error(status, code)) as server:
        store = open_store("s3://some-bucket/p", StoreOptions(endpoint_url=server.url))
        answers = [ask(store, request) for request in ALL]
        assert len(server.seen) == len(ALL)
    for said in answers:
        assert isinstance(said, Unclear), said
        assert said.sent
        assert said.date_s == DATE_S
        assert said.error == f"bucket some-bucket answered {status} {code} (It is {code})"


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (error(404, "NoSuchBucket"), "bucket some-bucket does not exist: create it or check --bucket"),
        (error(403, "InvalidAccessKeyId"), "the access key is unknown there: check credentials"),
        (error(403, "SignatureDoesNotMatch"), "check the secret access key"),
        (error(400, "ExpiredToken"), "the credentials have expired: renew them"),
        (error(403, "RequestExpired"), "the credentials have expired: renew them"),
        (error(400, "InvalidToken"), "renew AWS_SESSION_TOKEN or unset it"),
        (error(403, "RequestTimeTooSkewed"), f"this machine's clock is too far from the server's ({DATE}): set it"),
        (error(400, "InvalidBucketName"), "check --bucket"),
        (error(501, "NotImplemented"), "see holocron doctor"),
        (error(405, "MethodNotAllowed"), "see holocron doctor"),
        (error(400, "InvalidRequest"), "bucket some-bucket refuses: 400 InvalidRequest (It is InvalidRequest)"),
        (error(402, "AccountProblem"), "refuses: 402 AccountProblem"),
        (error(403, "AccessDenied"), "access denied (403 AccessDenied (It is AccessDenied)): the credentials need s3:"),
        (answer(403), "access denied (403"),
        (answer(401), "access denied (401"),
        (error(301, "PermanentRedirect", "<Endpoint>x</Endpoint>"), "is in another region: check --region"),
        (answer(301, x_amz_bucket_region="eu-west-3"), "is in region eu-west-3: say --region eu-west-3"),
        (
            error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>"),
            "is in region eu-west-3: say --region eu-west-3",
        ),
        (error(400, "IllegalLocationConstraintException"), "is in another region"),
        (answer(404, b"<html>nothing here</html>"), "it is not an S3 API, check --endpoint-url"),
        (answer(404, b""), "it is not an S3 API, check --endpoint-url"),
    ],
)
def test_denied(response: bytes, says: str) -> None:
    """A refusal for good is denied and never "absent", after one request, with one line that says what to do."""
    with canned(response) as server:
        store = open_store("s3://some-bucket/p", StoreOptions(endpoint_url=server.url))
        answers = [ask(store, request) for request in ALL]
        assert len(server.seen) == len(ALL)
    for said in answers:
        assert isinstance(said, Denied), said
        assert says in said.error
        assert "some-bucket" in said.error
        assert "\n" not in said.error


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        (GET, "s3:GetObject"),
        (CREATE, "s3:PutObject"),
        (REPLACE, "s3:PutObject"),
        (LIST, "s3:ListBucket"),
        (DELETE, "s3:DeleteObject"),
    ],
)
def test_access_denied(request_: Request, right: str) -> None:
    """The line of a 403 names the right that is missing, and for a read that S3 hides missing keys behind it."""
    said = told(error(403, "AccessDenied"), request_, bucket_owner="123456789012")
    assert isinstance(said, Denied)
    assert f"need {right} there" in said.error
    assert ("without which S3 answers 403 for a key that does not exist" in said.error) is isinstance(request_, Get)
    assert "must belong to account 123456789012" in said.error
    assert said.date_s == DATE_S


# --- the configuration ------------------------------------------------------------------------------------------------


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the line says where they are looked for, and nothing is sent."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with canned(answer(200)) as server:
        said = ask(open_store("s3://some-bucket", StoreOptions(endpoint_url=server.url)), GET)
        assert server.seen == []
    assert isinstance(said, Denied)
    assert "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said.error


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret is named as such."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = told(answer(200), GET)
    assert isinstance(said, Denied)
    assert "half of the AWS credentials is missing" in said.error
    assert "AWS_SECRET_ACCESS_KEY" in said.error


def test_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is not there is denied at the first request, be it from an option or from the environment."""
    said = told(answer(200), GET, profile="nobody")
    assert isinstance(said, Denied)
    assert "nobody" in said.error
    assert "--profile" in said.error
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert isinstance(told(answer(200), GET), Denied)


def test_setup_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose configuration was wrong works once it is mended: no failure is remembered."""
    with canned(answer(404, NO_KEY)) as server:
        store = open_store("s3://some-bucket", StoreOptions(endpoint_url=server.url))
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert isinstance(ask(store, GET), Denied)
        monkeypatch.delenv("AWS_PROFILE")
        assert isinstance(ask(store, GET), Absent)


def test_broken_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration file that cannot be parsed, or an endpoint there that is no URL, is one line and no traceback."""
    config = tmp_path / "broken"
    config.write_text("[default\nregion = x")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(config))
        said = told(answer(200), GET)
        assert isinstance(said, Denied), said
        assert "configuration does not work" in said.error
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    said = ask(open_store("s3://some-bucket"), GET)
    assert isinstance(said, Denied), said
    assert "\n" not in said.error


def test_not_tls() -> None:
    """https:// to a server that speaks plain HTTP is denied, and the line says so."""
    with canned(answer(200)) as server:
        said = ask(open_store("s3://b-1", StoreOptions(endpoint_url=server.url.replace("http:", "https:"))), GET)
    assert isinstance(said, Denied), said
    assert "does not speak TLS: say http://" in said.error


def refused(code: str, status: int, operation: str) -> ClientError:
    response: object = {
        "Error": {"Code": code, "Message": "No."},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    return ClientError(response, operation)  # type: ignore[arg-type] # the SDK's type asks for more than it sends


@pytest.mark.parametrize(("status", "kind"), [(403, Denied), (400, Denied), (500, Unclear), (503, Unclear)])
def test_refused_by_another_service(status: int, kind: type[Answer]) -> None:
    """An error of the service that hands out credentials is told apart from one of the store, and nothing was sent."""
    said = from_refusal(refused("AccessDenied", status, "AssumeRole"), GET, "some-bucket", None)
    assert isinstance(said, kind)
    assert isinstance(said, Denied | Unclear)
    assert "AssumeRole answered" in said.error
    assert isinstance(said, Denied) or not said.sent


def test_directory_bucket_refuses() -> None:
    """A directory bucket that opens no session is told as the right that is missing there."""
    said = from_refusal(refused("AccessDenied", 403, "CreateSession"), CREATE, "b--x--x-s3", None)
    assert isinstance(said, Denied)
    assert "s3express:CreateSession" in said.error


def verification() -> ssl.SSLCertVerificationError:
    problem = ssl.SSLCertVerificationError(1, "certificate verify failed")
    problem.verify_message = "self-signed certificate"
    return problem


TROUBLES: list[tuple[Exception, type[Answer], bool, str]] = [
    (boto.NoCredentialsError(), Denied, False, "no AWS credentials"),
    (boto.NoRegionError(), Denied, False, "--region"),
    (boto.ProfileNotFound(profile="x"), Denied, False, "--profile"),
    (boto.UnauthorizedSSOTokenError(), Denied, False, "aws sso login"),
    (boto.SSOTokenLoadError(error_msg="gone"), Denied, False, "aws sso login"),
    (boto.TokenRetrievalError(provider="sso", error_msg="gone"), Denied, False, "aws sso login"),
    (boto.CredentialRetrievalError(provider="process", error_msg="gone"), Unclear, False, "could not be fetched"),
    (boto.MetadataRetrievalError(error_msg="gone"), Unclear, False, "could not be fetched"),
    (boto.ParamValidationError(report="bad"), Denied, False, "cannot be sent"),
    (boto.SSLError(endpoint_url="u", error=verification()), Denied, False, "AWS_CA_BUNDLE"),
    (boto.SSLError(endpoint_url="u", error=ssl.SSLError(1, "bad record mac")), Unclear, True, "TLS to"),
    (boto.ConnectTimeoutError(endpoint_url="u", error="x"), Unclear, False, "did not take the connection"),
    (boto.ProxyConnectionError(proxy_url="u", error="x"), Unclear, False, "HTTPS_PROXY"),
    (boto.EndpointConnectionError(endpoint_url="u", error=socket.gaierror(-2, "x")), Unclear, False, "resolved"),
    (boto.EndpointConnectionError(endpoint_url="u", error=ConnectionRefusedError()), Unclear, False, "nothing listens"),
    (boto.EndpointConnectionError(endpoint_url="u", error=OSError(113, "x")), Unclear, False, "cannot be reached"),
    (boto.ReadTimeoutError(endpoint_url="u", error="x"), Unclear, True, "did not answer in time"),
    (boto.ConnectionClosedError(endpoint_url="u", error="x"), Unclear, True, "closed the connection"),
    (boto.HTTPClientError(error="x"), Unclear, True, "http://e"),
    (boto.ResponseStreamingError(error="x"), Unclear, True, "broke off"),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), Unclear, True, "broke off"),
    (ValueError("odd\nbytes"), Unclear, True, "odd bytes"),
]


@pytest.mark.parametrize(("trouble", "kind", "sent", "says"), TROUBLES, ids=lambda value: type(value).__name__)
def test_trouble(trouble: Exception, kind: type[Answer], sent: bool, says: str) -> None:
    """Each error of the SDK is an answer with one line; `sent` is False only where nothing can be applied (I10)."""
    said = from_trouble(trouble, "http://e")
    assert isinstance(said, kind), said
    assert isinstance(said, Denied | Unclear)
    assert says in said.error
    assert "\n" not in said.error
    if isinstance(said, Unclear):
        assert said.sent is sent


def test_setup_is_always_denied() -> None:
    """Whatever keeps a client from being made is denied, with a line, even an error that says nothing."""
    assert "ValueError" in from_setup(ValueError()).error
    assert "--region" in from_setup(boto.NoRegionError()).error
    assert isinstance(from_setup(boto.MetadataRetrievalError(error_msg="gone")), Denied)


def test_circular_causes() -> None:
    """Errors that name one another as their cause are looked through once and not for ever."""
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    said = from_trouble(boto.EndpointConnectionError(endpoint_url="u", error=first), "http://e")
    assert isinstance(said, Unclear)
    assert "cannot be reached" in said.error
