"""Publishing to a topic, never further ahead of its reader than its broker can remember."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from functools import partial
from types import TracebackType

from common.errors import TidegateError
from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.lag import Lag, LagReader
from eventing.kafka.port import Broker, Delivery, ProducerOptions

# Bytes of a record: what brokers take by default (message.max.bytes), and this client sends (max_request_size).
MOST_BYTES = 2**20
# Records of each partition that the stream worker may be behind: a second or two of its work.
EMBEDDED_MAX_LAG = 2_000
# The embedded broker forgets the oldest records of a partition beyond about 5 MB; half of it leaves room for what is under way.
_EMBEDDED_BYTES = 2_500_000
# What may be sent, all of it to one partition, until the reader is looked at again.
_STRIDE_RECORDS = 250
_STRIDE_BYTES = 1_000_000
_POLL_SECONDS = 0.02
# So long the reader may stand still until a person is told.
_TELL_SECONDS = 10.0

log = logging.getLogger("tidegate.publishing")


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
        self._error: tuple[str, KafkaError] | None = None
        self._unread = _Unread()
        # Since the reader was last looked at; the first record waits for a look.
        self._records, self._bytes = _STRIDE_RECORDS, 0
        self.sent = 0
        self.taken = 0
        self.has_reader = False

    def __enter__(self) -> Publisher:
        cluster = KafkaCluster(self._broker)
        self._producer = cluster.producer(ProducerOptions(linger_seconds=0.005, max_request_bytes=MOST_BYTES))
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
        """Send one record, when there is room; `place` names it in an error. Raises NotPublished, for this one or an earlier one."""
        self._raise_error()
        size = _size(message)
        if self.has_reader:
            self._make_room(size)
        try:
            delivery = self._producer.send(self._topic, message)
        except RecordTooLarge:
            raise NotPublished(
                f"{place} has {size:,} bytes as an event; a record of Kafka's holds {MOST_BYTES:,} with its headers: "
                "leave out what its reader does not need, or keep it elsewhere and send a link."
            ) from None
        self.sent += 1
        delivery.add_done_callback(partial(self._count, size, place))

    def flush(self) -> None:
        self._producer.flush(60.0)
        self._raise_error()
        if self.taken != self.sent:
            raise NotPublished(f"the broker took {self.taken} of {self.sent} events; publish again, readers drop repetitions.")

    def _count(self, size: int, place: str, delivery: Delivery) -> None:
        partition, offset = delivery.partition, delivery.offset
        if partition is None or offset is None:
            self._error = self._error or (place, delivery.error or KafkaError("no reason was given"))
            return
        self.taken += 1
        if self.has_reader:
            self._unread.taken(partition, offset, size)

    def _raise_error(self) -> None:
        if self._error is None:
            return
        place, error = self._error
        remedy = "see its log, then publish again"
        if isinstance(error, RecordTooLarge):
            remedy = "its max.message.bytes is less than this event has: shorten the event, or raise it"
        raise NotPublished(f"the broker at {self._broker.bootstrap_servers} did not take {place} ({str(error).rstrip('.')}); {remedy}.")

    def _make_room(self, size: int) -> None:
        if self._records >= _STRIDE_RECORDS or self._bytes + size > _STRIDE_BYTES:
            assert self._lag is not None  # noqa: S101 there is a reader only where its lag is read
            self._wait_for_room(self._lag)
            self._records = self._bytes = 0
        self._records += 1
        self._bytes += size
        self._unread.sent(size)

    def _wait_for_room(self, lag: LagReader) -> None:
        """Until the reader has caught up so far that nothing which it has not read can be forgotten; tells when it stands still."""
        before, since = None, time.monotonic()
        while not self._has_room(partitions := lag.read(self._topic)):
            self._raise_error()
            finished, now = {number: partition.committed for number, partition in partitions.items()}, time.monotonic()
            if finished != before:
                before, since = finished, now
            elif now - since >= _TELL_SECONDS:
                since = now
                log.warning("waiting: the reader of %s has finished nothing for %g s; see `tidegate status`.", self._topic, _TELL_SECONDS)
            time.sleep(_POLL_SECONDS)

    def _has_room(self, partitions: Mapping[int, Lag]) -> bool:
        for number, partition in partitions.items():
            self._unread.read(number, partition.committed or 0)
        records = max(partition.records for partition in partitions.values())
        return records <= max(self._max_lag - _STRIDE_RECORDS, 0) and self._unread.most <= _EMBEDDED_BYTES - _STRIDE_BYTES

    def _wait_for_reader(self, lag: LagReader) -> bool:
        """Whether the group reads this topic: a worker that has just started says so by its first commit."""
        deadline = time.monotonic() + self._reader_seconds
        while time.monotonic() < deadline:
            if any(partition.committed is not None for partition in lag.read(self._topic).values()):
                return True
            time.sleep(10 * _POLL_SECONDS)
        return False


class _Unread:
    """Bytes that were sent and that the reader has not finished. The producer's thread tells what the broker has taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._bytes: Counter[int] = Counter()
        self._records: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)

    def sent(self, size: int) -> None:
        with self._lock:
            self._under_way += size

    def taken(self, partition: int, offset: int, size: int) -> None:
        with self._lock:
            self._under_way -= size
            self._bytes[partition] += size
            self._records[partition].append((offset, size))

    def read(self, partition: int, next_offset: int) -> None:
        """All before `next_offset` is finished."""
        with self._lock:
            records = self._records[partition]
            while records and records[0][0] < next_offset:
                self._bytes[partition] -= records.popleft()[1]

    @property
    def most(self) -> int:
        """Of the fullest partition: what is under way may be for any of them."""
        with self._lock:
            return self._under_way + max(self._bytes.values(), default=0)


def _size(message: Message) -> int:
    """Bytes of a record, near enough."""
    return len(message.key or b"") + len(message.value or b"") + sum(len(name) + len(value) for name, value in message.headers)
