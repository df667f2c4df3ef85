"""The port's producer by confluent-kafka."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException

from eventing.codecs.kafka import Message
from eventing.kafka.confluent.errors import translate, translate_errors
from eventing.kafka.errors import KafkaError, RecordTooLarge, RequestTimedOut
from eventing.kafka.port import Delivery

logger = logging.getLogger("tidegate.kafka")

# The most that the format adds to a batch of one record (KIP-98): the batch's header, and the record's own fields.
_BATCH_OVERHEAD_BYTES = 61 + 21
# The lengths of a header's name and value.
_HEADER_OVERHEAD_BYTES = 10
_ANY_PARTITION = -1
# How long the thread waits for a report before it looks whether the producer is closed.
_POLL_SECONDS = 0.2
_RETRY_SECONDS = 0.05


class ProducerAdapter:
    """A producer with a thread that carries librdkafka's delivery reports to their callbacks."""

    def __init__(self, client: Any, *, most_bytes: int, block_seconds: float) -> None:
        self._client = client
        self._most_bytes = most_bytes
        self._block_seconds = block_seconds
        self._closed = threading.Event()
        self._reports = threading.Thread(target=self._serve, name="tidegate-kafka-reports", daemon=True)
        self._reports.start()

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        key, value = message.key, message.value
        if value is None and key is None:
            value = b""  # as the other clients, which write no record without both
        if (size := self.batch_bytes(message)) > self._most_bytes:
            raise RecordTooLarge(f"the record has {size} bytes, and at most {self._most_bytes} are sent")
        delivery = DeliveryAdapter()
        target = _ANY_PARTITION if partition is None else partition
        try:
            self._client.produce(topic, value, key, target, delivery.settle, headers=message.headers)
        except BufferError:
            self._wait_for_room(topic, value, key, target, delivery.settle, message.headers)
        except (KafkaException, RuntimeError) as error:  # inline: a context manager for each record costs throughput
            raise translate(error) from error
        return delivery

    def partitions_for(self, topic: str) -> set[int]:
        until = time.monotonic() + self._block_seconds
        with translate_errors():
            while True:
                left = max(until - time.monotonic(), _RETRY_SECONDS)
                found = self._client.list_topics(topic, timeout=left).topics.get(topic)
                if found is not None and found.error is None and found.partitions:
                    return set(found.partitions)
                if found is not None and found.error is not None and found.error.code() == Code.TOPIC_AUTHORIZATION_FAILED:
                    raise translate(found.error)
                if time.monotonic() >= until:
                    reason = "no metadata" if found is None or found.error is None else found.error.str()
                    raise RequestTimedOut(f"the topic {topic} has no partitions after {self._block_seconds:g} s ({reason})")
                time.sleep(_RETRY_SECONDS)

    def batch_bytes(self, message: Message) -> int:
        headers = sum(len(name.encode()) + len(value or b"") + _HEADER_OVERHEAD_BYTES for name, value in message.headers)
        return _BATCH_OVERHEAD_BYTES + len(message.key or b"") + len(message.value or b"") + headers

    def flush(self, timeout_seconds: float) -> None:
        with translate_errors():
            if left := self._client.flush(timeout_seconds):
                raise RequestTimedOut(f"{left} records were not acknowledged within {timeout_seconds:g} s")

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Wait for what was sent; what is not acknowledged by then is reported as refused."""
        if self._closed.is_set():
            return
        with translate_errors():
            left = self._client.flush(timeout_seconds)
            if left:
                self._client.purge(blocking=False)
                self._client.flush(_POLL_SECONDS)
        self._closed.set()
        self._reports.join(2 * _POLL_SECONDS)
        if left:
            raise RequestTimedOut(f"{left} records were not acknowledged within {timeout_seconds:g} s")

    def _wait_for_room(self, *arguments: Any) -> None:
        """Send once librdkafka's buffer has room: it bounds the memory of what is not acknowledged."""
        *positional, headers = arguments
        until = time.monotonic() + self._block_seconds
        while time.monotonic() < until:
            time.sleep(_RETRY_SECONDS)  # the thread of the reports makes room
            try:
                self._client.produce(*positional, headers=headers)
            except BufferError:
                continue
            except (KafkaException, RuntimeError) as error:
                raise translate(error) from error
            return
        raise RequestTimedOut(f"the buffer of the producer is full, and nothing was acknowledged within {self._block_seconds:g} s")

    def _serve(self) -> None:
        while not self._closed.is_set():
            # It raises an error that ends a transactional producer, which its calls raise as well.
            with contextlib.suppress(KafkaException):
                self._client.poll(_POLL_SECONDS)


# One for all: it is held for an instant, and a lock for each record costs more.
_lock = threading.Lock()


class DeliveryAdapter:
    __slots__ = ("_callbacks", "_error", "_offset", "_partition", "_settled")

    def __init__(self) -> None:
        self._settled = False
        self._offset: int | None = None
        self._partition: int | None = None
        self._error: Any = None
        self._callbacks: list[Callable[[Delivery], None]] | None = None

    @property
    def offset(self) -> int | None:
        return self._offset

    @property
    def partition(self) -> int | None:
        return self._partition

    @property
    def error(self) -> KafkaError | None:
        return None if self._error is None else translate(self._error)

    def add_done_callback(self, callback: Callable[[Delivery], None]) -> None:
        with _lock:
            if not self._settled:
                self._callbacks = [*(self._callbacks or ()), callback]
                return
        callback(self)

    def settle(self, error: Any, message: Any) -> None:
        """Take the report of librdkafka, on the thread that serves them."""
        if error is not None:
            self._error = error
        else:
            self._partition = message.partition()
            # A record that was written by an earlier attempt has no offset here.
            self._offset = max(-1, message.offset())
        with _lock:
            self._settled = True
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                # Raised further, it would end the thread, and no report would arrive any more.
                logger.exception("the callback of a delivery failed")
