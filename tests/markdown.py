"""What a document in Markdown holds: fenced blocks, tables, links and code, for the tests that hold it to its word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["Block", "blocks", "code", "links", "prose", "section", "table"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: the heading above it, its language, how many of this language came before it there, its text."""

    heading: str
    language: str
    number: int
    text: str


def blocks(text: str) -> list[Block]:
    """Every fenced block, in order."""
    found: list[Block] = []
    for fence in _FENCE.finditer(text):
        above = _HEADING.findall(text, 0, fence.start())
        heading, language = above[-1] if above else "", fence[1]
        number = sum((one.heading, one.language) == (heading, language) for one in found)
        found.append(Block(heading, language, number, fence[2]))
    return found


def section(text: str, heading: str) -> str:
    """What stands under `heading`, up to the next one."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"there is no section {heading!r}"
    return rest.partition("\n## ")[0]


def prose(text: str) -> str:
    """The document without its fenced blocks, each run of blanks and line ends as one blank."""
    return " ".join(_FENCE.sub("", text).split())


def table(text: str) -> list[list[str]]:
    """The rows of the one table in `text`, without the line below its head."""
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1, "the rows differ in length"
    return rows


def code(text: str) -> list[str]:
    """Every `span` of code outside of fenced blocks."""
    return re.findall(r"`([^`]+)`", prose(text))


def links(path: Path) -> list[Path]:
    """Where the document's links to files lead."""
    text = _FENCE.sub("", path.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    plain = (target.partition("#")[0] for target in targets if "://" not in target)
    return [path.parent / target for target in plain if target]
