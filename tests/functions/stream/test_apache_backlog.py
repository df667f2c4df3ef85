"""A backlog of many records in an Apache Kafka, in one partition or in twelve."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing.kafka.port import Broker
from functions.stream.settings import StreamSettings

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

# A tracer makes it three times as long.
pytestmark = pytest.mark.no_cover


@pytest.mark.parametrize(
    ("count", "filled", "workers"), [(1, [0], 1), (12, [7], 1), (12, range(12), 3)], ids=["one", "one of twelve", "twelve for three"]
)
async def test_backlog_is_moved_to_its_end(
    apache: Apache, backlog: Callable[..., Awaitable[None]], count: int, filled: list[int], workers: int
) -> None:
    name, servers = uuid.uuid4().hex[:8], apache.at("PLAINTEXT")
    topics: dict[str, Any] = {each: f"{each}-{name}" for each in ("input", "output", "deadletter")}
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics([NewTopic(topic, count, 1) for topic in topics.values()])
    settings = StreamSettings(
        broker=Broker(servers), group=f"tidegate-{name}", model="flights", sink="http://127.0.0.1:1/models/flights", **topics
    )
    await backlog(settings, filled, workers=workers)
