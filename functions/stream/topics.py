"""The topics that a worker writes to, once all of them exist."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from common.errors import RemediedError
from eventing.kafka.errors import BrokerRefused, NotAuthorized, RequestTimedOut
from eventing.kafka.port import Cluster, Producer
from functions.stream.report import LogThrottle, logger
from functions.stream.settings import FAIL, WAIT, StreamSettings


@dataclass(frozen=True, slots=True)
class Topics:
    """The number of partitions of each topic, and its `max.message.bytes` where that is known."""

    partitions: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)


class TopicMissing(RemediedError):
    """A topic does not exist, and the worker is not to wait for it."""


async def partition_counts(cluster: Cluster, producer: Producer, settings: StreamSettings, stop: asyncio.Event) -> dict[str, int] | None:
    """Wait until all topics exist, and return the partition counts of the output topics; None if stopped before.

    Raises BrokerRefused when this user may not see a topic, TopicMissing for one that is not to be waited for.
    """
    counts: dict[str, int] = {}
    log_throttle = LogThrottle(600.0)
    for topic in (settings.input, *settings.outputs):
        while topic not in counts:
            if stop.is_set():
                return None
            try:
                if settings.missing_topics != WAIT:
                    await asyncio.to_thread(_find, cluster, settings, topic, counts.get(settings.input))
                counts[topic] = len(await asyncio.to_thread(producer.partitions_for, topic))
            except NotAuthorized:
                problem = f"Kafka does not let this user see the topic {topic}"
                raise BrokerRefused(problem, remedy="grant it Describe, and Read or Write") from None
            except RequestTimedOut:
                if log_throttle(topic):
                    logger.warning("there is no topic %s yet; waiting until it is created", topic)
    return {topic: counts[topic] for topic in settings.outputs}


def _find(cluster: Cluster, settings: StreamSettings, topic: str, partitions: int | None) -> None:
    """Refuse or create a topic that does not exist. A consumer asks, since for a producer many brokers create it."""
    with closing(cluster.consumer()) as reader:
        if reader.partitions_for(topic):
            return
    if settings.missing_topics == FAIL:
        raise TopicMissing(f"there is no topic {topic}", remedy="create it, or set TIDEGATE_STREAM_MISSING_TOPICS to wait or create")
    if partitions is not None:  # the input topic is its publisher's
        with closing(cluster.admin()) as admin:
            admin.create_topic(topic, partitions)
        logger.info("created the topic %s with %d partitions, as the input topic has", topic, partitions)
