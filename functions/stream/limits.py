"""How large a record each topic takes (`max.message.bytes`): one that is larger would be refused after it was sent, and its successors
with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing

from common.errors import TidegateError
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster
from functions.stream.report import logger

_NAME = "max.message.bytes"
# A dead letter without its record: its reason may have 13 KiB.
_LEAST_DEADLETTER_BYTES = 16 * 1024


class TopicTooSmall(TidegateError):
    """The topic for dead letters could not take every dead letter."""


def read(cluster: Cluster, topics: Collection[str]) -> dict[str, int]:
    """The bytes that a batch of records may have in each topic, for those topics of which the broker says it.

    It may keep that to itself: its configuration needs the right DescribeConfigs, and the embedded broker has none. Then a record is
    held to the client's own limit, which fits Kafka's default.
    """
    try:
        with closing(cluster.admin()) as client:
            return client.max_message_bytes(topics)
    except KafkaError as error:
        logger.debug("the broker does not tell %s of its topics: %s", _NAME, error)
        return {}


def check(limits: Mapping[str, int], deadletter: str) -> None:
    """Raises TopicTooSmall: what was rejected could not be kept, and would stop its partition for good."""
    limit = limits.get(deadletter, _LEAST_DEADLETTER_BYTES)
    if limit < _LEAST_DEADLETTER_BYTES:
        raise TopicTooSmall(
            f"the topic {deadletter} takes records of at most {limit} bytes ({_NAME}), and a dead letter without its record may have"
            f" {_LEAST_DEADLETTER_BYTES}; raise it."
        )
