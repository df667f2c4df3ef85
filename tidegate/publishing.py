"""A publisher that stays close enough to its reader that the broker keeps every record until it is read."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from functools import partial
from types import TracebackType

from common.errors import RemediedError
from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.factory import cluster_of
from eventing.kafka.lag import Lag, LagReader
from eventing.kafka.port import Broker, Delivery, ProducerOptions

# The size of a record: what brokers accept by default (message.max.bytes), and this client sends (max_request_size).
MAX_BYTES = 2**20
# The lag of the stream worker in records a partition: a second or two of its work.
EMBEDDED_MAX_LAG = 2_000
# The embedded broker drops the oldest records of a partition beyond about 5 MB; half of it leaves room for records in
# flight.
_EMBEDDED_BYTES = 2_500_000
# The records that may be sent, possibly all to one partition, before the lag is read again.
_STRIDE_RECORDS = 250
_STRIDE_BYTES = 1_000_000
_POLL_SECONDS = 0.02
# The time without progress after which a warning is logged.
_WARN_SECONDS = 10.0

log = logging.getLogger("tidegate.publishing")


class NotPublished(RemediedError):
    """The broker did not accept an event."""


class Publisher:
    """A context manager that publishes to a topic; its exit waits until the broker has accepted all records.

    `max_lag` is the bound of the reader's lag, in records a partition; 0 is no bound. Its start waits up to
    `reader_seconds` until the group reads the topic; without a reader, it publishes without a bound.
    """

    def __init__(self, broker: Broker, topic: str, *, group: str, max_lag: int, reader_seconds: float = 8.0) -> None:
        self._broker = broker
        self._topic = topic
        self._group = group
        self._max_lag = max_lag
        self._reader_seconds = reader_seconds
        self._error: tuple[str, KafkaError] | None = None
        self._unread = _Unread()
        # Sent since the lag was last read; the first record is beyond the stride, so that it is read.
        self._records, self._bytes = _STRIDE_RECORDS, 0
        self.sent = 0
        self.accepted = 0
        self.has_reader = False

    def __enter__(self) -> Publisher:
        cluster = cluster_of(self._broker)
        self._producer = cluster.producer(ProducerOptions(linger_seconds=0.005, max_request_bytes=MAX_BYTES))
        self._lag = LagReader(cluster, self._group) if self._max_lag else None
        self.has_reader = self._lag is not None and self._wait_for_reader(self._lag)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(5.0)
            if self._lag is not None:
                self._lag.close()

    def send(self, message: Message, place: str = "an event") -> None:
        """Send one record as soon as there is room; `place` names it in an error.

        Raises NotPublished, for this or an earlier one.
        """
        self._raise_error()
        size = _size(message)
        if self.has_reader:
            self._make_room(size)
        try:
            delivery = self._producer.send(self._topic, message)
        except RecordTooLarge:
            raise NotPublished(
                f"{place} has {size:,} bytes as an event; a Kafka record may have {MAX_BYTES:,} with its headers",
                remedy="remove columns that its reader does not need, or store them elsewhere and send a link",
            ) from None
        self.sent += 1
        delivery.add_done_callback(partial(self._count, size, place))

    def flush(self) -> None:
        """Wait until the broker has accepted all records. Raises NotPublished."""
        self._producer.flush(60.0)
        self._raise_error()
        if self.accepted != self.sent:
            raise NotPublished(
                f"the broker accepted {self.accepted} of {self.sent} events", remedy="publish again, since readers drop duplicates"
            )

    def _count(self, size: int, place: str, delivery: Delivery) -> None:
        partition, offset = delivery.partition, delivery.offset
        if partition is None or offset is None:
            self._error = self._error or (place, delivery.error or KafkaError("no reason was given"))
            return
        self.accepted += 1
        if self.has_reader:
            self._unread.accepted(partition, offset, size)

    def _raise_error(self) -> None:
        if self._error is None:
            return
        place, error = self._error
        remedy = "check its log, then publish again"
        if isinstance(error, RecordTooLarge):
            remedy = "shorten the event, or raise the topic's max.message.bytes"
        raise NotPublished(
            f"the broker at {self._broker.bootstrap_servers} did not accept {place} ({str(error).rstrip('.')})", remedy=remedy
        )

    def _make_room(self, size: int) -> None:
        if self._records >= _STRIDE_RECORDS or self._bytes + size > _STRIDE_BYTES:
            assert self._lag is not None  # noqa: S101 has_reader is set only if the lag is read
            self._wait_for_room(self._lag)
            self._records = self._bytes = 0
        self._records += 1
        self._bytes += size
        self._unread.sent(size)

    def _wait_for_room(self, lag: LagReader) -> None:
        """Wait until no unread record can be dropped; warn if the reader makes no progress."""
        before, since = None, time.monotonic()
        while not self._has_room(partitions := lag.read(self._topic)):
            self._raise_error()
            finished, now = {number: partition.committed for number, partition in partitions.items()}, time.monotonic()
            if finished != before:
                before, since = finished, now
            elif now - since >= _WARN_SECONDS:
                since = now
                log.warning("waiting: the reader of %s has made no progress for %g s; see `tidegate status`.", self._topic, _WARN_SECONDS)
            time.sleep(_POLL_SECONDS)

    def _has_room(self, partitions: Mapping[int, Lag]) -> bool:
        for number, partition in partitions.items():
            self._unread.read(number, partition.committed or 0)
        records = max(partition.records for partition in partitions.values())
        return records <= max(self._max_lag - _STRIDE_RECORDS, 0) and self._unread.maximum <= _EMBEDDED_BYTES - _STRIDE_BYTES

    def _wait_for_reader(self, lag: LagReader) -> bool:
        """Wait until the group has a committed offset of this topic, which a worker commits at its start.

        Returns whether it has.
        """
        deadline = time.monotonic() + self._reader_seconds
        while time.monotonic() < deadline:
            if any(partition.committed is not None for partition in lag.read(self._topic).values()):
                return True
            time.sleep(10 * _POLL_SECONDS)
        return False


class _Unread:
    """The bytes that were sent and not yet read, by partition. The producer's thread adds the accepted records."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._bytes: Counter[int] = Counter()
        self._records: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)

    def sent(self, size: int) -> None:
        with self._lock:
            self._in_flight += size

    def accepted(self, partition: int, offset: int, size: int) -> None:
        with self._lock:
            self._in_flight -= size
            self._bytes[partition] += size
            self._records[partition].append((offset, size))

    def read(self, partition: int, next_offset: int) -> None:
        """Remove the records before `next_offset`, which the reader has finished."""
        with self._lock:
            records = self._records[partition]
            while records and records[0][0] < next_offset:
                self._bytes[partition] -= records.popleft()[1]

    @property
    def maximum(self) -> int:
        """The unread bytes of the fullest partition; records in flight may be for any of them."""
        with self._lock:
            return self._in_flight + max(self._bytes.values(), default=0)


def _size(message: Message) -> int:
    """The approximate size of a record in bytes."""
    return len(message.key or b"") + len(message.value or b"") + sum(len(name) + len(value) for name, value in message.headers)
