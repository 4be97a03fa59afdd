"""Log events, said through the standard logger "holocron", which the library never configures."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["LOGGER", "Log", "logger"]

LOGGER = "holocron"
_standard = logging.getLogger(LOGGER)
_standard.addHandler(logging.NullHandler())


class Log:
    """Says sentences, with `bound` and what each brings itself as extra attributes of the standard log record.

    structlog, which would do the same, takes longer to import than all that a node needs before it leads.
    """

    def __init__(self, bound: dict[str, Any]) -> None:
        self._bound = bound

    def log(self, level: int, sentence: str, **more: Any) -> None:
        """Say `sentence` at `level`."""
        self._say(level, sentence, more)

    def info(self, sentence: str, **more: Any) -> None:
        """Say `sentence`."""
        self._say(logging.INFO, sentence, more)

    def warning(self, sentence: str, **more: Any) -> None:
        """Say `sentence` as a warning."""
        self._say(logging.WARNING, sentence, more)

    def error(self, sentence: str, **more: Any) -> None:
        """Say `sentence` as an error."""
        self._say(logging.ERROR, sentence, more)

    def exception(self, sentence: str, **more: Any) -> None:
        """Say `sentence` as an error, with the exception that is being handled."""
        self._say(logging.ERROR, sentence, more, traceback=True)

    def _say(self, level: int, sentence: str, more: dict[str, Any], *, traceback: bool = False) -> None:
        if _standard.isEnabledFor(level):
            # The record names the line that called the method above. A sentence is no format.
            _standard.log(level, sentence, extra={**self._bound, **more}, exc_info=traceback or None, stacklevel=3)


def logger(**bound: Any) -> Log:
    """A log whose events carry `bound` as extra keys; `name` is the record's own, so a node goes by `node`."""
    return Log(bound)
