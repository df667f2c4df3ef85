"""The log of a process: lines on standard error, in one format, without credentials, whatever library wrote them."""

from __future__ import annotations

import logging

from common.environ import Environ, one_of
from common.redaction import redact

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LEVEL = "info"


class RedactingFormatter(logging.Formatter):
    """A formatter that replaces credentials in the finished line, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def level_of(environ: Environ) -> str:
    """Return the level of TIDEGATE_LOG_LEVEL in the form of `logging`, such as `INFO`. Raises InvalidSetting."""
    return one_of(environ, "TIDEGATE_LOG_LEVEL", DEFAULT_LEVEL, LEVELS).upper()


def to_stderr(level: int | str = logging.INFO, *, format_: str = FORMAT, time_format: str | None = None) -> None:
    """Write the log of this process to standard error, from the given level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(format_, time_format))
    logging.basicConfig(handlers=[handler], level=level)
