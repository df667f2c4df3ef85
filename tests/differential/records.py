"""The actions of a step on the Kafka of a side: `topics`, `produce`, `records`."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import Any

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Cluster, ConsumedRecord, TopicPartition
from tests.differential.comparison import Object, difference
from tests.differential.sides import Side
from tests.differential.waiting import until

_PARTITIONS = 4
_SECONDS = 30.0


def topics(side: Side, names: list[str], expected: Object) -> None:
    """Create topics with several partitions."""
    assert expected == {"created": True}
    cluster = _cluster(side)
    if side.kafka and side.kafka.api_version:  # the embedded one creates a topic when it is first used
        with closing(cluster.producer()) as producer:
            assert all(producer.partitions_for(name) for name in names)
        return
    with closing(cluster.admin()) as admin:
        for name in names:
            admin.create_topic(name, _PARTITIONS)


def produce(side: Side, wanted: Object, expected: Object) -> None:
    """Write `records` to a `topic`, in a `partition` or by their `key`.

    A value is `json`, a `text` or missing; `key64` is a key of bytes in Base64.
    """
    assert expected == {"written": True}
    with closing(_cluster(side).producer()) as producer:
        sent = [producer.send(wanted["topic"], _message(record), record.get("partition")) for record in wanted["records"]]
        producer.flush(_SECONDS)
    assert [delivery.error for delivery in sent] == [None] * len(sent)


def records(side: Side, topic: str, expected: Object) -> None:
    """Wait for the expected `records` of a topic, sorted by their values."""
    with closing(_cluster(side).consumer()) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for(topic)])
        found: list[Object] = []

        def compare() -> str | None:
            found.extend(_seen(record) for some in consumer.poll(0.2).values() for record in some)
            return difference(expected["records"], sorted(found, key=lambda record: json.dumps(record["value"], sort_keys=True)))

        until(compare)


def _cluster(side: Side) -> Cluster:
    assert side.kafka is not None
    return cluster_of(side.kafka)


def _message(record: Object) -> Message:
    key = base64.b64decode(record["key64"]) if "key64" in record else record["key"].encode() if "key" in record else None
    value = json.dumps(record["json"]) if "json" in record else record.get("text")
    headers = [(name, text.encode()) for name, text in record.get("headers", {}).items()]
    return Message(key, None if value is None else value.encode(), headers)


def _seen(record: ConsumedRecord) -> Object:
    key, value = (None if found is None else found.decode() for found in (record.key, record.value))
    headers: dict[str, Any] = {name: (text or b"").decode() for name, text in record.headers}
    return {"key": key, "headers": headers, "value": json.loads(value) if value and value[0] in "{[" else value}
