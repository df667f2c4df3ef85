"""Reader of a topic's events from its current end, to see what arrives there."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from eventing.codecs import kafka as codec
from eventing.event import Event
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition

_POLL_SECONDS = 0.1


class EventReader:
    """A context manager that reads a topic outside of any group, beside its real readers."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._topic = topic
        self._consumer = cluster_of(broker).consumer()
        self._events: list[Event] = []

    def __enter__(self) -> EventReader:
        partitions = [TopicPartition(self._topic, number) for number in self._consumer.partitions_for(self._topic)]
        self._consumer.assign(partitions)
        for partition, end in self._consumer.end_offsets(partitions).items():
            self._consumer.seek(partition, end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def wait(self, wanted: Callable[[Event], bool], seconds: float) -> Event | None:
        """The first event that is wanted, also among those that came before; None if the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            found = next(filter(wanted, self._events), None)
            if found is not None or time.monotonic() > deadline:
                return found
            batches = self._consumer.poll(_POLL_SECONDS).values()
            self._events += [codec.decode(record) for batch in batches for record in batch]
