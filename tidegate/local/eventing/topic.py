"""The topic of a Broker: its ingress and replies write to it, and its Triggers read from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from eventing.codecs import kafka
from eventing.event import Event
from tidegate.local.eventing.recent import Recent
from tidegate.local.eventing.writer import Position, Writer

# What a record takes in memory beside its value.
_OVERHEAD_BYTES = 1024


class EventTopic:
    """A topic of events. `recent` has those that were written here."""

    def __init__(self, name: str, writer: Writer, ends: Mapping[int, int]) -> None:
        """`ends` are the offsets after the last record of each partition, now."""
        self.name = name
        self.recent = Recent()
        self.opened_at: Mapping[int, int] = dict(ends)
        self.ends = dict(ends)
        """The ends now, as far as they are known: other writers may have gone beyond."""
        self.written = 0
        self._writer = writer
        self._readers: list[Callable[[], None]] = []
        self._scheduled = False

    async def append(self, event: Event) -> None:
        """Write an event. Its `partitionkey` is the record's key, so that events of a key are in one partition.

        Raises KafkaError, and InvalidEvent for an event that Kafka cannot hold.
        """
        message = kafka.encode(event)
        await self._writer.write(self.name, message, partial(self._written, event, len(message.value or b"") + _OVERHEAD_BYTES))

    def watch(self, notify: Callable[[], None]) -> None:
        """Call back after records were written, until `unwatch`."""
        self._readers.append(notify)

    def unwatch(self, notify: Callable[[], None]) -> None:
        self._readers.remove(notify)

    def _written(self, event: Event, size: int, position: Position) -> None:
        self.written += 1
        if position.offset >= 0:  # -1 where the broker does not report it
            self.ends[position.partition] = position.offset + 1
            self.recent.add(*position, event, size)
        if self._readers and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._notify)

    def _notify(self) -> None:
        self._scheduled = False
        for notify in list(self._readers):
            notify()
