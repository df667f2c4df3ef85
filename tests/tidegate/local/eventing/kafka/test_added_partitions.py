"""Partitions that are added to the topic of a Broker while it is read, on Apache Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from eventing.codecs import kafka
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, Cluster
from tests.tidegate.local.eventing.harness import Eventing, Sink, event
from tidegate.local.objects.eventing import EXTERNAL_TOPIC

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

TOPIC = "added-partitions"


@pytest.fixture
def cluster(apache: Apache, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr("tidegate.local.eventing.kafka.reader._METADATA_SECONDS", 0.5)
    return cluster_of(Broker(apache.at("PLAINTEXT")))


async def test_trigger_receives_the_events_of_partitions_that_are_added(
    apache: Apache, cluster: Cluster, eventing: Eventing, sink: Callable[..., Awaitable[Sink]]
) -> None:
    received = await sink()
    eventing.broker("grows", **{EXTERNAL_TOPIC: TOPIC})
    eventing.trigger("grows", received.url, broker="grows", order="ordered")
    await eventing.ready("grows")
    await eventing.send(event(1), broker="grows")
    await received.wait(1)

    with closing(KafkaAdminClient(bootstrap_servers=apache.at("PLAINTEXT"))) as admin:
        admin.create_partitions({TOPIC: NewPartitions(total_count=3)})
    with closing(cluster.producer()) as producer:
        for number in range(2, 8):
            producer.send(TOPIC, kafka.encode(event(number)), 1 + number % 2)
        producer.flush(30.0)

    await received.wait(7)
    assert received.ids[0] == "e1"
    assert [found for found in received.ids if int(found[1:]) % 2][1:] == ["e3", "e5", "e7"]
    assert [found for found in received.ids if not int(found[1:]) % 2] == ["e2", "e4", "e6"]
