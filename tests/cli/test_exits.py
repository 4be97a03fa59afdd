"""Errors become one line and a code, in one place."""

from __future__ import annotations

import pytest

from holocron import errors
from holocron_cli import exits


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("x"), 2),
        (errors.LeadershipLost("x", "expired"), 3),
        (errors.Superseded("x"), 3),
        (exits.NoLeader("x"), 4),
        (errors.NotLeader("x"), 4),
        (errors.StoreUnfit("x"), 5),
        (errors.LeadTimeout("x"), 75),
        (errors.StoreDenied("x"), 1),
        (errors.StoreUnreachable("x"), 1),
        (errors.RecordUnreadable("x"), 1),
        (errors.NodeUnknown("x"), 1),
        (errors.NodeExists("x"), 1),
        (errors.MissingExtra("x"), 1),
        (errors.OutcomeUnknown("x"), 1),
        (exits.NotFound("x"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    """The exit codes of "The command line": 1 error, 2 usage, 3 lost, 4 no leader, 5 unfit, 75 timed out."""
    assert exits.code_of(error) == code


def test_every_error_of_the_library_has_a_code() -> None:
    """A new type of error is at least a plain error, never a crash."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(exits.code_of(kind.__new__(kind)) in {1, 2, 3, 4, 5, 75} for kind in kinds)


def test_an_error_is_one_line_whatever_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A message of several lines is told in one."""
    assert exits.tell(errors.StoreDenied("no such\n  bucket\r\n")) == 1
    assert capsys.readouterr().err == "holocron: no such bucket\n"


def test_an_error_that_nobody_raised_on_purpose_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a bug is one line, and the traceback is there for who asks for it."""
    monkeypatch.delenv(exits.TRACEBACK, raising=False)
    assert exits.tell(KeyError("x")) == 1
    told = capsys.readouterr().err
    assert "unexpected KeyError" in told
    assert exits.TRACEBACK in told
    assert "Traceback" not in told
    monkeypatch.setenv(exits.TRACEBACK, "1")
    exits.tell(KeyError("x"))
    assert "KeyError: 'x'" in capsys.readouterr().err
