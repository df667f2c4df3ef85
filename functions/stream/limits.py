"""How large a record each topic takes (`max.message.bytes`): one that is larger would be refused after it was sent, and its successors
with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from kafka.record.default_records import DefaultRecordBatchBuilder

from common.errors import TidegateError
from eventing.codecs.kafka import Message
from eventing.kafka import kafka_python
from eventing.kafka.kafka_python import Broker
from functions.stream.report import logger

_NAME = "max.message.bytes"
# A dead letter without its record: its reason may have 13 KiB.
_LEAST_DEADLETTER_BYTES = 16 * 1024


class TopicTooSmall(TidegateError):
    """The topic for dead letters could not take every dead letter."""


def read(broker: Broker, topics: Iterable[str]) -> dict[str, int]:
    """The bytes that a batch of records may have in each topic, for those topics of which the broker says it.

    It may keep that to itself: its configuration needs the right DescribeConfigs, and the embedded broker has none. Then a record is
    held to the client's own limit, which fits Kafka's default.
    """
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic, {_NAME: None}) for topic in topics]
    try:
        with closing(kafka_python.admin(broker)) as client:
            found = client.describe_configs(asked, config_filter="all").get("topic", {})
    except KafkaError as error:
        logger.debug("the broker does not tell %s of its topics: %s", _NAME, error)
        return {}
    return {topic: int(values[_NAME]["value"]) for topic, values in found.items() if _NAME in values}


def check(limits: Mapping[str, int], deadletter: str) -> None:
    """Raises TopicTooSmall: what was rejected could not be kept, and would stop its partition for good."""
    limit = limits.get(deadletter, _LEAST_DEADLETTER_BYTES)
    if limit < _LEAST_DEADLETTER_BYTES:
        raise TopicTooSmall(
            f"the topic {deadletter} takes records of at most {limit} bytes ({_NAME}), and a dead letter without its record may have"
            f" {_LEAST_DEADLETTER_BYTES}; raise it."
        )


def size_of(message: Message) -> int:
    """The most bytes that a batch has with this record alone."""
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(message.key, message.value, message.headers)
    return size
