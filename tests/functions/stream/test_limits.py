from __future__ import annotations

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.kafka_python import Broker
from functions.stream import limits
from functions.stream.limits import TopicTooSmall


def test_a_topic_that_takes_any_dead_letter_will_do() -> None:
    limits.check({"dead": 16 * 1024, "out": 100}, "dead")
    limits.check({}, "dead")


def test_a_topic_that_may_not_take_a_dead_letter_is_named() -> None:
    with pytest.raises(TopicTooSmall, match=r"the topic dead takes records of at most 9000 bytes \(max\.message\.bytes\).*raise it"):
        limits.check({"dead": 9000}, "dead")


def test_the_size_of_a_record_counts_its_headers() -> None:
    bare, whole = Message(None, b"", []), Message(b"key", b"value", [("name", b"item")])
    assert limits.size_of(whole) >= limits.size_of(bare) + len(b"keyvaluenameitem")


def test_a_broker_that_tells_no_limits_sets_none(broker: Broker) -> None:
    assert limits.read(broker, ["any"]) == {}
