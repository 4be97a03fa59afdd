"""The simulated bucket that keeps versions: what a delete marker is to a read, a LIST and a write."""

from __future__ import annotations

from collections import Counter

import pytest

from holocron.store.base import Absent, Clash, Conflict, Delete, Found, Get, List, Listed, Put, Written
from holocron.testing.simulation.bucket import BucketStore
from holocron.testing.simulation.misfortune import Versions


class Bucket:
    """A bucket in which `key` was deleted, at second 0."""

    def __init__(self, versions: Versions) -> None:
        self.now_s = 0.0
        self.store = BucketStore("cluster", lambda: self.now_s, versions, Counter())
        written = self.store.perform(Put("key", b"first"), 1.0)
        assert isinstance(written, Written)
        self.etag = written.etag
        self.store.perform(Delete("key"), 1.0)


@pytest.mark.parametrize("versions", ["", "marked", "stubborn"])
def test_a_marker_is_an_absent_key(versions: Versions) -> None:
    """Neither a read nor a LIST shows a marker, and nothing can be replaced under it."""
    bucket = Bucket(versions)
    assert isinstance(bucket.store.perform(Get("key"), 1.0), Absent)
    listed = bucket.store.perform(List(""), 1.0)
    assert isinstance(listed, Listed)
    assert listed.entries == ()
    assert isinstance(bucket.store.perform(Put("key", b"second", bucket.etag), 1.0), Clash)


def test_a_create_that_meets_the_delete_asks_again() -> None:
    """S3 answers 409 while a delete is under way, and afterwards a marker is in nobody's way, from any root."""
    bucket = Bucket("marked")
    assert isinstance(bucket.store.perform(Put("key", b"second"), 1.0), Conflict)
    bucket.now_s = 1.0
    assert isinstance(bucket.store.perform(Put("key", b"second"), 1.0), Written)
    assert isinstance(bucket.store.rooted("").perform(Get("cluster/key"), 1.0), Found)
    assert isinstance(bucket.store.perform(Put("key", b"third"), 1.0), Clash)


def test_a_stubborn_bucket_refuses_a_create_with_nothing_there() -> None:
    """Some stores see the marker: 412, and a read finds nothing; until another bucket takes its place."""
    bucket = Bucket("stubborn")
    bucket.now_s = 1.0
    assert isinstance(bucket.store.perform(Put("key", b"second"), 1.0), Clash)
    assert isinstance(bucket.store.perform(Get("key"), 1.0), Absent)
    bucket.store.unmark()
    assert isinstance(bucket.store.perform(Put("key", b"second"), 1.0), Written)


def test_a_delete_of_nothing_leaves_no_marker() -> None:
    """Retention deletes what may be gone already, and that changes nothing."""
    bucket = Bucket("stubborn")
    bucket.store.perform(Delete("other"), 1.0)
    assert isinstance(bucket.store.perform(Put("other", b"first"), 1.0), Written)
