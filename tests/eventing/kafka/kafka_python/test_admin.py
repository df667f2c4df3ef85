from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, Cluster

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache


@pytest.fixture(params=["fake", "apache"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "fake":
        return FakeCluster(creates_topics=False)
    apache: Apache = request.getfixturevalue("apache")
    return KafkaCluster(Broker(apache.at("PLAINTEXT")))


def test_topic_is_created_once(cluster: Cluster) -> None:
    name = f"created-{uuid.uuid4().hex[:8]}"
    with closing(cluster.admin()) as admin, closing(cluster.consumer()) as consumer:
        admin.create_topic(name, 3)
        admin.create_topic(name, 5)

        assert consumer.partitions_for(name) == {0, 1, 2}
