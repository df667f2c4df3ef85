"""The events of the records that were read: what a record is decoded to, in the order of its partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.codecs import kafka as codec
from eventing.event import Event
from eventing.kafka.port import ConsumedRecord
from functions.stream.partition import PartitionTracker
from functions.stream.schemas import Schemas

Decoded = bytes | InvalidEvent | None
"""An event in JSON, why the record is none, or None for a tombstone, which is passed over."""


class Intake:
    """Decodes records. Those whose schema is not known yet wait, and those after them in their partition, too."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas
        self._waiting: dict[PartitionTracker, deque[ConsumedRecord]] = {}

    @property
    def trouble(self) -> str:
        """Why records wait for the registry; empty if they do not."""
        return self._schemas.trouble if self._schemas is not None and self._waiting else ""

    @property
    def unread(self) -> set[int]:
        """The partitions with waiting records, of which no more are to be read."""
        return {tracker.partition for tracker in self._waiting}

    @property
    def waiting(self) -> int:
        """How many records wait."""
        return sum(map(len, self._waiting.values()))

    def count(self, tracker: PartitionTracker) -> int:
        """Return how many records of a partition wait."""
        return len(self._waiting.get(tracker, ()))

    def oldest(self, tracker: PartitionTracker) -> ConsumedRecord | None:
        """Return the first record of a partition that waits; None if none does."""
        records = self._waiting.get(tracker)
        return records[0] if records else None

    def holds(self, tracker: PartitionTracker) -> bool:
        return tracker in self._waiting

    def add(self, tracker: PartitionTracker, records: Sequence[ConsumedRecord]) -> None:
        """Append records that were read."""
        self._waiting.setdefault(tracker, deque()).extend(records)

    def decoded(self) -> Iterator[tuple[PartitionTracker, list[tuple[ConsumedRecord, Decoded]]]]:
        """Yield the records that can be decoded now, by partition. Those of a revoked partition are dropped."""
        for tracker, records in list(self._waiting.items()):
            ready = [] if tracker.closed else self._take(records)
            if tracker.closed or not records:
                del self._waiting[tracker]
            if ready:
                yield tracker, ready

    def _take(self, records: deque[ConsumedRecord]) -> list[tuple[ConsumedRecord, Decoded]]:
        ready: list[tuple[ConsumedRecord, Decoded]] = []
        while records:
            record = records[0]
            found: Decoded = None
            try:
                codec.check_headers(record)
                if not codec.is_tombstone(record):
                    event = self._event(record)
                    if event is None:
                        break
                    found = event if isinstance(event, InvalidEvent) else json.encode(event)
            except InvalidEvent as error:
                found = error
            ready.append((records.popleft(), found))
        return ready

    def _event(self, record: ConsumedRecord) -> Event | InvalidEvent | None:
        """Return the event of a record, or why its schema cannot be had; None while that is fetched.

        Raises InvalidEvent.
        """
        framed = None if self._schemas is None else codec.framed(record)
        if self._schemas is None or framed is None:
            return codec.decode(record, record.timestamp)
        reader = self._schemas.get(framed.schema)
        if reader is None or isinstance(reader, InvalidEvent):
            return reader
        return codec.decode_with(record, reader(framed.value), record.timestamp)
