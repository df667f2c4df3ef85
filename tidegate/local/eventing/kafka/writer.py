"""Writes records to Kafka from the event loop, and waits for their acknowledgment."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Delivery, Producer

# The producer's own buffer has no bound. A record takes about this much beside its value.
_MAX_UNACKNOWLEDGED_BYTES = 64 << 20
_OVERHEAD_BYTES = 2048
_CLOSE_SECONDS = 5.0


class Position(NamedTuple):
    """Where a record was written."""

    partition: int
    offset: int


class Writer:
    """A producer shared by all that write events. Its methods belong to the event loop's thread."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._unacknowledged = 0
        self._room = asyncio.Event()
        self._lock = threading.Lock()
        self._acknowledged: deque[tuple[_Record, Delivery]] = deque()

    async def write(self, topic: str, message: Message, written: Callable[[Position], None] | None = None) -> Position:
        """Write a record, acknowledged by all replicas in sync. Raises KafkaError.

        `written` is called with its position even if the caller is cancelled, and in the order of the positions.
        """
        while self._unacknowledged > _MAX_UNACKNOWLEDGED_BYTES:
            self._room.clear()
            await self._room.wait()
        record = _Record(self._loop.create_future(), len(message.value or b"") + _OVERHEAD_BYTES, written)
        # May raise: nothing is on its way then.
        self._producer.send(topic, message).add_done_callback(lambda delivery: self._notify(record, delivery))
        self._unacknowledged += record.size
        return await record.future

    async def partitions(self, topic: str) -> set[int]:
        """Return the numbers of a topic's partitions; see `Producer.partitions_for`."""
        return await asyncio.to_thread(self._producer.partitions_for, topic)

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.close, _CLOSE_SECONDS)

    def _notify(self, record: _Record, delivery: Delivery) -> None:
        """Wake the event loop once for all records that are acknowledged meanwhile. Called by the producer's thread."""
        with self._lock:
            self._acknowledged.append((record, delivery))
            first = len(self._acknowledged) == 1
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            settled, self._acknowledged = self._acknowledged, deque()
        for record, delivery in settled:
            self._unacknowledged -= record.size
            record.settle(delivery)
        self._room.set()


class _Record(NamedTuple):
    """A record on its way to the broker."""

    future: asyncio.Future[Position]
    size: int
    written: Callable[[Position], None] | None

    def settle(self, delivery: Delivery) -> None:
        """Complete the record. The future is done already if the caller was cancelled."""
        error, partition, offset = delivery.error, delivery.partition, delivery.offset
        if error is None and (partition is None or offset is None):
            error = KafkaError("the broker did not say where it has written the record.")
        if error is not None:
            if not self.future.done():
                self.future.set_exception(error)
            return
        position = Position(partition or 0, offset or 0)
        if self.written is not None:
            self.written(position)
        if not self.future.done():
            self.future.set_result(position)
