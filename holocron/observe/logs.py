"""Log events, said through the standard logger "holocron", which the library never configures."""

from __future__ import annotations

import logging
from typing import Any

import structlog

__all__ = ["LOGGER", "logger"]

LOGGER = "holocron"
logging.getLogger(LOGGER).addHandler(logging.NullHandler())


def logger(**bound: Any) -> structlog.stdlib.BoundLogger:
    """A logger whose events carry `bound` as extra keys of the standard log record."""
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(LOGGER),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    # `name` is the standard record's own attribute, so the node goes by `node` everywhere.
    return wrapped.bind(**bound)
