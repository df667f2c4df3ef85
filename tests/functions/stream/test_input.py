from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError

from functions.stream.input import Commits, _Listener
from functions.stream.recovery import Checkpoint, Mark

CHECKPOINT = Checkpoint({"out": Mark(1, 7)})


class Consumer:
    def __init__(self, error: Exception | None = None) -> None:
        self.committed: dict[Any, Any] = {}
        self._error = error

    async def commit_async(self, offsets: dict[Any, Any]) -> None:
        if self._error is not None:
            raise self._error
        self.committed |= offsets


class Owner:
    def assigned(self, partitions: set[int]) -> None: ...

    async def released(self, partitions: set[int]) -> Commits:
        return {partition: (partition * 10, CHECKPOINT) for partition in partitions}

    def lost(self, partitions: set[int]) -> None: ...


async def revoke(consumer: Consumer) -> None:
    listener = _Listener(consumer, asyncio.get_running_loop(), Owner(), 5)
    # On a thread and a loop of its own, as the client calls it.
    await asyncio.to_thread(lambda: asyncio.run(listener.on_partitions_revoked([TopicPartition("in", 1), TopicPartition("in", 2)])))


async def test_what_the_owner_gives_back_is_committed_when_partitions_are_revoked() -> None:
    consumer = Consumer()
    await revoke(consumer)
    found = {source: (item.offset, Checkpoint.from_text(item.metadata)) for source, item in consumer.committed.items()}
    assert found == {TopicPartition("in", 1): (10, CHECKPOINT), TopicPartition("in", 2): (20, CHECKPOINT)}


async def test_a_commit_that_comes_too_late_does_not_end_the_rebalance(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await revoke(Consumer(CommitFailedError("a rebalance is under way")))
    assert "a rebalance is under way" in caplog.text
