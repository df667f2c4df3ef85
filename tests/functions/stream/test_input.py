from __future__ import annotations

import asyncio

from eventing.kafka.port import CommittedOffset, Offsets, TopicPartition
from functions.stream.input import Commits, _Listener
from functions.stream.recovery import Checkpoint, Mark

CHECKPOINT = Checkpoint({"out": Mark(1, 7)})


class Owner:
    def assigned(self, partitions: set[int]) -> None: ...

    async def released(self, partitions: set[int]) -> Commits:
        return {partition: (partition * 10, CHECKPOINT) for partition in partitions}

    def lost(self, partitions: set[int]) -> None: ...


async def test_what_the_owner_gives_back_is_committed_when_partitions_are_revoked() -> None:
    listener = _Listener(asyncio.get_running_loop(), Owner(), 5)
    offsets: Offsets = await asyncio.to_thread(listener.revoked, [TopicPartition("in", 1), TopicPartition("in", 2)])
    assert offsets == {TopicPartition("in", number): CommittedOffset(10 * number, CHECKPOINT.to_text()) for number in (1, 2)}
