"""The log of a process: lines on standard error, without credentials, whatever library wrote them."""

from __future__ import annotations

import logging

from common.redaction import redact

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def to_stderr(level: int | str = logging.INFO, *, format_: str = FORMAT, time_format: str | None = None) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(format_, time_format))
    logging.basicConfig(handlers=[handler], level=level)
