"""The port's consumer by kafka-python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from kafka import TopicPartition as ClientPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import MemberState, OffsetAndMetadata

from eventing.kafka.errors import RequestTimedOut
from eventing.kafka.kafka_python import fetcher
from eventing.kafka.kafka_python.assignors import CooperativeAssignor
from eventing.kafka.kafka_python.errors import translate_errors
from eventing.kafka.kafka_python.transactions import MemberMetadata
from eventing.kafka.port import CommittedOffset, ConsumedRecord, Offsets, RebalanceListener, TopicPartition

logger = logging.getLogger("tidegate.kafka")


class ConsumerAdapter:
    def __init__(self, client: Any, strategies: Sequence[Any] = ()) -> None:
        self._client = client
        self._strategies = [each for each in strategies if isinstance(each, CooperativeAssignor)]

    def subscribe(self, topic: str, listener: RebalanceListener) -> None:
        self._client.subscribe([topic], listener=_Listener(self._client, listener, self._strategies))

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        with translate_errors():
            self._client.assign(_to_client(partitions))

    def assignment(self) -> set[TopicPartition]:
        return set(_from_client(self._client.assignment()))

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, Sequence[ConsumedRecord]]:
        with translate_errors():
            found = self._client.poll(timeout_ms=int(timeout_seconds * 1000))
        return {TopicPartition(*partition): records for partition, records in found.items()}

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._client.pause(*_to_client(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._client.resume(*_to_client(partitions))

    def paused(self) -> set[TopicPartition]:
        return set(_from_client(self._client.paused()))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        with translate_errors():
            self._client.seek(ClientPartition(*partition), offset)

    def position(self, partition: TopicPartition) -> int:
        with translate_errors():
            return int(self._client.position(ClientPartition(*partition)))

    def positions(self) -> dict[TopicPartition, int | None]:
        return {TopicPartition(*partition): offset for partition, offset in fetcher.positions(self._client).items()}

    def group_metadata(self) -> MemberMetadata:
        return MemberMetadata(self._client.group_metadata())

    @property
    def is_member(self) -> bool:
        return bool(self._client.group_metadata().state == MemberState.STABLE)

    def topics(self) -> set[str]:
        with translate_errors():
            return set(self._client.topics())

    def partitions_for(self, topic: str) -> set[int]:
        with translate_errors():
            return set(self._client.partitions_for_topic(topic) or ())

    def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(self._client.beginning_offsets, partitions, None)

    def end_offsets(self, partitions: Collection[TopicPartition], timeout_seconds: float | None = None) -> dict[TopicPartition, int]:
        return self._offsets(self._client.end_offsets, partitions, timeout_seconds)

    def _offsets(
        self, read: Callable[..., Mapping[Any, int]], partitions: Collection[TopicPartition], timeout_seconds: float | None
    ) -> dict[TopicPartition, int]:
        try:
            with translate_errors():
                return _offsets_from_client(read(_to_client(partitions), timeout_ms=_milliseconds(timeout_seconds)))
        except KeyError as missing:
            # A partition that was added just now, and that not every broker knows yet: the client leaves it out of what
            # it looks up afterwards.
            topic, partition = missing.args[0]
            raise RequestTimedOut(f"the brokers do not know partition {partition} of {topic} yet", remedy="retry in some seconds") from None

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        with translate_errors():
            found = self._client.offsets_for_times({ClientPartition(*partition): time for partition, time in times.items()})
        return {TopicPartition(*partition): None if item is None else int(item.offset) for partition, item in found.items()}

    def high_water(self, partition: TopicPartition) -> int | None:
        found = self._client.highwater(ClientPartition(*partition))
        return None if found is None else int(found)

    def committed(self, partition: TopicPartition, timeout_seconds: float | None = None) -> CommittedOffset | None:
        with translate_errors():
            found = self._client.committed(ClientPartition(*partition), True, _milliseconds(timeout_seconds))
        return None if found is None else CommittedOffset(found.offset, found.metadata)

    def commit(self, offsets: Offsets, timeout_seconds: float | None = None) -> None:
        with translate_errors():
            self._client.commit(_commits(offsets), _milliseconds(timeout_seconds))

    def close(self, timeout_seconds: float | None = None) -> None:
        with translate_errors():
            self._client.close(timeout_ms=_milliseconds(timeout_seconds))


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the client's I/O thread, where a blocking commit raises and an awaited one does not."""

    def __init__(self, client: Any, listener: RebalanceListener, strategies: Sequence[CooperativeAssignor] = ()) -> None:
        self._client = client
        self._listener = listener
        self._strategies = strategies

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        partitions = _from_client(assigned)
        self._client.pause(*_to_client(partitions))
        self._listener.assigned(partitions)

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        partitions = _from_client(revoked)
        if not partitions:
            return
        offsets = self._listener.revoked(partitions)
        if not offsets:
            return
        try:
            await self._client.commit_async(_commits(offsets))
        except KafkaError as error:
            # Too late once the group is rebalancing: the next owner finds what was written.
            logger.info("the commit of revoked partitions was refused (%s)", str(error) or type(error).__name__)

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        for strategy in self._strategies:
            strategy.forget()
        self._listener.lost(_from_client(lost))


def _to_client(partitions: Iterable[TopicPartition]) -> list[Any]:
    return [ClientPartition(*partition) for partition in partitions]


def _from_client(partitions: Iterable[Any]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


def _offsets_from_client(offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*partition): int(offset) for partition, offset in offsets.items()}


def _commits(offsets: Offsets) -> dict[Any, Any]:
    return {ClientPartition(*partition): OffsetAndMetadata(found.offset, found.metadata, -1) for partition, found in offsets.items()}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
