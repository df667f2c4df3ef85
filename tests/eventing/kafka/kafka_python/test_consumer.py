from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CommitFailedError
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from eventing.kafka.errors import RequestTimedOut
from eventing.kafka.kafka_python.assignors import CooperativeAssignor, MigratingAssignor
from eventing.kafka.kafka_python.consumer import ConsumerAdapter, _Listener
from eventing.kafka.port import CommittedOffset, Offsets, TopicPartition


class Client:
    def __init__(self, error: Exception | None = None) -> None:
        self.committed: dict[Any, Any] = {}
        self._error = error

    async def commit_async(self, offsets: dict[Any, Any]) -> None:
        if self._error is not None:
            raise self._error
        self.committed |= offsets


class Owner:
    def assigned(self, partitions: Collection[TopicPartition]) -> None: ...

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        return {partition: CommittedOffset(partition.partition * 10, "checkpoint") for partition in partitions}

    def lost(self, partitions: Collection[TopicPartition]) -> None: ...


def revoke(client: Client) -> None:
    asyncio.run(_Listener(client, Owner()).on_partitions_revoked([ClientPartition("in", 1), ClientPartition("in", 2)]))


def test_offsets_that_the_owner_gives_back_are_committed() -> None:
    client = Client()
    revoke(client)
    assert client.committed == {ClientPartition("in", number): OffsetAndMetadata(10 * number, "checkpoint", -1) for number in (1, 2)}


def test_commit_that_is_too_late_does_not_end_the_rebalance(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    revoke(Client(CommitFailedError("a rebalance is under way")))
    assert "a rebalance is under way" in caplog.text


def owned(strategy: CooperativeStickyAssignor) -> list[tuple[str, list[int]]]:
    return [(found.topic, found.partitions) for found in strategy.metadata({"in"}).owned_partitions]


def assigned(strategy: CooperativeStickyAssignor) -> None:
    strategy.on_assignment(ConsumerProtocolAssignment(1, [("in", [1, 2])], b""), 7)


def test_member_claims_nothing_after_it_has_lost_its_partitions() -> None:
    strategy = CooperativeAssignor()
    assigned(strategy)
    # Without the correction, the client claims them for good.
    assert owned(strategy) == [("in", [1, 2])]
    asyncio.run(_Listener(Client(), Owner(), [strategy]).on_partitions_lost([ClientPartition("in", 1), ClientPartition("in", 2)]))
    assert owned(strategy) == []


def test_eager_member_claims_nothing_by_the_cooperative_strategy() -> None:
    strategy = MigratingAssignor()
    assigned(strategy)
    assert owned(strategy) == []


class Forgetful:
    """Looks up a partition that was added just now as kafka-python does."""

    def end_offsets(self, partitions: list[Any], timeout_ms: int | None) -> dict[Any, int]:
        found: dict[Any, int] = {ClientPartition("in", 0): 5}
        return {partition: found[partition] for partition in partitions}

    beginning_offsets = end_offsets


def test_a_partition_that_the_brokers_do_not_know_yet_is_an_error_of_the_port() -> None:
    consumer, known, new = ConsumerAdapter(Forgetful()), TopicPartition("in", 0), TopicPartition("in", 12)
    assert consumer.end_offsets([known]) == {known: 5}
    with pytest.raises(RequestTimedOut, match="partition 12 of in"):
        consumer.end_offsets([known, new], 1.0)
    with pytest.raises(RequestTimedOut):
        consumer.beginning_offsets([new])
