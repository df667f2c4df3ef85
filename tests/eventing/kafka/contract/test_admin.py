from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from eventing.kafka.factory import CLIENT, cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker, Cluster, CommittedOffset, ConsumerOptions, Offsets, TopicPartition

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache


@pytest.fixture(params=["fake", "kafka-python", "confluent-kafka"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "fake":
        return FakeCluster(creates_topics=False)
    apache: Apache = request.getfixturevalue("apache")
    return cluster_of(Broker(apache.at("PLAINTEXT")), {CLIENT: request.param})


class Ignoring:
    def assigned(self, partitions: Collection[TopicPartition]) -> None: ...

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        return {}

    def lost(self, partitions: Collection[TopicPartition]) -> None: ...


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


def test_groups_are_listed_with_their_members(cluster: Cluster) -> None:
    name = uuid.uuid4().hex[:8]
    topic, group = f"read-{name}", f"readers-{name}"
    with closing(cluster.admin()) as admin, closing(cluster.consumer(ConsumerOptions(group=group))) as consumer:
        admin.create_topic(topic, 1)
        assert group not in admin.groups()
        assert admin.members([group]).get(group, 0) == 0
        # A commit from outside makes the group, without a member.
        consumer.commit({TopicPartition(topic, 0): CommittedOffset(0)})
        assert group in admin.groups()
        assert admin.members([group]) == {group: 0}
        assert admin.members([]) == {}
        with closing(cluster.consumer(ConsumerOptions(group=group))) as member:
            member.subscribe(topic, Ignoring())
            while not member.is_member:
                member.poll(0.2)
            found = admin.members([group, f"absent-{name}"])
            assert (found[group], found.get(f"absent-{name}", 0)) == (1, 0)
            consumer.close()
