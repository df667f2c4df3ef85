"""The in-memory cluster's consumer, and how it takes part in a group.

Groups rebalance as by the eager protocol: when a member joins or leaves, every member gives its partitions up at its
next poll, and all of them are assigned again once each has done so. A member that does not poll holds the group up
until it is closed or expelled. Cooperative members keep what stays with them, and join once more after they have given
up the rest, so that its new owners get it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from eventing.kafka.errors import CommitRefused, KafkaError, RequestTimedOut
from eventing.kafka.fake.log import FakeRecord, Group, Log, Member
from eventing.kafka.port import CommittedOffset, ConsumerOptions, Offsets, RebalanceListener, TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeMemberMetadata:
    """The identity of a member: None before it has joined."""

    group: str
    generation: int
    member: Member | None


class FakeConsumer:
    def __init__(self, log: Log, options: ConsumerOptions) -> None:
        self._log = log
        self._most = options.max_poll_records or 500
        self._read_committed = options.read_committed
        self._group = log.group(options.group) if options.group else None
        self._group_name = options.group or ""
        self._topic = ""
        self._listener: RebalanceListener | None = None
        # The generation for which this member has given up its partitions, and the one for which it was assigned new
        # ones.
        self.joined = 0
        self._assigned_in = 0
        self._expelled = False
        self._cooperative = options.cooperative
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def subscribe(self, topic: str, listener: RebalanceListener) -> None:
        if self._group is None:
            raise KafkaError("a subscription needs a group")
        self._topic, self._listener = topic, listener
        self._log.create_if_missing(topic)
        self._group.members.append(self)
        self._log.rebalance(self._group)

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self._positions = {partition: self._start(partition) for partition in partitions}
        self._paused &= set(partitions)

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, list[FakeRecord]]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._log.check_access()
            if self._group is not None and self._listener is not None:
                self._take_part(self._group, self._listener)
            if found := self._next_records():
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return {}
            generation = self._group.generation if self._group else 0
            with self._log.changed:
                self._log.changed.wait_for(partial(self._has_news, generation), left)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused -= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._check_assigned(partition)
        self._positions[partition] = offset

    def position(self, partition: TopicPartition) -> int:
        self._check_assigned(partition)
        return self._positions[partition]

    def positions(self) -> dict[TopicPartition, int | None]:
        with self._log.changed:
            return {**self._positions}

    def group_metadata(self) -> FakeMemberMetadata:
        member = self if self._group is not None and self in self._group.members else None
        return FakeMemberMetadata(group=self._group_name, generation=self._assigned_in, member=member)

    @property
    def is_member(self) -> bool:
        return self._group is not None and self in self._group.members and self._assigned_in == self._group.generation

    def topics(self) -> set[str]:
        self._log.check_access()
        return self._log.topics()

    def partitions_for(self, topic: str) -> set[int]:
        self._log.check_access()
        return self._log.numbers(topic)

    def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        self._log.check_access()
        return {partition: min(0, self._log.end(partition)) for partition in partitions}

    def end_offsets(self, partitions: Collection[TopicPartition], timeout_seconds: float | None = None) -> dict[TopicPartition, int]:
        self._log.check_access()
        return {partition: self._end(partition) for partition in partitions}

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        self._log.check_access()
        return {partition: self._log.first_not_before(partition, time_ms) for partition, time_ms in times.items()}

    def high_water(self, partition: TopicPartition) -> int | None:
        return self._end(partition) if partition in self._positions else None

    def committed(self, partition: TopicPartition, timeout_seconds: float | None = None) -> CommittedOffset | None:
        self._log.check_access()
        group = self._required_group()
        with self._log.changed:
            if self._read_committed and not self._log.changed.wait_for(partial(self._is_stable, partition), timeout_seconds):
                raise RequestTimedOut(f"an open transaction holds the offset of {partition.topic}/{partition.partition}")
            return group.committed.get(partition)

    def commit(self, offsets: Offsets, timeout_seconds: float | None = None) -> None:
        self._log.check_access()
        group = self._required_group()
        with self._log.changed:
            if self._expelled or (self._listener is not None and (not self.is_member or not set(offsets) <= set(self._positions))):
                raise CommitRefused("the group is rebalancing, or the partitions have another owner")
            group.committed.update(offsets)

    def expel(self) -> None:
        """Let the group take this member for dead: at its next poll its partitions are lost, and it joins again."""
        group = self._required_group()
        with self._log.changed:
            group.members.remove(self)
            self._expelled = True
            self._log.rebalance(group)

    def close(self, timeout_seconds: float | None = None) -> None:
        if self._group is not None and self._listener is not None and self in self._group.members:
            self._give_up(self._group, self._listener, set(self._positions))
            with self._log.changed:
                self._group.members.remove(self)
                self._log.rebalance(self._group)
        self._listener = None
        self._positions = {}

    def _take_part(self, group: Group, listener: RebalanceListener) -> None:
        if self._expelled:
            lost, self._positions, self._expelled = list(self._positions), {}, False
            listener.lost(lost)
            with self._log.changed:
                group.members.append(self)
                self._log.rebalance(group)
        generation = group.generation
        if self.joined != generation:
            if not self._cooperative:
                self._give_up(group, listener, set(self._positions))
            with self._log.changed:
                self.joined = generation
                self._log.changed.notify_all()
        with self._log.changed:
            everyone = all(member.joined == group.generation for member in group.members)
            if self._assigned_in == group.generation or not everyone:
                return
            self._assigned_in = group.generation
            share, owned = set(self._share(group)), set(self._positions)
            others = {partition for member in group.members if member is not self for partition in member.assignment()}
            added = sorted(share - owned - others)
        if self._give_up(group, listener, owned - share):
            self._log.rebalance(group)
        with self._log.changed:
            self._positions |= {partition: self._start(partition) for partition in added}
            self._paused |= set(added)
        listener.assigned(added)

    def _give_up(self, group: Group, listener: RebalanceListener, partitions: set[TopicPartition]) -> bool:
        if not partitions:
            return False
        offsets = listener.revoked(sorted(partitions))
        with self._log.changed:
            group.committed.update(offsets)
            self._positions = {partition: offset for partition, offset in self._positions.items() if partition not in partitions}
            self._paused -= partitions
        return True

    def _share(self, group: Group) -> list[TopicPartition]:
        numbers, rank = sorted(self._log.numbers(self._topic)), group.members.index(self)
        return [TopicPartition(self._topic, number) for number in numbers if number % len(group.members) == rank]

    def _is_stable(self, partition: TopicPartition) -> bool:
        return not self._log.holds_offset(self._group_name, partition)

    def _end(self, partition: TopicPartition) -> int:
        return self._log.stable_end(partition) if self._read_committed else self._log.end(partition)

    def _start(self, partition: TopicPartition) -> int:
        found = self._group.committed.get(partition) if self._group else None
        return found.offset if found else 0

    def _next_records(self) -> dict[TopicPartition, list[FakeRecord]]:
        found: dict[TopicPartition, list[FakeRecord]] = {}
        left = self._most
        for partition, offset in list(self._positions.items()):
            if partition in self._paused:
                continue
            records, self._positions[partition] = self._log.read(partition, offset, left, committed=self._read_committed)
            if records:
                found[partition] = records
                left -= len(records)
        return found

    def _has_news(self, generation: int) -> bool:
        if self._group is not None and self._listener is not None:
            waiting = self._assigned_in != self._group.generation
            if generation != self._group.generation or self._expelled:
                return True
            if waiting and all(member.joined == self._group.generation for member in self._group.members):
                return True
        open_ = [partition for partition in self._positions if partition not in self._paused]
        return any(self._end(partition) > self._positions[partition] for partition in open_)

    def _check_assigned(self, partition: TopicPartition) -> None:
        if partition not in self._positions:
            raise KafkaError(f"{partition.topic}/{partition.partition} is not assigned")

    def _required_group(self) -> Group:
        if self._group is None:
            raise KafkaError("the consumer has no group")
        return self._group
