"""Results of letters that went back to their source topics: outputs and new letters of their workers."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs.kafka import Headers
from eventing.deadletter import Place
from eventing.kafka.port import Consumer, TopicPartition

_POLL_SECONDS = 0.5


class SentPlaces:
    """Where the replayed records are, each with whether its result was seen: 9 bytes a record. Pure."""

    def __init__(self) -> None:
        self._offsets: dict[TopicPartition, array[int]] = {}
        self._seen: dict[TopicPartition, bytearray] = {}
        self.open = 0

    def add(self, places: Iterable[Place]) -> None:
        """Add records; those of one partition by ascending offset, as a broker acknowledges them."""
        for place in places:
            key = TopicPartition(place.topic, place.partition)
            self._offsets.setdefault(key, array("q")).append(place.offset)
            self._seen.setdefault(key, bytearray()).append(False)
            self.open += 1

    def resolve(self, place: Place) -> bool:
        """Return whether this is the first result of a replayed record."""
        key = TopicPartition(place.topic, place.partition)
        offsets = self._offsets.get(key)
        if offsets is None:
            return False
        index = bisect_left(offsets, place.offset)
        if index == len(offsets) or offsets[index] != place.offset or self._seen[key][index]:
            return False
        self._seen[key][index] = True
        self.open -= 1
        return True


class Results:
    """Reads the output topic and the letters' own, from their ends at its start on."""

    def __init__(self, consumer: Consumer, output: str, topic: str) -> None:
        self._consumer = consumer
        self._topics = (output, topic)
        self._starts: dict[TopicPartition, int] = consumer.end_offsets(self._partitions())
        self.succeeded = 0
        self.failed_again = 0
        self._output = output

    def watch(self, sent: SentPlaces, seconds: float, stopped: Callable[[], bool], progress: Callable[[int], None]) -> None:
        """Count results until there is one of each record, for at most so many seconds; `progress` gets their number."""
        deadline = time.monotonic() + seconds
        self._assign()
        while sent.open and not stopped() and time.monotonic() < deadline:
            if not any(partition.topic == self._output for partition in self._starts):
                self._assign()  # a worker creates it with its first output
            found = self._consumer.poll(_POLL_SECONDS)
            for partition, records in found.items():
                for record in records:
                    place = _origin(record.headers)
                    if place is not None and sent.resolve(place):
                        self.succeeded += partition.topic == self._output
                        self.failed_again += partition.topic != self._output
            progress(self.succeeded + self.failed_again)

    def _assign(self) -> None:
        known = self._partitions()
        if self._consumer.assignment() != set(known):
            self._consumer.assign(known)
            self._consumer.resume(known)
            for partition in known:
                self._consumer.seek(partition, self._starts.setdefault(partition, 0))

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in self._topics for number in sorted(self._consumer.partitions_for(topic))]


def _origin(headers: Headers) -> Place | None:
    try:
        return deadletter.origin_of(headers)
    except InvalidEvent:
        return None
