"""The port's consumer by confluent-kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException
from confluent_kafka import KafkaError as Code
from confluent_kafka import TopicPartition as ClientPartition

from eventing.codecs.kafka import UNREADABLE_HEADERS, Headers
from eventing.kafka.confluent.calls import within
from eventing.kafka.confluent.errors import translate, translate_errors
from eventing.kafka.confluent.transactions import MemberMetadata
from eventing.kafka.errors import CommitRefused, KafkaError
from eventing.kafka.port import CommittedOffset, ConsumedRecord, Offsets, RebalanceListener, TopicPartition

logger = logging.getLogger("tidegate.kafka")

Result = TypeVar("Result")

# For calls without a time-out of their own.
_CALL_SECONDS = 60.0
_SEEK_SECONDS = 5.0
_RETRY_SECONDS = 0.01
# Librdkafka goes on by itself after these; a missing topic may be created yet, as for the other client.
_PASSING = {Code._MAX_POLL_EXCEEDED, Code.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001 the library names its own codes so


@dataclass(slots=True)
class _Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int


class ConsumerAdapter:
    """A consumer that keeps its positions itself, so that they can be read from any thread without a request."""

    def __init__(self, client: Any, *, most: int, group: str | None, cooperative: bool = False) -> None:
        self._client = client
        self._most = most
        self._group = group or ""
        self._cooperative = cooperative
        self._listener: RebalanceListener | None = None
        self._unjoined = ""
        self._is_member = False
        self._is_assigned = True
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._error: KafkaError | None = None
        self._closed = False

    def subscribe(self, topic: str, listener: RebalanceListener) -> None:
        self._check_group()
        # The next poll subscribes, since librdkafka joins at once: a group would wait for a member that does not poll.
        self._listener, self._unjoined = listener, topic

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self._positions = {partition: self._positions.get(partition) for partition in partitions}
        self._paused &= self._positions.keys()
        # Applied by the next poll, with the offsets that are sought until then: librdkafka cannot seek before it has found
        # a partition's leader.
        self._is_assigned = False

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, Sequence[ConsumedRecord]]:
        self._raise_noted()
        with translate_errors():
            if self._unjoined:
                self._client.subscribe([self._unjoined], on_assign=self._on_assigned, on_revoke=self._on_revoked, on_lost=self._on_lost)
                self._unjoined = ""
            if not self._is_assigned:
                self._assign()
            # `consume` alone would wait for as many records as it may return, until its time-out.
            first = self._client.poll(timeout_seconds)
        if first is None:
            return {}
        messages = [first]
        try:
            messages += self._client.consume(self._most - 1, 0) if self._most > 1 else []
        except (KafkaException, RuntimeError) as error:
            self._error = translate(error)  # after the first record, which librdkafka will not return again
        found = self._take(messages)
        if not found:
            self._raise_noted()
        return found

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._switch(self._client.pause, found := set(partitions))
        self._paused |= found

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        # Librdkafka's connection sleeps for up to a second before it fetches a resumed partition, and for good if it was
        # paused before its first offset was known; a seek wakes it.
        starts = {partition: self.position(partition) for partition in set(partitions) if partition in self._positions}
        self._switch(self._client.resume, set(starts))
        self._paused -= starts.keys()
        for partition, offset in starts.items():
            self.seek(partition, offset)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._positions:
            raise KafkaError(f"{partition.topic}/{partition.partition} is not assigned")
        if self._is_assigned:
            self._seek(ClientPartition(*partition, offset))
        self._positions[partition] = offset

    def position(self, partition: TopicPartition) -> int:
        if partition not in self._positions:
            raise KafkaError(f"{partition.topic}/{partition.partition} is not assigned")
        found = self._positions[partition]
        if found is None and self._listener is not None and (committed := self.committed(partition)) is not None:
            found = committed.offset
        return self.beginning_offsets([partition])[partition] if found is None else found

    def positions(self) -> dict[TopicPartition, int | None]:
        return self._positions.copy()

    def group_metadata(self) -> MemberMetadata:
        with translate_errors():
            return MemberMetadata(self._client.consumer_group_metadata(), self._group)

    @property
    def is_member(self) -> bool:
        return self._is_member

    def topics(self) -> set[str]:
        with translate_errors():
            return set(self._client.list_topics(timeout=_CALL_SECONDS).topics)

    def partitions_for(self, topic: str) -> set[int]:
        with translate_errors():
            found = self._client.list_topics(topic, timeout=_CALL_SECONDS).topics.get(topic)
        if found is None or (found.error is not None and found.error.code() == Code.UNKNOWN_TOPIC_OR_PART):
            return set()
        if found.error is not None:
            raise translate(found.error)
        return set(found.partitions)

    def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._find(dict.fromkeys(partitions, OFFSET_BEGINNING), None)

    def end_offsets(self, partitions: Collection[TopicPartition], timeout_seconds: float | None = None) -> dict[TopicPartition, int]:
        return self._find(dict.fromkeys(partitions, OFFSET_END), timeout_seconds)

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        found = self._find(times, None)
        return {partition: None if offset < 0 else offset for partition, offset in found.items()}

    def high_water(self, partition: TopicPartition) -> int | None:
        if partition not in self._positions:
            return None
        with translate_errors():
            _, end = self._client.get_watermark_offsets(ClientPartition(*partition), cached=True)
        return None if end < 0 else int(end)

    def committed(self, partition: TopicPartition, timeout_seconds: float | None = None) -> CommittedOffset | None:
        self._check_group()
        with translate_errors():
            (found,) = self._client.committed([ClientPartition(*partition)], timeout=timeout_seconds or _CALL_SECONDS)
        _raise_for(found)
        return None if found.offset < 0 else CommittedOffset(found.offset, found.metadata or "")

    def commit(self, offsets: Offsets, timeout_seconds: float | None = None) -> None:
        self._check_group()
        if self._listener is not None and not self._is_member:
            raise CommitRefused("the group has not accepted this consumer, or is rebalancing")
        within(timeout_seconds or _CALL_SECONDS, lambda: self._commit(offsets))

    def close(self, timeout_seconds: float | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            with translate_errors():
                within(timeout_seconds or _CALL_SECONDS, self._client.close)
        finally:
            self._is_member = False
            self._positions = {}

    def _assign(self) -> None:
        starts = [
            ClientPartition(*partition, OFFSET_BEGINNING if offset is None else offset) for partition, offset in self._positions.items()
        ]
        self._client.assign(starts)
        # Librdkafka remembers over an assignment which partitions were paused.
        if opened := self._positions.keys() - self._paused:
            self._client.resume(_to_client(opened))
        if self._paused:
            self._client.pause(_to_client(self._paused))
        self._is_assigned = True

    def _seek(self, place: Any) -> None:
        """Seek once librdkafka has taken the partition up: it looks for its leader, and for the group's offset."""
        until = time.monotonic() + _SEEK_SECONDS
        while True:
            try:
                self._client.seek(place)
            except KafkaException as error:
                if error.args[0].code() != Code._STATE or time.monotonic() >= until:  # noqa: SLF001
                    raise translate(error) from error
                time.sleep(_RETRY_SECONDS)
            except RuntimeError as error:
                raise translate(error) from error
            else:
                return

    def _take(self, messages: list[Any]) -> dict[TopicPartition, list[_Record]]:
        """Return the records by partition, and note where they end.

        Partitions that are not open are left out: a rebalance within the poll has revoked them, and may have assigned
        them again.
        """
        found: dict[TopicPartition, list[_Record]] = {}
        positions = self._positions
        for message in messages:
            partition = TopicPartition(message.topic(), message.partition())
            is_open = partition in positions and partition not in self._paused
            if (error := message.error()) is not None:
                if error.code() != Code._PARTITION_EOF:  # noqa: SLF001
                    self._note(error)
                elif is_open:
                    # Beyond markers of transactions too, which are no records.
                    positions[partition] = message.offset()
            elif is_open:
                try:
                    record = _record(partition, message, message.headers() or ())
                except (SystemError, UnicodeDecodeError):  # of a header's name; the first is raised by the call that follows
                    record = _record(partition, message, UNREADABLE_HEADERS)
                found.setdefault(partition, []).append(record)
                positions[partition] = record.offset + 1
        return found

    def _note(self, error: Any) -> None:
        if error.code() in _PASSING or (error.code() == Code.GROUP_AUTHORIZATION_FAILED and not self._group):
            return
        self._error = translate(error)

    def _raise_noted(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _switch(self, call: Callable[[list[Any]], None], partitions: set[TopicPartition]) -> None:
        if partitions and self._is_assigned:
            with translate_errors():
                call(_to_client(partitions))

    def _find(self, times: Mapping[TopicPartition, int], timeout_seconds: float | None) -> dict[TopicPartition, int]:
        """Return the offsets for times, or for the places that Kafka's protocol encodes as negative ones."""
        if not times:
            return {}
        asked = [ClientPartition(*partition, time) for partition, time in times.items()]
        with translate_errors():
            found = self._client.offsets_for_times(asked, timeout=timeout_seconds or _CALL_SECONDS)
        for each in found:
            _raise_for(each)
        return {TopicPartition(each.topic, each.partition): each.offset for each in found}

    def _commit(self, offsets: Offsets) -> None:
        """Commit, and wait as long as librdkafka does: for a request, and for a coordinator."""
        if offsets:
            wanted = [ClientPartition(*partition, found.offset, found.metadata) for partition, found in offsets.items()]
            with translate_errors():
                for each in self._client.commit(offsets=wanted, asynchronous=False):
                    _raise_for(each)

    def _check_group(self) -> None:
        if not self._group:
            raise KafkaError("the consumer has no group")

    # Called by librdkafka within a poll or the close, on its thread: from another one, a commit would wait for their end.

    def _on_assigned(self, client: Any, assigned: list[Any]) -> None:
        partitions = _from_client(assigned)
        kept = self._positions if self._cooperative else {}
        if self._cooperative:
            client.incremental_assign(assigned)
        else:
            client.assign(assigned)
        if assigned:
            client.pause(assigned)
        self._paused = (self._paused & kept.keys()) | set(partitions)
        self._positions = {**kept, **dict.fromkeys(partitions)}
        self._is_member = True
        if self._listener is not None:
            _call(self._listener.assigned, partitions)

    def _on_revoked(self, client: Any, revoked: list[Any]) -> None:
        self._is_member = False
        partitions = _from_client(revoked)
        offsets = _call(self._listener.revoked, partitions) if partitions and self._listener is not None else None
        try:
            self._commit(offsets or {})
        except KafkaError as error:
            # Too late once the group is rebalancing: the next owner finds what was written.
            logger.info("the commit of revoked partitions was refused (%s)", error)
        self._forget(client, revoked)

    def _on_lost(self, client: Any, lost: list[Any]) -> None:
        self._is_member = False
        if self._listener is not None:
            _call(self._listener.lost, _from_client(lost))
        self._forget(client, lost)

    def _forget(self, client: Any, partitions: list[Any]) -> None:
        if self._cooperative:
            client.incremental_unassign(partitions)
            gone = set(_from_client(partitions))
            self._positions = {partition: offset for partition, offset in self._positions.items() if partition not in gone}
            self._paused -= gone
            # Of the group, with what it has kept; without partitions, it waits for its share.
            self._is_member = bool(self._positions)
        else:
            client.unassign()
            self._positions, self._paused = {}, set()


def _call(callback: Callable[[list[TopicPartition]], Result], partitions: list[TopicPartition]) -> Result | None:
    """Log what a listener raises: it would end the poll in the middle of a rebalance."""
    try:
        return callback(partitions)
    except Exception:
        logger.exception("a listener for the assignment of partitions failed")
        return None


def _record(partition: TopicPartition, message: Any, headers: Headers) -> _Record:
    return _Record(
        partition.topic,
        partition.partition,
        message.offset(),
        message.key(),
        message.value(),
        headers,
        message.timestamp()[1],
    )


def _to_client(partitions: Iterable[TopicPartition]) -> list[Any]:
    return [ClientPartition(*partition) for partition in partitions]


def _from_client(partitions: Iterable[Any]) -> list[TopicPartition]:
    return [TopicPartition(each.topic, each.partition) for each in partitions]


def _raise_for(found: Any) -> None:
    if found.error is not None:
        raise translate(KafkaException(found.error))
