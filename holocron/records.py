"""What lies in the bucket: frozen records, written as JSON that people can read, decoded strictly and within bounds.

Every record carries its format, the uuid of its cluster and a nonce. The nonce makes equal records differ in their
bytes: equal bytes give equal ETags, and an equal ETag would make a compare-and-swap blind. All times that a rule
reads are durations in whole milliseconds; wall-clock times are strings for people and no rule reads them back.

Decoding has three outcomes for a reader: the record, `RecordUnreadable` with one line that says why, and never
anything else, whatever the bytes are (I12).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holocron.errors import RecordUnreadable, SettingsError
from holocron.layout import (
    CLUSTER,
    CONTROL,
    EPOCHS,
    MAX_NUMBER,
    PROBE,
    history_key,
    identity_key,
    member_key,
    numbered,
    state_key,
)

__all__ = [
    "FORMAT",
    "VIEW_LIMIT_BYTES",
    "VIEW_LIMIT_MEMBERS",
    "Beacon",
    "Cause",
    "Control",
    "Epoch",
    "Floor",
    "Genesis",
    "Heir",
    "History",
    "Identity",
    "Leader",
    "Marker",
    "Member",
    "Past",
    "Published",
    "Record",
    "State",
    "Status",
    "check_description",
    "decode",
    "encode",
    "rows",
]

FORMAT = 1
# The widest record is an epoch or a state with a view of some thousands of members.
RECORD_LIMIT_BYTES = 8 * 1024 * 1024
# What a view may take of that: the history has to hold a whole lock file in one record, and something around it.
VIEW_LIMIT_BYTES = 4 * 1024 * 1024
VIEW_LIMIT_MEMBERS = 20_000

Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Count = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Millis = Annotated[int, Meta(ge=1, le=86_400_000)]
NodeId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\Z")]
Nonce = Annotated[str, Meta(min_length=1, max_length=128)]
Uuid = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=1024)]
Label = Annotated[str, Meta(max_length=256)]
Labels = Annotated[dict[Label, Label], Meta(max_length=64)]
Priority = Annotated[int, Meta(ge=0, le=1000)]
# Where a node listens for hints, HOST:PORT. It is not written where there is none, as before there were hints.
Hints = Annotated[str, Meta(max_length=64)] | UnsetType

Cause = Literal["first", "renewed", "expired", "released", "handover"]
Status = Literal["alive", "late", "gone"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every record has."""

    format: Annotated[int, Meta(ge=1, le=1_000_000)] = FORMAT
    cluster: Uuid
    nonce: Nonce


class Leader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who holds an epoch: the node, which of its incarnations, and which process of that incarnation (`session`)."""

    node: NodeId
    incarnation: Count
    session: Nonce
    name: Text = ""
    address: Text = ""


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row of the leader's topology view. `rank` is the order of joining; `standing` says it wants to lead.

    What is as by default is not written: every lock file carries a row for every member.
    """

    node: NodeId
    incarnation: Count
    status: Status
    rank: Number
    priority: Priority = 1
    standing: bool = False
    name: Text = ""
    address: Text = ""
    labels: Labels = {}
    hints: Hints = UNSET


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value that a leader published last, and the epoch and term it published it in."""

    value: bytes
    epoch: Count
    term: Count


class Heir(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node that is to go first after a release."""

    node: NodeId


class Genesis(Record, frozen=True, kw_only=True):
    """cluster.json: created once, never changed. An epoch that cannot be read is waited out for `ttl_max_ms`."""

    ttl_min_ms: Millis
    ttl_max_ms: Millis
    created: Text


class Floor(Record, frozen=True, kw_only=True):
    """Numbers below `floor` may be gone. It exists from genesis on and only ever rises."""

    floor: Count


class Epoch(Record, frozen=True, kw_only=True):
    """One lock file: who leads, for how long, why, and what the leader knows of everyone."""

    epoch: Count
    term: Count
    kind: Literal["lease", "release"]
    cause: Cause
    leader: Leader
    # The nonce of epoch - 1, or "" for the first; for a predecessor that could not be read, the digest of its bytes.
    previous: Annotated[str, Meta(max_length=128)]
    ttl_ms: Millis
    renew_ms: Millis
    floor: Count
    # The last control request that was dealt with, so that the next leader goes on where this one stopped.
    control: Number
    heir: Heir | None
    published: Published | None
    topology: Annotated[tuple[Member, ...], Meta(max_length=VIEW_LIMIT_MEMBERS)]
    written: Text
    # What is left of a pause (rule 14). Not there unless one is on, so that whoever knows of none reads all others.
    paused_ms: Millis | UnsetType = UNSET


class Beacon(Record, frozen=True, kw_only=True):
    """members/<id>.json: rewritten by every heartbeat, compare-and-swap, so that a former self finds out."""

    node: NodeId
    incarnation: Count
    session: Nonce
    # Rises with every change that others should read; the length of the object says it too (see `protocol.membership`).
    revision: Count
    # Rises with every heartbeat of one session: where it is less than what was confirmed, the store was rolled back.
    beat: Count
    every_ms: Millis
    epoch: Number
    role: Text
    standing: bool
    stopped: bool
    priority: Priority
    rank_hint: Number = 0
    name: Text
    address: Text
    labels: Labels
    home: Text
    written: Text
    hints: Hints = UNSET


class Control(Record, frozen=True, kw_only=True):
    """control/<n>.json: an operator asks the leader of `term` to hand over, to `heir` if one is named, or to pause
    for `for_ms`, or to pause no more. A leader that does not know the request passes over it.
    """

    number: Count
    request: Literal["step-down", "pause", "unpause"]
    term: Count
    heir: Heir | None
    by: Text
    written: Text
    for_ms: Millis | UnsetType = UNSET


class Past(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An epoch that retention took out: the record as it was, or the raw bytes where it could not be read."""

    epoch: Count
    record: Epoch | None
    raw: bytes | None = None


class History(Record, frozen=True, kw_only=True):
    """history/<first>-<last>.json: what retention took out of epochs/, nothing lost."""

    first: Count
    last: Count
    epochs: Annotated[tuple[Past, ...], Meta(max_length=10_000)]


class Holder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The compute that a node runs on, for people: whom to ask when two want the same node."""

    host: Text
    pid: Number
    since: Text


class Identity(Record, frozen=True, kw_only=True):
    """nodes/<id>/identity.json: who the node is and its current incarnation; changed by compare-and-swap only."""

    node: NodeId
    incarnation: Count
    session: Nonce
    # The root of the cluster's store, so that a node with its own home can be resumed from the home alone.
    cluster_uri: Text
    name: Text
    address: Text
    labels: Labels
    priority: Priority
    holder: Holder
    created: Text
    forgotten: bool = False


class State(Record, frozen=True, kw_only=True):
    """nodes/<id>/state.json: what the node last knew; a hint on resume, and the least epoch it may ever see again."""

    node: NodeId
    incarnation: Count
    epoch: Number
    term: Number
    role: Text
    leader: Leader | None
    topology: Annotated[tuple[Member, ...], Meta(max_length=VIEW_LIMIT_MEMBERS)]
    topology_epoch: Number
    written: Text


class Marker(Record, frozen=True, kw_only=True):
    """probe.json: this store has shown that it keeps its promises."""

    probed: Text
    rounds: Number
    # Whether the store's Date and LastModified agreed (rule 11 may be used), and by how much they differed.
    clock_agrees: bool
    clock_off_ms: Annotated[int, Meta(ge=-(10**12), le=10**12)] | None = None


R = TypeVar("R", bound=Record)

# The view that was written last, as it was written: a pair that is replaced whole, so that any thread may.
_rows: list[tuple[tuple[Member, ...], bytes]] = [((), b"")]


class _Header(msgspec.Struct, frozen=True):
    format: int


class _Description(msgspec.Struct, frozen=True):
    name: Text | None
    address: Text | None
    labels: Labels | None


def check_description(
    name: str | None, address: str | None, labels: dict[str, str] | None, priority: int | None
) -> None:
    """Raise `SettingsError` where a record could not hold what the caller says of a node: nobody could read it."""
    if priority is not None and not (type(priority) is int and 0 <= priority <= 1000):
        raise SettingsError(f"priority is {priority} and must be between 0 and 1000")
    try:
        said = msgspec.convert({"name": name, "address": address, "labels": labels}, _Description)
        msgspec.json.encode(said)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).rpartition(" - at `$.")
        raise SettingsError(f"{where.rstrip('`')} of the node does not fit a record: {_line(reason)}") from None
    except UnicodeEncodeError:
        raise SettingsError("name, address or labels of the node hold what is not valid Unicode text") from None


def encode(record: Record) -> bytes:
    """`record` as indented JSON with a newline at its end; a view has one line for each member."""
    if isinstance(record, Epoch | State) and record.topology:
        bare = encode(msgspec.structs.replace(record, topology=()))
        # No quotation mark within a string is bare, so these are the field itself and nothing else.
        return bare.replace(b'"topology": []', b'"topology": [\n    ' + rows(record.topology) + b"\n  ]", 1)
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def rows(members: tuple[Member, ...]) -> bytes:
    """`members` as they are written in a view: one line of JSON for each."""
    # A thousand nodes of one process keep the one view that the leader has: it is written out once for all of them.
    known, text = _rows[0]
    if known is not members:
        text = b",\n    ".join([msgspec.json.encode(member) for member in members])
        _rows[0] = (members, text)
    return text


def decode(kind: type[R], body: bytes, key: str, cluster: str | None = None) -> R:
    """The record of `kind` in `body`, which was read from `key`.

    Args:
        cluster: the uuid that the record must carry, or None where any will do (genesis itself).

    Raises:
        RecordUnreadable: for anything but a well-formed record of a format we know, of this cluster, whose own
            number or node agrees with its key.
    """
    if len(body) > RECORD_LIMIT_BYTES:
        raise RecordUnreadable(f"{key} is {len(body)} bytes long; no record is: it was not written by Holocron")
    try:
        header = msgspec.json.decode(body, type=_Header)
        if header.format > FORMAT:
            raise RecordUnreadable(
                f"{key} has format {header.format}, this Holocron reads up to {FORMAT}: upgrade before you go on"
            )
        record = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        # msgspec raises more than its own type: deep nesting and bad UTF-8 come out as Python's.
        name = kind.__name__.lower()
        article = "an" if name[0] in "aeiou" else "a"
        raise RecordUnreadable(f"{key} is not {article} {name} record: {_line(str(error))}") from None
    if cluster is not None and record.cluster != cluster:
        raise RecordUnreadable(
            f"{key} belongs to cluster {_line(record.cluster)}, not to {cluster}: two clusters share a prefix"
        )
    own = _own_key(record)
    if own is not None and own != key:
        raise RecordUnreadable(f"{key} holds what belongs under {own}: it was copied there, or not written by Holocron")
    return record


def _own_key(record: Record) -> str | None:
    """The one key that `record` can lie under; None for a floor, of which there is one for each chain."""
    match record:
        case Genesis():
            return CLUSTER
        case Epoch(epoch=number):
            return numbered(EPOCHS, number)
        case Beacon(node=node):
            return member_key(node)
        case Control(number=number):
            return numbered(CONTROL, number)
        case History(first=first, last=last):
            return history_key(first, last)
        case Identity(node=node):
            return identity_key(node)
        case State(node=node):
            return state_key(node)
        case Marker():
            return PROBE
    return None


def _line(text: str) -> str:
    """`text`, which a stranger may have chosen, cut short and without what would not stay on one line of a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
