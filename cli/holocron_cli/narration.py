"""Log events on stderr: for people on a console, or one JSON object per line."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["narrate"]

# What every event of a node carries, in the order in which people look for it.
_FIRST = ("timestamp", "level", "event", "node", "epoch", "term", "role")


def narrate(form: str, level: str) -> None:
    """Write the library's log events to stderr, as `form` ("console" or "json"), from `level` up.

    Only Holocron's own logger is set to `level`: the SDKs below it write credentials at DEBUG.
    """
    # A reader of stderr that went away must not turn each event into a traceback.
    logging.raiseExceptions = False
    handler = _Late(form)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("holocron").setLevel(level.upper())


class _Late(logging.Handler):
    """Builds the formatter at the first event: a command that logs nothing need not import structlog."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._form = form

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.formatter is None:
                self.formatter = _formatter(self._form)
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as in every handler of logging: a record that cannot be written stops nobody
            self.handleError(record)


def _formatter(form: str) -> logging.Formatter:
    import structlog

    renderer: Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if form == "json" else _as_it_is,
            _in_order,
            renderer,
        ],
    )


def _as_it_is(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What every event has comes first, in one order; the rest follows as it was given."""
    return {key: event[key] for key in _FIRST if key in event} | {key: event[key] for key in event if key not in _FIRST}
