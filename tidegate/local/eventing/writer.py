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

# The producer's own buffer has no bound.
_MAX_UNACKNOWLEDGED = 10_000
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
        self._room = asyncio.Semaphore(_MAX_UNACKNOWLEDGED)
        self._lock = threading.Lock()
        self._acknowledged: deque[tuple[_Record, Delivery]] = deque()

    async def write(self, topic: str, message: Message, written: Callable[[Position], None] | None = None) -> Position:
        """Write a record, acknowledged by all replicas in sync. Raises KafkaError.

        `written` is called with its position even if the caller is cancelled, and in the order of the positions.
        """
        await self._room.acquire()
        record = _Record(self._loop.create_future(), written)
        record.future.add_done_callback(self._finished)
        try:
            self._producer.send(topic, message).add_done_callback(lambda delivery: self._notify(record, delivery))
        except KafkaError as error:
            record.future.set_exception(error)
        return await asyncio.shield(record.future)

    async def partitions(self, topic: str) -> set[int]:
        """Return the numbers of a topic's partitions; see `Producer.partitions_for`."""
        return await asyncio.to_thread(self._producer.partitions_for, topic)

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.close, _CLOSE_SECONDS)

    def _finished(self, future: asyncio.Future[Position]) -> None:
        self._room.release()
        future.exception()  # retrieved here, in case that the caller was cancelled

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
            record.settle(delivery)


class _Record(NamedTuple):
    """A record on its way to the broker."""

    future: asyncio.Future[Position]
    written: Callable[[Position], None] | None

    def settle(self, delivery: Delivery) -> None:
        error, partition, offset = delivery.error, delivery.partition, delivery.offset
        if error is not None:
            self.future.set_exception(error)
        elif partition is None or offset is None:
            self.future.set_exception(KafkaError("the broker did not say where it has written the record."))
        else:
            position = Position(partition, offset)
            if self.written is not None:
                self.written(position)
            self.future.set_result(position)
