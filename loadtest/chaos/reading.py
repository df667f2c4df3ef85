"""Topics and commits as the checker needs them, read to their end by a client of this package's own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from common.errors import TidegateError
from loadtest.chaos.history import Place, Sent, Topic, Written
from loadtest.chaos.workload import NUMBER, kind_of

ORIGIN = "tidegate_origin"
_ID = "ce_id"
_PATIENCE_SECONDS = 60.0


class Unreadable(TidegateError):
    """A topic cannot be read to its end."""


def create(servers: str, topics: Sequence[str], partitions: int, copies: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics([NewTopic(topic, partitions, copies) for topic in topics])


def add_partitions(servers: str, topic: str, count: int) -> None:
    """Give a topic so many partitions more."""
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        (found,) = admin.describe_topics([topic])
        admin.create_partitions({topic: len(found["partitions"]) + count})


def ends_of(consumer: KafkaConsumer, topic: str) -> dict[int, int]:
    found = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    return {source.partition: end for source, end in consumer.end_offsets(found).items()}


def committed_of(admin: KafkaAdminClient, group: str, topic: str) -> dict[int, int]:
    """Return the group's offset by partition; nothing while its coordinator cannot be reached."""
    try:
        offsets: Mapping[Any, Any] = admin.list_group_offsets(group)[group]
    except KafkaError:
        return {}
    return {source.partition: one.offset for source, one in offsets.items() if source.topic == topic and one.offset >= 0}


def read_sent(servers: str, topic: str) -> list[Sent]:
    found = []
    for record in _read(servers, topic, committed=True):
        number = int(dict(record.headers)[NUMBER])
        place = Place(record.partition, record.offset)
        found.append(Sent(place, record.timestamp / 1000, number, kind_of(record.value), record.key))
    return found


def read_written(servers: str, topic: str, kind: Topic, source: str, *, committed: bool) -> list[Written]:
    """Read the records for `source`, the topic of the input; with `committed`, none of an open or aborted transaction."""
    pattern = re.compile(rf"{re.escape(source)}/(\d+)/(\d+)".encode())

    def written(record: Any) -> Written:
        headers = dict(record.headers)
        named = pattern.fullmatch(headers.get(ORIGIN) or b"")
        origin = None if named is None else Place(int(named[1]), int(named[2]))
        id_ = headers.get(_ID)
        return Written(
            kind,
            record.partition,
            record.offset,
            record.timestamp / 1000,
            origin,
            record.key,
            record.value,
            None if id_ is None else id_.decode(errors="replace"),
        )

    return [written(record) for record in _read(servers, topic, committed=committed)]


def _read(servers: str, topic: str, *, committed: bool) -> Iterator[Any]:
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = KafkaConsumer(bootstrap_servers=servers, isolation_level=isolation, enable_auto_commit=False, group_id=None)
    with closing(consumer):
        ends = {TopicPartition(topic, number): end for number, end in ends_of(consumer, topic).items()}
        consumer.assign(list(ends))
        consumer.seek_to_beginning(*ends)
        moved = time.monotonic()
        # The position also moves over what a poll does not return: markers, and records of aborted transactions.
        while any(consumer.position(source) < end for source, end in ends.items()):
            records = consumer.poll(timeout_ms=500, max_records=5_000)
            if records:
                moved = time.monotonic()
            elif time.monotonic() - moved > _PATIENCE_SECONDS:
                raise Unreadable(f"the end of {topic} is not reached; a transaction may be open.")
            for batch in records.values():
                yield from batch
