from __future__ import annotations

import pytest

from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker
from functions.stream import limits
from functions.stream.limits import TopicTooSmall


def test_topic_large_enough_for_dead_letters_is_accepted() -> None:
    limits.check({"dead": 16 * 1024, "out": 100}, "dead")
    limits.check({}, "dead")


def test_topic_too_small_for_a_dead_letter_is_refused() -> None:
    with pytest.raises(TopicTooSmall, match=r"the topic dead takes records of at most 9000 bytes \(max\.message\.bytes\).*raise it"):
        limits.check({"dead": 9000}, "dead")


def test_limits_of_topics_are_read() -> None:
    cluster = FakeCluster()
    cluster.create_topic("out", 1, max_message_bytes=9000)
    cluster.create_topic("large", 1, max_message_bytes=1_048_588)
    assert limits.read(cluster, ["out", "dead", "large"]) == {"out": 9000}


def test_broker_that_reports_no_limits_sets_none(broker: Broker) -> None:
    assert limits.read(cluster_of(broker), ["any"]) == {}
