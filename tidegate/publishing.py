"""Publishing to a topic, never further ahead of its reader than its broker can remember."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from eventing import kafka
from eventing.codecs.kafka import Message
from eventing.errors import TidegateError
from eventing.kafka import Broker
from eventing.lag import LagReader

# Records of each partition that the stream worker may be behind: a second or two of its work.
EMBEDDED_MAX_LAG = 2_000
# The embedded broker forgets the oldest records of a partition beyond about 5 MB; half of it leaves room for what is under way.
_EMBEDDED_BYTES = 2_500_000
_CHECK_EVERY = 250
_POLL_SECONDS = 0.02


class NotPublished(TidegateError):
    """The broker did not take an event."""


class Publisher:
    """A context manager; leaving it waits until the broker has taken everything.

    `max_lag` bounds how many records of a partition its reader may be behind; 0 means no bound. For `reader_seconds` it waits until the
    group reads the topic, and then publishes all the same.
    """

    def __init__(self, broker: Broker, topic: str, *, group: str, max_lag: int, reader_seconds: float = 8.0) -> None:
        self._broker = broker
        self._topic = topic
        self._group = group
        self._max_lag = max_lag
        self._reader_seconds = reader_seconds
        self._error: BaseException | None = None
        self._largest = 1
        self.sent = 0
        self.taken = 0
        self.has_reader = False

    def __enter__(self) -> Publisher:
        self._producer = kafka.producer(self._broker, linger_ms=5)
        self._lag = LagReader(self._broker, self._group) if self._max_lag else None
        self.has_reader = self._lag is not None and self._wait_for_reader(self._lag)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(timeout=5)
            if self._lag is not None:
                self._lag.close()

    def send(self, message: Message) -> None:
        """Send one record, when there is room. Raises NotPublished, for this one or an earlier one."""
        self._raise_error()
        self._largest = max(self._largest, _size(message))
        if self.has_reader and self.sent % _CHECK_EVERY == 0:
            self._wait_for_room()
        future = self._producer.send(self._topic, key=message.key, value=message.value, headers=message.headers)
        self.sent += 1
        future.add_callback(self._count)
        future.add_errback(self._keep_error)

    def flush(self) -> None:
        self._producer.flush(timeout=60)
        self._raise_error()
        if self.taken != self.sent:
            raise NotPublished(f"the broker took {self.taken} of {self.sent} events; publish again, readers drop repetitions.")

    def _count(self, _: Any) -> None:
        self.taken += 1

    def _keep_error(self, error: BaseException) -> None:
        self._error = error

    def _raise_error(self) -> None:
        if self._error is not None:
            name = type(self._error).__name__
            raise NotPublished(
                f"the broker at {self._broker.bootstrap_servers} did not take an event ({name}); see its log, then publish again."
            )

    def _wait_for_room(self) -> None:
        """Until the reader has caught up so far that nothing which it has not read can be forgotten."""
        assert self._lag is not None  # noqa: S101 there is a reader only where its lag is read
        bound = min(self._max_lag, _EMBEDDED_BYTES // self._largest) - _CHECK_EVERY
        while max(partition.records for partition in self._lag.read(self._topic).values()) > max(bound, 0):
            self._raise_error()
            time.sleep(_POLL_SECONDS)

    def _wait_for_reader(self, lag: LagReader) -> bool:
        """Whether the group reads this topic: a worker that has just started says so by its first commit."""
        deadline = time.monotonic() + self._reader_seconds
        while time.monotonic() < deadline:
            if any(partition.committed is not None for partition in lag.read(self._topic).values()):
                return True
            time.sleep(10 * _POLL_SECONDS)
        return False


def _size(message: Message) -> int:
    """Bytes of a record, near enough."""
    return len(message.key or b"") + len(message.value or b"") + sum(len(name) + len(value) for name, value in message.headers)
