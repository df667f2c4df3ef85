"""The largest record of each topic, since a larger one would be refused after it was sent, with its successors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing

from common.errors import TidegateError
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster
from functions.stream.report import logger

# The client's own limit of a record, just below Kafka's default of a topic.
_CLIENT_BYTES = 2**20
# A dead letter without its record: its reason may have 13 KiB.
_LEAST_DEADLETTER_BYTES = 16 * 1024


class TopicTooSmall(TidegateError):
    """The topic for dead letters cannot accept every dead letter."""


def read(cluster: Cluster, topics: Collection[str]) -> dict[str, int]:
    """Return the most bytes of a batch of records, for those topics that accept less than the client sends.

    Other topics need no check of each record. A broker may not report its limits: that needs the right DescribeConfigs,
    and the embedded broker has none. Then only the client's own limit applies, which fits Kafka's default.
    """
    try:
        with closing(cluster.admin()) as client:
            reported = client.max_message_bytes(topics)
    except KafkaError as error:
        logger.debug("the broker does not report max.message.bytes of its topics: %s", error)
        return {}
    return {topic: limit for topic, limit in reported.items() if limit < _CLIENT_BYTES}


def check(limits: Mapping[str, int], deadletter: str) -> None:
    """Raise TopicTooSmall where a rejected record could not be kept, which would stop its partition for good."""
    limit = limits.get(deadletter, _LEAST_DEADLETTER_BYTES)
    if limit < _LEAST_DEADLETTER_BYTES:
        raise TopicTooSmall(
            f"the topic {deadletter} takes records of at most {limit} bytes (max.message.bytes), and a dead letter without its record"
            f" may have {_LEAST_DEADLETTER_BYTES}",
            remedy="raise it",
        )
