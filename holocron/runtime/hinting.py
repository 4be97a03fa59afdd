"""Hints as they travel: one small datagram that says "look now". Whoever gets one reads the store, and no more.

Nothing in a hint is believed, so it is neither signed nor answered nor sent again. Only the standard library is needed
here, so that the smallest process can send one.
"""

from __future__ import annotations

import functools
import hashlib
import socket
import struct
from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["Hint", "Kind", "datagram", "send", "topic", "understood"]

# "news": there is an epoch to read. "control": there is a request to the leader.
Kind = Literal["news", "control"]
_KINDS: tuple[Kind, ...] = ("news", "control")
# A mark with the version of this form; which kind; for whom; which epoch or request. 29 bytes.
_FORM = struct.Struct("!4sB16sQ")
_MARK = b"hol1"
_MOST = 2**53 - 1


class Hint(NamedTuple):
    """What a datagram says: for whom (see `topic`), of which kind, and which number is there."""

    topic: bytes
    kind: Kind
    number: int


@functools.lru_cache(4096)
def topic(cluster: str, node: str = "") -> bytes:
    """Who is meant: every node of `cluster` that listens there, or `node` of it alone."""
    return hashlib.blake2b(f"{cluster}/{node}".encode(), digest_size=16).digest()


def datagram(hint: Hint) -> bytes:
    """The bytes that say `hint`."""
    return _FORM.pack(_MARK, _KINDS.index(hint.kind), hint.topic, hint.number)


def understood(data: bytes) -> Hint | None:
    """What `data` says, or None where it is anything but a datagram of exactly this form."""
    if len(data) != _FORM.size:
        return None
    mark, kind, whom, number = _FORM.unpack(data)
    if mark != _MARK or kind >= len(_KINDS) or not 1 <= number <= _MOST:
        return None
    return Hint(whom, _KINDS[kind], number)


def send(addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = "") -> int:
    """Tell whoever listens at `addresses` (HOST:PORT, numeric) to look; to how many a datagram was sent.

    It never waits and never raises: what cannot be sent now is not sent at all, and the store is polled anyway.

    Args:
        number: the epoch that is there now; the number of the request, for "control".
        node: whom it is for, where it is not for every node of the cluster that listens there.
    """
    data = datagram(Hint(topic(cluster, node), kind, number))
    sent = 0
    sockets: dict[socket.AddressFamily, socket.socket] = {}
    try:
        for address in dict.fromkeys(addresses):
            place = _place(address)
            if place is None:
                continue
            family, there = place
            try:
                if family not in sockets:
                    sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
                    sockets[family].setblocking(False)
                sockets[family].sendto(data, there)
            except OSError:
                # Nobody is there, or the machine has no room for it now.
                continue
            sent += 1
    finally:
        for one in sockets.values():
            one.close()
    return sent


@functools.lru_cache(4096)
def _place(address: str) -> tuple[socket.AddressFamily, tuple[str, int]] | None:
    """Where a datagram for `address` goes; None for what no node would say of itself, or a name to be looked up."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    family = socket.AF_INET if bare == host else socket.AF_INET6
    try:
        packed = socket.inet_pton(family, bare)
    except (OSError, UnicodeEncodeError, ValueError):
        return None
    # One machine is meant, not many at once and not any: 224.0.0.0 and above, ff00::, all zeros.
    if packed[0] >= (0xE0 if family is socket.AF_INET else 0xFF) or not any(packed):
        return None
    return family, (bare, int(port))
