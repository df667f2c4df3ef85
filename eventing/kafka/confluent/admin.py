"""The port's admin client by confluent-kafka."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from confluent_kafka.admin import RESOURCE_TOPIC, ConfigResource, NewTopic  # type: ignore[attr-defined]

from eventing.kafka.confluent.errors import translate, translate_errors
from eventing.kafka.errors import KafkaError, RequestTimedOut

_MAX_MESSAGE_BYTES = "max.message.bytes"
_REQUEST_SECONDS = 30.0


class AdminAdapter:
    def __init__(self, client: Any) -> None:
        self._client = client

    def create_topic(self, topic: str, partitions: int) -> None:
        with translate_errors():
            self._check_controller()
            created = self._client.create_topics([NewTopic(topic, num_partitions=partitions)], request_timeout=_REQUEST_SECONDS)
            try:
                _result(created[topic])
            except KafkaException as error:
                if error.args[0].code() != Code.TOPIC_ALREADY_EXISTS:
                    raise translate(error) from error

    def max_message_bytes(self, topics: Collection[str]) -> dict[str, int]:
        if not topics:
            return {}
        resources = [ConfigResource(RESOURCE_TOPIC, topic) for topic in topics]
        found: dict[str, int] = {}
        with translate_errors():
            self._check_controller()
            for resource, described in self._client.describe_configs(resources, request_timeout=_REQUEST_SECONDS).items():
                values = _result(described)
                if (entry := values.get(_MAX_MESSAGE_BYTES)) is not None and entry.value is not None:
                    found[resource.name] = int(entry.value)
        return found

    def groups(self) -> set[str]:
        with translate_errors():
            self._check_controller()
            return {group.group_id for group in _result(self._client.list_consumer_groups(request_timeout=_REQUEST_SECONDS)).valid}

    def members(self, groups: Collection[str]) -> dict[str, int]:
        if not groups:
            return {}
        found: dict[str, int] = {}
        with translate_errors():
            self._check_controller()
            for group, described in self._client.describe_consumer_groups(list(groups), request_timeout=_REQUEST_SECONDS).items():
                with contextlib.suppress(KafkaException):  # this user may not describe the group
                    found[group] = len(_result(described).members)
        return found

    def close(self) -> None:
        """Return at once: librdkafka ends the client with its last reference."""
        self._client = None

    def _check_controller(self) -> None:
        """Raise KafkaError for a broker without a controller, such as the embedded one: librdkafka would wait for it."""
        if not has_controller(self._client):
            raise KafkaError("the cluster names no controller, which creates topics and knows their configuration")


def has_controller(client: Any) -> bool:
    """Return whether the cluster has one, as any but the embedded broker does."""
    metadata = client.list_topics(timeout=_REQUEST_SECONDS)
    return metadata.controller_id in metadata.brokers


def _result(future: Any) -> Any:
    try:
        return future.result(2 * _REQUEST_SECONDS)
    except TimeoutError:
        raise RequestTimedOut(f"Kafka did not answer within {2 * _REQUEST_SECONDS:g} s") from None
