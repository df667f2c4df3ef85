"""The worker's log: one line at intervals, never a flood."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

logger = logging.getLogger("tidegate.stream")
# Tasks and threads that a stream's task starts inherit it.
_stream: ContextVar[str] = ContextVar("stream", default="")


@contextlib.contextmanager
def named(stream: str) -> Iterator[None]:
    """Begin each line that is logged within the context by the stream's name, where a process has several."""
    token = _stream.set(stream)
    try:
        yield
    finally:
        _stream.reset(token)


def _add_name(record: logging.LogRecord) -> bool:
    if name := _stream.get():
        record.msg = f"{name}: {record.msg}"
    return True


logger.addFilter(_add_name)


@dataclass(slots=True)
class Tally:
    """Events that were finished since the start."""

    scored: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    """Already written by an earlier worker."""
    passed_over: int = 0
    """Tombstones: records without a value, which have no output."""
    refused: int = 0
    """Scored, and refused by the reply sink: they became dead letters, too."""

    @property
    def finished(self) -> int:
        return self.scored + self.dead_lettered + self.skipped + self.passed_over


class LogThrottle:
    """Lets a subject be logged at once and then at most once every `seconds`."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def __call__(self, subject: str) -> bool:
        """Return whether the subject may be logged now."""
        now = time.monotonic()
        if now - self._last.get(subject, float("-inf")) < self._seconds:
            return False
        self._last[subject] = now
        return True


class Summary:
    """A periodic log line: how much was moved, how fast, and how much is left."""

    def __init__(self, tally: Tally, seconds: float = 10.0) -> None:
        self._tally = tally
        self._seconds = seconds
        self._logged = replace(tally)
        self._logged_at = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._logged_at >= self._seconds

    def log(self, lag: int) -> None:
        """Log what was done since the last line, if anything was."""
        now = time.monotonic()
        events = self._tally.finished - self._logged.finished
        if events:
            tombstones = self._tally.passed_over - self._logged.passed_over
            refused = self._tally.refused - self._logged.refused
            logger.info(
                "%d events in %.0f s (%.0f per second): %d scored, %d dead-lettered%s%s; %d are left",
                events,
                now - self._logged_at,
                events / (now - self._logged_at),
                self._tally.scored - self._logged.scored,
                self._tally.dead_lettered - self._logged.dead_lettered,
                f", {tombstones} tombstones passed over" if tombstones else "",
                f", {refused} replies refused by the reply sink" if refused else "",
                lag,
            )
        self._logged, self._logged_at = replace(self._tally), now
