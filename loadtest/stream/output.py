"""The output topic of a run, read while it is written."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from loadtest.stream.broker import QUIET
from loadtest.stream.processes import WayFailed
from loadtest.stream.records import PARTITIONS, cause

_TURN_SECONDS = 0.1
_MOST = 10_000


class Output:
    """Counts the records of a topic that a reader of committed ones is given.

    `first` and `last` are when the broker appended the first and the last one of them, in seconds. With `named`, it counts
    how often each event was answered.
    """

    def __init__(self, servers: str, topic: str, partitions: int = PARTITIONS, *, named: bool = False) -> None:
        self.count = 0
        self.first, self.last = math.inf, 0.0
        self.answers: Counter[bytes | None] = Counter()
        self._named = named
        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"reader-of-{topic}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                **QUIET,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def read(self) -> list[Any]:
        """Read for a moment, and return what came."""
        found = [record for record in self._consumer.consume(_MOST, _TURN_SECONDS) if record.error() is None]
        for record in found:
            at = record.timestamp()[1] / 1000
            self.first, self.last = min(self.first, at), max(self.last, at)
            if self._named:
                self.answers[cause(record.headers() or [])] += 1
        self.count += len(found)
        return found

    def next(self, timeout_seconds: float) -> Any:
        """Return the next record as soon as it can be read; None after the time-out."""
        record = self._consumer.poll(timeout_seconds)
        return None if record is None or record.error() is not None else record

    def await_first(self, timeout_seconds: float, check: Callable[[], None]) -> None:
        """Read until there is a record. Raises WayFailed, and what `check` raises."""
        if not self.until(lambda: self.count > 0, timeout_seconds, check):
            raise WayFailed(f"it has written nothing after {timeout_seconds:g} s.")

    def until(self, reached: Callable[[], bool], timeout_seconds: float, check: Callable[[], None]) -> bool:
        """Read until something is reached. False after the time-out; `check` may raise meanwhile."""
        deadline = time.monotonic() + timeout_seconds
        while not reached():
            if time.monotonic() > deadline:
                return False
            check()
            self.read()
        return True
