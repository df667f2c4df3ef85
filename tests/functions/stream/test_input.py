from __future__ import annotations

import asyncio

from eventing.kafka.port import CommittedOffset, Offsets, TopicPartition
from functions.stream.commit import Commits
from functions.stream.input import _Listener


class Owner:
    def assigned(self, partitions: set[int]) -> None: ...

    async def released(self, partitions: set[int]) -> Commits:
        return {partition: CommittedOffset(partition * 10, "checkpoint") for partition in partitions}

    def lost(self, partitions: set[int]) -> None: ...


async def test_revoked_returns_the_offsets_of_the_owner() -> None:
    listener = _Listener(asyncio.get_running_loop(), Owner(), 5)
    offsets: Offsets = await asyncio.to_thread(listener.revoked, [TopicPartition("in", 1), TopicPartition("in", 2)])
    assert offsets == {TopicPartition("in", number): CommittedOffset(10 * number, "checkpoint") for number in (1, 2)}
