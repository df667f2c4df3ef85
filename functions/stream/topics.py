"""The topics that a worker writes to, once all of them exist."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from eventing.kafka.errors import BrokerRefused, NotAuthorized, RequestTimedOut
from eventing.kafka.port import Producer
from functions.stream.report import LogThrottle, logger
from functions.stream.settings import StreamSettings


@dataclass(frozen=True, slots=True)
class Topics:
    """The number of partitions of each topic, and its `max.message.bytes` where that is known."""

    partitions: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)


async def partition_counts(producer: Producer, settings: StreamSettings, stop: asyncio.Event) -> dict[str, int] | None:
    """Wait until all topics exist, and return the partition counts of the output topics; None if stopped before.

    Raises BrokerRefused when this user may not see a topic.
    """
    counts: dict[str, int] = {}
    log_throttle = LogThrottle(600.0)
    for topic in (settings.input, *settings.outputs):
        while topic not in counts:
            if stop.is_set():
                return None
            try:
                counts[topic] = len(await asyncio.to_thread(producer.partitions_for, topic))
            except NotAuthorized:
                problem = f"Kafka does not let this user see the topic {topic}"
                raise BrokerRefused(problem, remedy="grant it Describe, and Read or Write") from None
            except RequestTimedOut:
                if log_throttle(topic):
                    logger.warning("there is no topic %s yet; waiting until it is created", topic)
    return {topic: counts[topic] for topic in settings.outputs}
