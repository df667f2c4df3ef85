"""Letters back to the topics that they came from, where their stream worker takes them up again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from eventing.deadletter import Place
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.lag import LagReader
from eventing.kafka.port import Cluster, Delivery, Producer
from tidegate.deadletters.claims import FLUSH_SECONDS
from tidegate.deadletters.letter import Letter
from tidegate.deadletters.pace import Pace
from tidegate.deadletters.restoring import record_of
from tidegate.deadletters.route import Delivered

_POLL_SECONDS = 0.1
_WARN_SECONDS = 10.0

log = logging.getLogger("tidegate.deadletters")


class ToSource:
    """The route to the source topics. With `room`, it keeps close to their workers."""

    # A chunk takes about a second, and the producer gives a record up after 40.
    lease_seconds = 90.0

    def __init__(self, producer: Producer, run: str, pace: Pace, room: Room | None = None) -> None:
        self._producer = producer
        self._run = run
        self._pace = pace
        self._room = room

    def topics(self, letters: Sequence[Letter]) -> set[str]:
        return {letter.origin.topic for letter in letters if letter.origin}

    def make_room(self, letters: Sequence[Letter]) -> bool:
        return self._room is None or all(self._room.wait(*stream) for stream in _streams(letters))

    def deliver(self, letters: Sequence[Letter]) -> Delivered:
        done = Delivered()
        sent: list[tuple[Letter, str, Delivery]] = []
        for index, letter in enumerate(letters):
            if not self._pace.passes(index):
                break
            origin = letter.origin
            if origin is None:
                continue
            try:
                sent.append((letter, origin.topic, self._producer.send(origin.topic, record_of(letter, self._run))))
            except RecordTooLarge as error:
                done.refused.append((letter.address, str(error)))
            except KafkaError as error:
                done.error = error
                break
        with contextlib.suppress(KafkaError):  # what is not acknowledged by then is counted as such
            self._producer.flush(FLUSH_SECONDS)
        for letter, topic, delivery in sent:
            _settle(done, letter, topic, delivery)
        return done


class Room:
    """Waits until the workers of an embedded broker, which keeps few records, have finished most of theirs."""

    def __init__(self, cluster: Cluster, most: int, pace: Pace) -> None:
        self._cluster = cluster
        self._most = most
        self._pace = pace
        self._readers: dict[tuple[str, str], LagReader | None] = {}

    def wait(self, topic: str, group: str) -> bool:
        """Wait for the group of a topic; False if stopped meanwhile."""
        if (topic, group) not in self._readers:
            self._readers[topic, group] = self._open(topic, group)
        reader = self._readers[topic, group]
        waited = 0.0
        while reader is not None and max((lag.records for lag in reader.read(topic).values()), default=0) > self._most:
            if not self._pace.pause(_POLL_SECONDS):
                return False
            waited += _POLL_SECONDS
            if waited >= _WARN_SECONDS:
                waited = 0.0
                log.warning("waiting: the reader of %s is far behind; see `tidegate status`.", topic)
        return not self._pace.stopped

    def close(self) -> None:
        for reader in self._readers.values():
            if reader is not None:
                reader.close()

    def _open(self, topic: str, group: str) -> LagReader | None:
        reader = LagReader(self._cluster, group)
        if any(lag.committed is not None for lag in reader.read(topic).values()):
            return reader
        reader.close()
        log.warning("no worker of %s reads %s; the embedded broker keeps only its newest events, about 5 MB a partition.", group, topic)
        return None


def _settle(done: Delivered, letter: Letter, topic: str, delivery: Delivery) -> None:
    partition, offset, error = delivery.partition, delivery.offset, delivery.error
    if partition is not None and offset is not None:
        done.replayed.append(letter.offset)
        if offset >= 0:  # else the broker does not report it, and its result is not known
            done.places.append(Place(topic, partition, offset))
    elif isinstance(error, RecordTooLarge):
        done.refused.append((letter.address, str(error)))
    else:
        done.unacknowledged.append(letter.offset)


def _streams(letters: Sequence[Letter]) -> set[tuple[str, str]]:
    return {(letter.origin.topic, letter.stream) for letter in letters if letter.origin and letter.stream}
