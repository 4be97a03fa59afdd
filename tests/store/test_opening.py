"""URIs and options: what opens, and what is refused with a line that helps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holocron.errors import MissingExtra, SettingsError
from holocron.store.local import LocalStore
from holocron.store.memory import MemoryStore
from holocron.store.opening import StoreOptions, open_store, parse_location
from tests.store.contract import create, read


def test_memory() -> None:
    """memory://name/prefix opens shared objects under a prefix."""
    store = open_store("memory://opening/a/b")
    assert isinstance(store, MemoryStore)
    create(store, "k", b"1")
    assert read(open_store("memory://opening"), "a/b/k").body == b"1"
    assert store.uri == "memory://opening/a/b"
    MemoryStore.forget("opening")


def test_file(tmp_path: Path) -> None:
    """file:///path opens a directory, percent-decoded, and says the same URI back."""
    store = open_store(f"file://{tmp_path}/with%20blank/leader/")
    assert isinstance(store, LocalStore)
    create(store, "k", b"1")
    assert (tmp_path / "with blank" / "leader" / "k.").read_bytes() == b"1"
    assert store.uri == f"file://{tmp_path}/with%20blank/leader"
    assert read(open_store(store.uri), "k").body == b"1"


def test_s3_is_not_reached_by_opening() -> None:
    """Opening s3:// sends nothing: the store says where it is, and problems show in answers."""
    store = open_store("s3://bucket/some/prefix/", StoreOptions(endpoint_url="http://127.0.0.1:1", region="eu-west-1"))
    assert store.uri == "s3://bucket/some/prefix"
    assert open_store("s3://bucket").uri == "s3://bucket"


@pytest.mark.parametrize(
    ("uri", "scheme", "place", "prefix"),
    [
        ("s3://bucket", "s3", "bucket", ""),
        ("S3://bucket/", "s3", "bucket", ""),
        ("s3://my.old_Bucket/leader", "s3", "my.old_Bucket", "leader"),
        ("s3://b--usw2-az1--x-s3/a/b/", "s3", "b--usw2-az1--x-s3", "a/b"),
        ("gs://bucket/a", "gs", "bucket", "a"),
        ("az://container/a", "az", "container", "a"),
        ("memory://x", "memory", "x", ""),
        ("file:///a//b/", "file", "/a/b", ""),
        ("file:///a%3Fb", "file", "/a?b", ""),
    ],
)
def test_good_uris(uri: str, scheme: str, place: str, prefix: str) -> None:
    """A URI that makes sense is taken apart as a person would."""
    where = parse_location(uri)
    assert (where.scheme, where.place, where.prefix) == (scheme, place, prefix)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "s3://BUCKET/PREFIX"),
        ("bucket", "s3://bucket"),
        ("/var/lib/x", "file:///absolute/path"),
        ("./x", "file:///absolute/path"),
        ("~/x", "file:///absolute/path"),
        ("local", "s3://local"),
        ("ftp://x/y", "no store is called 'ftp'"),
        ("://x", "no store is called"),
        ("s3:/bucket", "s3://BUCKET/PREFIX"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("az:///prefix", "names no container"),
        ("s3://b", "cannot be a bucket"),
        ("s3://-bucket", "cannot be a bucket"),
        ("s3://bu cket", "cannot be a bucket"),
        ("s3://bucket:9000/x", "cannot be a bucket"),
        ("s3://bucket/a b", "cannot be a prefix"),
        ("s3://bucket/a//b", "cannot be a prefix"),
        ("s3://bucket/../b", "cannot be a prefix"),
        ("s3://bucket/.a", "cannot be a prefix"),
        ("s3://bucket/" + "a" * 513, "cannot be a prefix"),
        ("s3://bucket/é", "cannot be a prefix"),
        ("s3://bucket/a?region=x", "query"),
        ("s3://bucket/a#b", "fragment"),
        ("s3://bucket/a\n", "control characters"),
        ("s3://bucket/a ", "blanks"),
        (" s3://bucket/a", "blanks"),
        ("memory://", "needs a name"),
        ("memory:///x", "needs a name"),
        ("file://relative/path", "three slashes"),
        ("file://", "three slashes"),
        ("file:///", "name a directory"),
        ("file:///a/../b", "plain"),
        ("file:///a/%2e%2e/b", "plain"),
        ("file:///a%00b", "plain"),
        ("file:///a%ff", "UTF-8"),
        ("file:///a?x=y", "query"),
    ],
)
def test_bad_uris(uri: str, says: str) -> None:
    """A URI that makes no sense is refused with one line that says what would ("Bad input")."""
    with pytest.raises(SettingsError) as caught:
        open_store(uri)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["s3://AKIAKEY:topsecret@bucket/x", "topsecret@bucket", "memory://topsecret@x", "s3://bucket/x?secret=topsecret"],
)
def test_credentials_in_a_uri(uri: str) -> None:
    """Credentials in a URI are refused, and the message does not repeat them."""
    with pytest.raises(SettingsError) as caught:
        open_store(uri)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"endpoint_url": "localhost:9000"}, "must be a URL"),
        ({"endpoint_url": "ftp://x"}, "must be a URL"),
        ({"endpoint_url": "http://"}, "must be a URL"),
        ({"endpoint_url": "http://user:topsecret@x"}, "no credentials"),
        ({"bucket_owner": "me"}, "12 digits"),
        ({"bucket_owner": "123456789012\n"}, "12 digits"),
        ({"timeout_s": 0.0}, "between"),
        ({"timeout_s": float("nan")}, "between"),
    ],
)
def test_bad_options(options: dict[str, object], says: str) -> None:
    """Options that make no sense are refused where they are made, without repeating a secret."""
    with pytest.raises(SettingsError) as caught:
        StoreOptions(**options)  # type: ignore[arg-type] # the point is to give what does not fit
    assert says in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_options_of_s3_alone() -> None:
    """An option that a store cannot heed is refused and not ignored."""
    with pytest.raises(SettingsError, match="region"):
        open_store("memory://x", StoreOptions(region="eu-west-1"))


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_missing_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """gs:// and az:// without obstore say which extra to install."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(MissingExtra, match=r"pip install 'holocron-runtime\[objectstore\]'"):
        open_store(f"{scheme}://bucket/x")


def test_opening_loads_only_what_it_opens() -> None:
    """The module that knows the schemes loads neither boto3 nor obstore until one of theirs is opened."""
    code = (
        "import sys, holocron.store.opening as o; o.open_store('memory://x');"
        "print([name for name in ('boto3', 'botocore', 'obstore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
