"""What lies in the bucket: any record comes back as it was, and any bytes are a record or one clear line (I12)."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.errors import RecordUnreadable, SettingsError
from holocron.layout import MAX_NUMBER
from holocron.records import (
    FORMAT,
    RECORD_LIMIT_BYTES,
    Beacon,
    Control,
    Epoch,
    Floor,
    Genesis,
    History,
    Identity,
    Marker,
    Member,
    Record,
    State,
    check_description,
    decode,
    encode,
)
from tests.properties.made import KINDS, record

# Where each kind of record lies (design section 2), written out here once more.
KEYS: dict[type[Record], Callable[[Any], str]] = {
    Genesis: lambda one: "cluster.json",
    Epoch: lambda one: f"epochs/{one.epoch:016d}.json",
    Floor: lambda one: "epochs.floor.json",
    Beacon: lambda one: f"members/{one.node}.json",
    Control: lambda one: f"control/{one.number:016d}.json",
    History: lambda one: f"history/{one.first:016d}-{one.last:016d}.json",
    Identity: lambda one: f"nodes/{one.node}/identity.json",
    State: lambda one: f"nodes/{one.node}/state.json",
    Marker: lambda one: "probe.json",
}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
any_records = st.sampled_from(KINDS).flatmap(record)
PLAIN = Floor(cluster="c", nonce="n", floor=7)
PLAIN_KEY = "epochs.floor.json"


def refused(kind: type[Record], body: bytes, key: str = PLAIN_KEY, cluster: str | None = None) -> str:
    """The one line that says why `body` is no such record."""
    with pytest.raises(RecordUnreadable) as caught:
        decode(kind, body, key, cluster)
    line = str(caught.value)
    assert line.startswith(key)
    assert line.isprintable(), "a log line that strangers could break or colour"
    assert len(line) < len(key) + 500
    return line


def read(kind: type[Record], body: bytes, key: str = PLAIN_KEY) -> Record | None:
    """The record in `body`, or None where it is refused in one clear line; nothing else may come of any bytes."""
    try:
        return decode(kind, body, key)
    except RecordUnreadable:
        refused(kind, body, key)
        return None


# --- there and back -------------------------------------------------------------------------------------------------


@every_kind
@given(data=st.data())
def test_any_record_comes_back_as_it_was(kind: type[Record], data: st.DataObject) -> None:
    """Every field of every kind, at every edge, survives the bucket (design section 2)."""
    one = data.draw(record(kind))
    body = encode(one)
    assert decode(kind, body, KEYS[kind](one), one.cluster) == one
    # For a person with `aws s3 cp ... -`: text on lines of its own, ending in one.
    assert body.endswith(b"}\n")
    assert json.loads(body)["nonce"] == one.nonce


@given(one=any_records, nonce=st.text("0123456789abcdef", min_size=32, max_size=32))
def test_the_nonce_makes_equal_records_differ_in_their_bytes(one: Record, nonce: str) -> None:
    """Equal bytes would give equal ETags, and those would make a compare-and-swap blind (design section 2)."""
    same = msgspec.structs.replace(one, nonce=nonce)
    assert (encode(one) == encode(same)) is (one.nonce == nonce)


# --- whose it is ----------------------------------------------------------------------------------------------------


@given(one=any_records, other=st.sampled_from(["epochs/0000000000000001.json", "members/a.json", "cluster.json", "x"]))
def test_a_record_under_another_key_is_refused(one: Record, other: str) -> None:
    """The key says what a record is of; a copy of it elsewhere is not that node's, and not that epoch (I12)."""
    own = KEYS[type(one)](one)
    if own != other and not isinstance(one, Floor):
        assert own in refused(type(one), encode(one), other)


@given(one=any_records)
def test_a_record_of_another_cluster_is_refused(one: Record) -> None:
    """Two clusters that share a prefix by mistake never read each other (bad input)."""
    assert "another" in refused(type(one), encode(one), KEYS[type(one)](one), "another")
    assert decode(type(one), encode(one), KEYS[type(one)](one)) == one


@every_kind
def test_a_newer_format_is_refused_whatever_else_it_holds(kind: type[Record]) -> None:
    """A record of the future is held by someone we cannot read; the line says what helps (rule 3)."""
    for body in (b'{"format":2,"news":[1,{"a":2}]}', b'{"news":{},"format":%d}' % 10**300):
        assert "upgrade" in refused(kind, body)


@pytest.mark.parametrize("format_", ["0", "-1", "1.0", "1e0", "true", '"1"', "null", "[1]", "NaN"])
def test_a_format_that_is_none_is_refused(format_: str) -> None:
    """Strictly: a number that is written otherwise is not ours."""
    refused(Floor, encode(PLAIN).replace(b'"format": 1', b'"format": ' + format_.encode()))


def test_a_format_is_never_left_out() -> None:
    """Whoever reads it in years to come must know what it is; so must we."""
    bare = {name: value for name, value in json.loads(encode(PLAIN)).items() if name != "format"}
    refused(Floor, json.dumps(bare).encode())
    assert f'"format": {FORMAT}'.encode() in encode(PLAIN)


# --- any bytes at all -----------------------------------------------------------------------------------------------

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, MAX_NUMBER, 2**53, 2**63, 2**64, 10**400]),
    st.floats(),
    st.text(max_size=8),
)
SHAPES = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8)


@given(
    kind=st.sampled_from(KINDS),
    body=st.one_of(st.binary(max_size=200), SHAPES.map(lambda shape: json.dumps(shape).encode())),
)
def test_any_bytes_are_a_record_or_a_clear_line(kind: type[Record], body: bytes) -> None:
    """Noise, and well-formed JSON of any shape, NaN and huge numbers included, end in one type of error (I12)."""
    assert read(kind, body) is None


@given(one=any_records, data=st.data())
def test_a_record_with_one_field_of_another_shape_is_refused_or_sound(one: Record, data: st.DataObject) -> None:
    """Any value in any field: it is refused, or it was one that the field may have, and comes back (I12)."""
    kind, fields = type(one), json.loads(encode(one))
    fields[data.draw(st.sampled_from([*fields, "surprise"]))] = data.draw(SHAPES)
    again = read(kind, json.dumps(fields).encode(), KEYS[kind](one))
    if again is not None:
        assert decode(kind, encode(again), KEYS[kind](one)) == again


@given(one=any_records, data=st.data())
def test_a_damaged_record_is_refused_or_sound(one: Record, data: st.DataObject) -> None:
    """Cut short, doubled, a byte turned: what is still read can be written and read again (I12)."""
    kind = type(one)
    body = bytearray(encode(one))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(body) - 1)) if body else 0
        match data.draw(st.sampled_from(["cut", "turn", "take", "double"])):
            case "cut":
                del body[where:]
            case "turn":
                body[where : where + 1] = data.draw(st.binary(min_size=1, max_size=2))
            case "take":
                del body[where : where + data.draw(st.integers(1, 20))]
            case "double":
                body[where:where] = body[where : where + data.draw(st.integers(1, 20))]
    again = read(kind, bytes(body), KEYS[kind](one))
    if again is not None:
        assert decode(kind, encode(again), KEYS[kind](again)) == again


def test_of_a_name_that_comes_twice_the_last_counts_for_every_reader() -> None:
    """The format that is checked is the format that is read, whichever comes first."""
    body = encode(PLAIN)
    assert "upgrade" in refused(Floor, body.replace(b'"format": 1', b'"format": 1, "format": 2'))
    assert decode(Floor, body.replace(b'"format": 1', b'"format": 2, "format": 1'), PLAIN_KEY) == PLAIN
    assert decode(Floor, body.replace(b'"floor": 7', b'"floor": 9, "floor": 7'), PLAIN_KEY, "c") == PLAIN
    refused(Floor, body.replace(b'"cluster": "c"', b'"cluster": "c", "cluster": "d"'), cluster="c")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf" + encode(PLAIN),
        encode(PLAIN).decode().encode("utf-16"),
        encode(PLAIN).replace(b'"c"', b'"\xff"'),
        encode(PLAIN).replace(b'"c"', b'"\\ud800"'),
        encode(PLAIN).replace(b'"c"', b'"a\nb"'),
        encode(PLAIN).replace(b"7", b"07"),
        encode(PLAIN).replace(b"7", b"7.0"),
        encode(PLAIN).replace(b"7", b"-7"),
        encode(PLAIN).replace(b"7", b"NaN"),
        encode(PLAIN).replace(b"7", b"Infinity"),
        encode(PLAIN).replace(b"7", b"9007199254740992"),
        encode(PLAIN).replace(b"7", b"1e999"),
        encode(PLAIN).replace(b"7", b'"7"'),
        encode(PLAIN).replace(b"7", b"7, }"),
        encode(PLAIN).replace(b"7", b'7, "a\\nb\\u001b[31m": 1'),
        encode(PLAIN) * 2,
        encode(PLAIN)[:-3],
        b"[" + encode(PLAIN) + b"]",
    ],
)
def test_odd_bytes_are_refused(body: bytes) -> None:
    """Other encodings, other numbers, other shapes, and names that would break a log line (I12)."""
    refused(Floor, body)


@pytest.mark.parametrize("node", ["a\n", "A", "", "-a", "a" * 64, "a/b", "\u0661"])
def test_a_name_that_no_node_can_have_is_refused(node: str) -> None:
    """Also under the key that such a node would have: a trailing newline is no part of a name (design section 11)."""
    state = State(
        cluster="c",
        nonce="n",
        node=node,
        incarnation=1,
        epoch=0,
        term=0,
        role="",
        leader=None,
        topology=(),
        topology_epoch=0,
        written="",
    )
    with pytest.raises(RecordUnreadable, match="not a state record"):
        decode(State, encode(state), f"nodes/{node}/state.json")


def test_a_cluster_that_would_break_a_log_line_does_not() -> None:
    """The line names a stranger's cluster without letting it write to the terminal."""
    body = encode(msgspec.structs.replace(PLAIN, cluster="a\nb\x1b[2J"))
    assert "a?b?[2J" in refused(Floor, body, cluster="c")


# --- bounds ---------------------------------------------------------------------------------------------------------

_MANY = RECORD_LIMIT_BYTES // 4
_ROW = b'{"node":"a","incarnation":1,"status":"gone","rank":1}'
BOMBS: dict[str, bytes] = {
    "deep lists": b"[" * _MANY,
    "deep objects": b'{"a":' * (_MANY // 5),
    "deep where a record would be": b'{"format":1,"topology":' + b"[" * _MANY,
    "a number of millions of digits": b'{"format":' + b"9" * _MANY + b"}",
    "a fraction of millions of digits": b'{"format":0.' + b"9" * _MANY + b"}",
    "an exponent of millions of digits": b'{"format":1e' + b"9" * _MANY + b"}",
    "a long text": b'{"format":1,"cluster":"' + b"x" * _MANY + b'"}',
    "a long text of escapes": b'{"format":1,"cluster":"' + b"\\u0041" * (_MANY // 6) + b'"}',
    "blanks": b" " * _MANY + b"{",
    "many labels": b'{"format":1,"labels":{' + b",".join(b'"%x":""' % n for n in range(_MANY // 11)) + b"}}",
    "many members": b'{"format":1,"topology":[' + b",".join([_ROW] * (_MANY // 54)) + b"]}",
    "many small values": b'{"format":1,"surprise":[' + b"[]," * (_MANY // 3) + b"0]}",
    "the same name again and again": b'{"format":1' + b',"node":"a"' * (_MANY // 11) + b"}",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_no_bytes_cost_more_than_they_are_worth(body: bytes) -> None:
    """Decoding is bounded in depth, in time and in memory: a few times the size of what was read (section 2, I12)."""
    tracemalloc.start()
    try:
        refused(Beacon if b"labels" in body else Epoch, body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(body) + RECORD_LIMIT_BYTES


def test_what_is_larger_than_any_record_is_not_even_looked_at() -> None:
    """The bound on size comes first."""
    assert "bytes long" in refused(Floor, b" " * (RECORD_LIMIT_BYTES + 1))
    whole = encode(PLAIN) + b" " * (RECORD_LIMIT_BYTES - len(encode(PLAIN)))
    assert decode(Floor, whole, PLAIN_KEY) == PLAIN


# --- what callers say of a node -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ({"name": "x" * 1025}, "name"),
        ({"address": "x" * 1025}, "address"),
        ({"name": "\udcff"}, "Unicode"),
        ({"labels": {"a": "\udcff"}}, "Unicode"),
        ({"labels": {"a": "x" * 257}}, "labels"),
        ({"labels": {"x" * 257: "a"}}, "labels"),
        ({"labels": {str(number): "" for number in range(65)}}, "labels"),
        ({"labels": {"a": 1}}, "labels"),
        ({"name": b"bytes"}, "name"),
        ({"priority": -1}, "priority"),
        ({"priority": 1001}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 1.5}, "priority"),
    ],
)
def test_what_no_record_can_hold_is_refused_before_it_is_written(said: dict[str, Any], about: str) -> None:
    """A node whose own identity could not be read again would be lost, and its lock files would bind everyone."""
    with pytest.raises(SettingsError, match=about) as caught:
        check_description(**({"name": None, "address": None, "labels": None, "priority": None} | said))
    assert str(caught.value).isprintable()


@given(identity=record(Identity))
def test_what_a_record_can_hold_is_taken(identity: Identity) -> None:
    """The check refuses nothing that could be read back."""
    check_description(identity.name, identity.address, identity.labels, identity.priority)
    check_description(None, None, None, None)


# --- what came later ------------------------------------------------------------------------------------------------


def test_a_record_from_before_hints_is_read_and_without_hints_none_has_a_word_of_them() -> None:
    """Old and new processes share a cluster as long as nobody is given an address; then a row says where (rule 16)."""
    row = Member(node="a", incarnation=1, status="alive", rank=1)
    bare = msgspec.json.encode(row)
    assert b'"hints"' not in bare
    assert msgspec.json.decode(bare, type=Member) == row
    told = msgspec.structs.replace(row, hints="[2001:db8::1234:5678]:65535")
    assert msgspec.json.decode(msgspec.json.encode(told), type=Member) == told


def test_a_place_for_hints_is_short() -> None:
    """A beacon with more than an address where an address belongs is no beacon: it rides in every lock file."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            b'{"node":"a","incarnation":1,"status":"alive","rank":1,"hints":"%s"}' % (b"x" * 65), type=Member
        )
