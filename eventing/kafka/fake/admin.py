"""The in-memory cluster's admin client."""

from __future__ import annotations

from collections.abc import Collection

from eventing.kafka.fake.log import Log


class FakeAdmin:
    def __init__(self, log: Log) -> None:
        self._log = log

    def create_topic(self, topic: str, partitions: int) -> None:
        self._log.check_access()
        if topic not in self._log.topics():
            self._log.create_topic(topic, partitions)

    def max_message_bytes(self, topics: Collection[str]) -> dict[str, int]:
        self._log.check_access()
        return {topic: limit for topic in topics if (limit := self._log.limits.get(topic)) is not None}

    def groups(self) -> set[str]:
        self._log.check_access()
        return self._log.groups()

    def members(self, groups: Collection[str]) -> dict[str, int]:
        self._log.check_access()
        known = self._log.groups()
        return {group: len(self._log.group(group).members) if group in known else 0 for group in groups}

    def close(self) -> None: ...
