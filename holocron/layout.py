"""Every key that Holocron reads or writes, relative to the root of its store (`<prefix>/` or `<home>/`)."""

from __future__ import annotations

import re
import secrets

from holocron.errors import SettingsError

__all__ = [
    "CLUSTER",
    "CONTROL",
    "EPOCHS",
    "EPOCH_FLOOR",
    "HISTORY",
    "MAX_NUMBER",
    "MEMBERS",
    "NODES",
    "PROBE",
    "check_node_id",
    "check_prefix",
    "checkpoint_prefix",
    "fresh_node_id",
    "history_key",
    "history_range",
    "identity_key",
    "journal_floor_key",
    "journal_prefix",
    "member_id",
    "member_key",
    "number_of",
    "numbered",
    "state_key",
]

CLUSTER = "cluster.json"
EPOCHS = "epochs/"
EPOCH_FLOOR = "epochs.floor.json"
MEMBERS = "members/"
CONTROL = "control/"
HISTORY = "history/"
NODES = "nodes/"
# The marker of a probe that the store has passed, and the folder the probe works in.
PROBE = "probe.json"
PROBE_ROOM = "probe/"

# The largest integer that every JSON reader keeps exact.
MAX_NUMBER = 2**53 - 1

# `\Z` and not `$`: a dollar sign would let "node\n" through.
_NODE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_NUMBERED = re.compile(r"[0-9]{16}\Z")
_RANGE = re.compile(r"([0-9]{16})-([0-9]{16})\.json\Z")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*\Z")


def fresh_node_id() -> str:
    """A node id that no other node has: 12 hex digits from the system's randomness."""
    return secrets.token_hex(6)


def check_node_id(node_id: str) -> str:
    """`node_id` itself if it can name a node, else `SettingsError`."""
    if not _NODE_ID.match(node_id):
        raise SettingsError(
            f"{node_id[:80]!r} cannot name a node: 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit"
        )
    return node_id


def check_prefix(prefix: str) -> str:
    """`prefix` without its outer slashes if it can hold a cluster, else `SettingsError`."""
    bare = prefix.strip("/")
    if not _PREFIX.match(bare) or len(bare) > 512:
        raise SettingsError(
            f"{prefix[:80]!r} cannot be a prefix: up to 512 of A-Z, a-z, 0-9, '.', '_', '=', '-', "
            "in parts divided by '/', each starting with a letter or digit"
        )
    return bare


def numbered(prefix: str, number: int, suffix: str = ".json") -> str:
    """The key of object `number` of a chain; 16 digits, so that names sort as numbers do."""
    if not 0 <= number <= MAX_NUMBER:
        raise SettingsError(f"{number} cannot be numbered under {prefix}: 0 to {MAX_NUMBER}")
    return f"{prefix}{number:016d}{suffix}"


def number_of(prefix: str, key: str, suffix: str = ".json") -> int | None:
    """The number in `key`, or None where `numbered` would never have made it for that chain (a foreign object)."""
    if not key.startswith(prefix) or not key.endswith(suffix):
        return None
    digits = key[len(prefix) : len(key) - len(suffix)]
    # A shorter number, or another suffix, would be a second key for one number.
    if not _NUMBERED.match(digits):
        return None
    number = int(digits)
    return number if 1 <= number <= MAX_NUMBER else None


def history_key(first: int, last: int) -> str:
    """The key of the compacted epochs `first` to `last`, both included."""
    return f"{HISTORY}{first:016d}-{last:016d}.json"


def history_range(key: str) -> tuple[int, int] | None:
    """The first and last epoch that `key` covers, or None for a foreign object."""
    if not key.startswith(HISTORY):
        return None
    match = _RANGE.match(key[len(HISTORY) :])
    if match is None:
        return None
    first, last = int(match.group(1)), int(match.group(2))
    return (first, last) if 1 <= first <= last <= MAX_NUMBER else None


def member_key(node_id: str) -> str:
    """The key of a node's presence beacon."""
    return f"{MEMBERS}{node_id}.json"


def member_id(key: str) -> str | None:
    """The node id in a beacon's key, or None for a foreign object."""
    if not key.startswith(MEMBERS) or not key.endswith(".json"):
        return None
    node_id = key[len(MEMBERS) : -len(".json")]
    return node_id if _NODE_ID.match(node_id) else None


def identity_key(node_id: str) -> str:
    """The key of who a node is."""
    return f"{NODES}{node_id}/identity.json"


def journal_prefix(node_id: str) -> str:
    """Where a node's journal slots lie."""
    return f"{NODES}{node_id}/journal/"


def journal_floor_key(node_id: str) -> str:
    """The key of the floor of a node's journal."""
    return f"{NODES}{node_id}/journal.floor.json"


def checkpoint_prefix(node_id: str) -> str:
    """Where a node's checkpoints lie."""
    return f"{NODES}{node_id}/checkpoint/"


def state_key(node_id: str) -> str:
    """The key of what a node last knew."""
    return f"{NODES}{node_id}/state.json"
