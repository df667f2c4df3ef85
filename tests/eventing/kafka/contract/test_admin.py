from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from eventing.kafka.factory import CLIENT, cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker, Cluster

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache


@pytest.fixture(params=["fake", "kafka-python", "confluent-kafka"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "fake":
        return FakeCluster(creates_topics=False)
    apache: Apache = request.getfixturevalue("apache")
    return cluster_of(Broker(apache.at("PLAINTEXT")), {CLIENT: request.param})


def test_topic_is_created_once(cluster: Cluster) -> None:
    name = f"created-{uuid.uuid4().hex[:8]}"
    with closing(cluster.admin()) as admin, closing(cluster.consumer()) as consumer:
        admin.create_topic(name, 3)
        admin.create_topic(name, 5)

        while not (partitions := consumer.partitions_for(name)):
            pass  # a broker hears of a new topic from the controller
        assert partitions == {0, 1, 2}


def test_largest_record_of_a_topic_is_read(cluster: Cluster) -> None:
    name = f"limited-{uuid.uuid4().hex[:8]}"
    with closing(cluster.admin()) as admin:
        admin.create_topic(name, 1)
        reported = admin.max_message_bytes([name])
    assert reported == ({} if isinstance(cluster, FakeCluster) else {name: 1_048_588})
