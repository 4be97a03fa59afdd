"""What is listed: columns that nothing can break, and JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from holocron_cli import show


class Record(msgspec.Struct, frozen=True):
    """Something to show."""

    node: str
    value: bytes | None = None
    labels: dict[str, str] = {}


def test_json_holds_records_text_and_bytes() -> None:
    """Bytes that are text stay readable, others become base64."""
    shown = json.loads(show.as_json((Record("a", b"http://x", {"z": "1"}), Record("b", b"\xff"))))
    assert shown[0] == {"node": "a", "value": "http://x", "labels": {"z": "1"}}
    assert shown[1]["value"] == {"base64": "/w=="}
    assert "\n" not in show.as_json(Record("a"), line=True)


def test_a_name_drives_neither_the_terminal_nor_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters are replaced and markup is text: who lists a node need not trust its name."""
    show.put(show.columns(("NODE", "NAME"), [("a", "[red]x[/red]\x1b[2J\n"), ("b", None)]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["NODE", "NAME"], ["a", "[red]x[/red]\ufffd[2J\ufffd"], ["b", "-"]]


def test_a_row_is_one_line_in_a_pipe_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read rows by lines, so nothing is wrapped or cut where no terminal is."""
    show.put(show.columns(("NODE", "ADDRESS", "LABELS"), [("a", "x" * 900, {"k": "v", "l": "w"})]))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert lines[1].split() == ["a", "x" * 900, "k=v,l=w"]
