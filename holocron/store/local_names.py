"""How a key becomes a path of `LocalStore` and back: any key, on any file system, without two keys meeting.

* A segment of a key (what stands between two slashes) becomes one name. Letters a-z, digits, `_`, `=`, `-` and `.`
  stand for themselves; every other byte of its UTF-8 is written `%xx`. Upper case is written so too: on a file
  system that ignores case `A` and `a` would be one object.
* A directory's name never holds a dot and an object's name always does (one is added at the end where the segment
  has none), so the objects `a` and `a/b` live side by side. No object's name begins with a dot: those are ours.
* An empty segment is `%`. A segment too long for one name is cut into pieces; all but the last are directories whose
  names end in `+`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

__all__ = ["directory_of", "name_segment", "path_of", "segment_name"]

# The longest file name that every file system of note takes is 255 bytes.
_PIECE = 200
_ESCAPE = re.compile(rb"[^a-z0-9_=.-]")
_PLAIN_NAME = re.compile(r"[a-z0-9_=-][a-z0-9_=.-]*[a-z0-9_=-]\Z")


def _escape(segment: str, pattern: re.Pattern[bytes]) -> str:
    return pattern.sub(lambda found: b"%%%02x" % found.group()[0], segment.encode()).decode("ascii")


_ESCAPE_DOT = re.compile(rb"[^a-z0-9_=-]")


def _pieces(name: str) -> list[str]:
    cut = [name[at : at + _PIECE] for at in range(0, len(name), _PIECE)]
    return [piece + "+" for piece in cut[:-1]] + cut[-1:]


def _directory(segment: str) -> list[str]:
    return _pieces(_escape(segment, _ESCAPE_DOT)) if segment else ["%"]


def segment_name(segment: str) -> list[str]:
    """The names, outermost directory first, under which the last segment of a key is kept."""
    if not segment:
        return ["%."]
    if len(segment) <= _PIECE and _PLAIN_NAME.match(segment):
        return [segment] if "." in segment else [segment + "."]
    name = _escape(segment, _ESCAPE)
    if name[0] == ".":
        name = "%2e" + name[1:]
    if name[-1] == ".":
        name = name[:-1] + "%2e"
    if len(name) > _PIECE:
        # A piece that begins with a dot would look like a file of ours.
        name = _escape(segment, _ESCAPE_DOT)
    pieces = _pieces(name)
    if "." not in pieces[-1]:
        pieces[-1] += "."
    return pieces


def directory_of(prefix: str) -> list[str]:
    """The names of the directory that holds every key that begins with `prefix`, as deep as it can be told."""
    return [name for segment in prefix.split("/")[:-1] for name in _directory(segment)]


def path_of(key: str) -> list[str]:
    """The names, outermost first, under which `key` is kept."""
    return directory_of(key) + segment_name(key.rpartition("/")[2])


def name_segment(names: str, *, is_object: bool) -> str | None:
    """The segment that the joined pieces `names` (without their `+`) stand for, or None where they are not ours.

    Only the one spelling that `path_of` gives is ours, so that no key is listed that could not be read.
    """
    bare = names
    if is_object and bare.endswith("."):
        bare = bare[:-1]
    try:
        segment = "" if bare == "%" else unquote_to_bytes(bare).decode()
    except UnicodeDecodeError:
        return None
    spelled = segment_name(segment) if is_object else _directory(segment)
    joined = "".join(piece.removesuffix("+") for piece in spelled)
    return segment if joined == names else None
