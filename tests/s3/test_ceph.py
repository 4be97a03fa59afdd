"""Against a real object store, Ceph's gateway: the store contract, and what this server does unlike the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from holocron.errors import StoreUnfit
from holocron.store.base import Clash, List, Listed, Put, Store, Unclear, Written
from holocron.store.probe import probe
from holocron.store.s3 import S3Store
from tests.s3.ceph import BUCKET, Ceph
from tests.store.contract import StoreContract

pytestmark = pytest.mark.ceph


@pytest.fixture
def gateway(ceph: Ceph, aws: None) -> Iterator[S3Store]:
    """A place of its own in the gateway's bucket."""
    made = S3Store(BUCKET, f"ceph/{secrets.token_hex(8)}", endpoint_url=ceph.url)
    yield made
    made.close()


class TestContract(StoreContract):
    """boto3 against Ceph's gateway keeps the contract."""

    full_pages = False

    @pytest.fixture
    def store(self, gateway: S3Store) -> Store:
        return gateway


def test_the_probe_finds_it_fit(gateway: S3Store) -> None:
    """It keeps its promises, and the probe finds the one form of If-Match that it understands (design section 3)."""
    findings = probe(gateway, attempt_s=10)
    assert findings.ok, findings.checks
    assert findings.rounds > 0
    assert findings.clock_agrees
    listed = gateway.perform(List(""), 10)
    assert isinstance(listed, Listed)
    assert listed.entries == ()


def test_replacing_what_is_missing_is_a_clash(gateway: S3Store) -> None:
    """If-Match against a missing key is a failed condition, whether the server says 404 or 412 (design section 3)."""
    assert isinstance(gateway.perform(Put("missing", b"1", '"0123456789abcdef0123456789abcdef"'), 10), Clash)


def test_a_race_has_one_winner_whatever_the_losers_are_told(gateway: S3Store) -> None:
    """Losers may be told 500, which is an unknown outcome and never a win (I3, design section 3)."""
    for number in range(10):
        answers = gateway.race(f"race/{number}", [secrets.token_bytes(16) for _ in range(16)], 30)
        assert sum(isinstance(answer, Written) for answer in answers) <= 1
        assert all(isinstance(answer, Written | Clash | Unclear) for answer in answers), answers


def test_a_versioned_bucket_is_judged_by_what_it_does(gateway: S3Store, ceph: Ceph) -> None:
    """Ceph 16 heeds no condition in a bucket that keeps every version: the probe finds out, and says what to try."""
    client = gateway.client(30)
    bucket = f"versioned-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="raw", Body=b"1", IfNoneMatch="*")
    try:
        client.put_object(Bucket=bucket, Key="raw", Body=b"2", IfNoneMatch="*")
        heeded = False
    except ClientError:
        heeded = True
    findings = probe(S3Store(bucket, "", endpoint_url=ceph.url), attempt_s=10)
    assert findings.versioned
    assert findings.ok is heeded
    if not heeded:
        with pytest.raises(StoreUnfit, match="try a bucket without"):
            findings.raise_if_unfit()
