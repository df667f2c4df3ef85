"""The port's admin client by kafka-python."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError

from eventing.kafka.kafka_python.errors import translate_errors

_MAX_MESSAGE_BYTES = "max.message.bytes"


class AdminAdapter:
    def __init__(self, client: Any) -> None:
        self._client = client

    def create_topic(self, topic: str, partitions: int) -> None:
        with translate_errors(), contextlib.suppress(TopicAlreadyExistsError):
            self._client.create_topics({topic: {"num_partitions": partitions}})

    def max_message_bytes(self, topics: Collection[str]) -> dict[str, int]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic, {_MAX_MESSAGE_BYTES: None}) for topic in topics]
        with translate_errors():
            found = self._client.describe_configs(resources, config_filter="all").get("topic", {})
        return {topic: int(values[_MAX_MESSAGE_BYTES]["value"]) for topic, values in found.items() if _MAX_MESSAGE_BYTES in values}

    def groups(self) -> set[str]:
        with translate_errors():
            return {str(group["group_id"]) for group in self._client.list_groups()}

    def members(self, groups: Collection[str]) -> dict[str, int]:
        if not groups:
            return {}
        with translate_errors():
            found = self._client.describe_groups(list(groups))
        return {group: len(state["members"]) for group, state in found.items() if state["error"] is None}

    def close(self) -> None:
        with translate_errors():
            self._client.close()
