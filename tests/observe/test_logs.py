"""What the library says reaches the standard logger, and nothing of it is configured."""

from __future__ import annotations

import logging

import pytest

from holocron.observe.logs import LOGGER, logger


def test_an_event_is_a_standard_record(caplog: pytest.LogCaptureFixture) -> None:
    """What was bound and what the event brings are attributes of the record; the sentence is no format."""
    caplog.set_level(logging.INFO, LOGGER)
    log = logger(node="alpha", epoch=1)
    log.info("100 % aboard", epoch=2)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (LOGGER, "INFO", "100 % aboard")
    assert (vars(record)["node"], vars(record)["epoch"]) == ("alpha", 2)
    # Whoever looks for the line finds who spoke, and not the log itself.
    assert record.filename == "test_logs.py"


def test_levels_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    """Each way of saying something has its level, and an exception brings its traceback."""
    caplog.set_level(logging.DEBUG, LOGGER)
    log = logger()
    log.log(logging.DEBUG, "d")
    log.warning("w")
    log.error("e")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("x", path="/")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "WARNING", "ERROR", "ERROR"]
    assert [record.exc_info is not None for record in caplog.records] == [False, False, False, True]


def test_what_nobody_wants_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Below the level that is wanted nothing is made."""
    caplog.set_level(logging.ERROR, LOGGER)
    logger().info("unheard")
    assert caplog.records == []
