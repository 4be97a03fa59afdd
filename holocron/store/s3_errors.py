"""What an S3 server, the network or the SDK said, as one of our answers, with one line that says what to do.

No line ever holds a secret: what is quoted from a server is its short code and message, cut to one line.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

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

__all__ = ["date_of", "from_refusal", "from_setup", "from_trouble"]

# What the SDK asks of a directory bucket before anything else.
_SESSION = "CreateSession"
_OPERATIONS = {"GetObject", "PutObject", "DeleteObject", "ListObjectsV2", "HeadObject", "HeadBucket", _SESSION}
_REGION_CODES = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "IncorrectEndpoint",
}
# Refusals that say the request did not arrive whole or in time: nothing was done, and asking again may help.
_TRANSIENT_CODES = {"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest"}
_RIGHTS = {Get: "s3:GetObject", Put: "s3:PutObject", Delete: "s3:DeleteObject", List: "s3:ListBucket"}
_TRANSIENT_STATUS = {408, 425, 429}


def date_of(response: Mapping[str, Any]) -> float | None:
    """The server's own Date in an SDK response, in seconds since 1970, or None if it sent none that can be read."""
    text = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError, OverflowError):
        return None


def from_refusal(error: ClientError, request: Request, bucket: str, owner: str | None) -> Answer:
    """The answer for an error that the server itself reported."""
    response: Mapping[str, Any] = error.response
    detail: Mapping[str, Any] = response.get("Error", {})
    code = str(detail.get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    date_s = date_of(response)
    said = _said(code, detail, status)
    if error.operation_name not in _OPERATIONS:
        # The call was another service's, made for us to get credentials; ours was never sent.
        line = f"no credentials to be had: {error.operation_name} answered {said}: check the profile and its role"
        return Denied(line, date_s) if 400 <= status < 500 else Unclear(line, sent=False, date_s=date_s)
    if code == "NoSuchBucket":
        return Denied(f"bucket {bucket} does not exist: create it or check --bucket", date_s)
    if status == 404:
        return _not_found(code, request, bucket, said, date_s)
    if isinstance(request, Put):
        if status == 412:
            return Clash(date_s)
        if status == 409 and code in {"ConditionalRequestConflict", "OperationAborted"}:
            return Conflict(date_s)
    region = _right_region(code, status, response)
    if region is not None or code in _REGION_CODES or status == 301:
        where = f"is in region {region}: say --region {region}" if region else "is in another region: check --region"
        return Denied(f"bucket {bucket} {where} (and check --endpoint-url)", date_s)
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS:
        return Unclear(f"bucket {bucket} answered {said}", date_s=date_s)
    if status in {400, 401, 403, 405, 501}:
        right = "s3express:CreateSession" if error.operation_name == _SESSION else _RIGHTS[type(request)]
        return Denied(_denied(code, status, bucket, right, owner, said, response), date_s)
    if 400 <= status < 500 and status != 409 and status != 412:
        return Denied(f"bucket {bucket} refuses: {said}", date_s)
    return Unclear(f"bucket {bucket} answered {said}", date_s=date_s)


def _said(code: str, detail: Mapping[str, Any], status: int) -> str:
    message = " ".join(str(detail.get("Message") or "").split())[:160].rstrip(". ")
    name = code if code and code != str(status) else ""
    return " ".join(part for part in (str(status or ""), name, f"({message})" if message else "") if part)


def _not_found(code: str, request: Request, bucket: str, said: str, date_s: float | None) -> Answer:
    if code == "NoSuchKey":
        match request:
            case Get():
                return Absent(date_s)
            case Put(match=str()):
                return Clash(date_s)
            case Delete():
                return Deleted(date_s)
    # Something that is not S3 says 404 to everything; to take that for "absent" would be to call a lease free.
    line = f"the endpoint answered {said} for bucket {bucket}: it is not an S3 API, check --endpoint-url"
    return Denied(line, date_s)


def _right_region(code: str, status: int, response: Mapping[str, Any]) -> str | None:
    if code not in _REGION_CODES and status != 301:
        return None
    region = response.get("Error", {}).get("Region")
    if not region:
        region = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return str(region)[:40] if region else None


def _denied(
    code: str,
    status: int,
    bucket: str,
    right: str,
    owner: str | None,
    said: str,
    response: Mapping[str, Any],
) -> str:
    match code:
        case "InvalidAccessKeyId":
            return f"bucket {bucket}: the access key is unknown there: check credentials, --profile and --endpoint-url"
        case "SignatureDoesNotMatch":
            return (
                f"bucket {bucket}: the signature does not match: check the secret access key, "
                "and that no proxy changes requests on their way"
            )
        case "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" | "RequestExpired":
            return f"bucket {bucket}: the credentials have expired: renew them (a new session token, or aws sso login)"
        case "InvalidToken":
            return f"bucket {bucket}: the session token is not valid: renew AWS_SESSION_TOKEN or unset it"
        case "RequestTimeTooSkewed":
            theirs = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "unknown")
            return f"bucket {bucket}: this machine's clock is too far from the server's ({theirs}): set it (NTP)"
        case "InvalidBucketName":
            return f"bucket {bucket}: the server takes this for no name of a bucket: check --bucket"
        case "NotImplemented" | "MethodNotAllowed":
            return f"bucket {bucket}: the server does not know this request ({said}): see holocron doctor"
    if status in {401, 403}:
        line = f"bucket {bucket}: access denied ({said}): the credentials need {right} there"
        if right == _RIGHTS[Get]:
            line += " and s3:ListBucket, without which S3 answers 403 for a key that does not exist"
        if owner is not None:
            line += f"; and the bucket must belong to account {owner}"
        return line
    return f"bucket {bucket} refuses: {said}"


def from_setup(error: Exception) -> Denied:
    """The answer when not even a client could be made: the configuration is wrong, nothing was sent."""
    if isinstance(error, BotoCoreError):
        answer = from_trouble(error, "S3")
        if isinstance(answer, Denied):
            return answer
    return Denied(f"the AWS configuration does not work: {_line(error)}")


def from_trouble(error: Exception, endpoint: str) -> Answer:
    """The answer for an error that the SDK raised without one from the server; `endpoint` is where it was going."""
    match error:
        case boto.NoCredentialsError():
            return Denied(
                "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or say --profile"
            )
        case boto.PartialCredentialsError():
            return Denied(f"half of the AWS credentials is missing: {_line(error)}")
        case boto.ProfileNotFound():
            return Denied(f"{_line(error)}: check --profile, AWS_PROFILE and ~/.aws/config")
        case boto.SSOError() | boto.TokenRetrievalError():
            return Denied(f"the single sign-on session is over ({_line(error)}): run aws sso login")
        case boto.CredentialRetrievalError() | boto.MetadataRetrievalError():
            return Unclear(f"the credentials could not be fetched: {_line(error)}", sent=False)
        case boto.NoRegionError():
            return Denied("no region is set: say --region or set AWS_DEFAULT_REGION")
        case boto.ParamValidationError():
            return Denied(f"the request cannot be sent: {_line(error)}")
        case boto.SSLError():
            return _tls(error, endpoint)
        case boto.ConnectTimeoutError():
            return Unclear(f"{endpoint} did not take the connection in time", sent=False)
        case boto.ProxyConnectionError():
            return Unclear("the proxy cannot be reached: check HTTPS_PROXY and NO_PROXY", sent=False)
        case boto.EndpointConnectionError():
            return _no_connection(error, endpoint)
        case boto.ReadTimeoutError():
            return Unclear(f"{endpoint} did not answer in time")
        case boto.ConnectionClosedError():
            return Unclear(f"{endpoint} closed the connection before it answered")
        case boto.ResponseStreamingError() | boto.IncompleteReadError():
            return Unclear(f"the answer of {endpoint} broke off")
        case _:
            return Unclear(f"{endpoint}: {_line(error)}")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue and len(found) < 20:
        one = queue.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            queue += [one.__cause__, one.__context__, getattr(one, "kwargs", {}).get("error"), *one.args]
    return found


def _tls(error: Exception, endpoint: str) -> Answer:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Denied(
                f"the certificate of {endpoint} cannot be verified ({cause.verify_message}): check --endpoint-url, "
                "or name the authority's file in AWS_CA_BUNDLE"
            )
        # An error made by hand has no reason at all.
        reason = getattr(cause, "reason", None) if isinstance(cause, ssl.SSLError) else None
        if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
            return Denied(f"{endpoint} does not speak TLS: say http:// in --endpoint-url if that is meant")
    return Unclear(f"TLS to {endpoint} failed: {_line(error)}")


def _no_connection(error: Exception, endpoint: str) -> Unclear:
    # A name that cannot be resolved may be a name server that is down, so this is not `Denied`.
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError":
            return Unclear(f"the name in {endpoint} cannot be resolved: check --endpoint-url and DNS", sent=False)
        if isinstance(cause, ConnectionRefusedError):
            return Unclear(f"nothing listens at {endpoint}: check --endpoint-url", sent=False)
    return Unclear(f"{endpoint} cannot be reached: check --endpoint-url and the network", sent=False)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
