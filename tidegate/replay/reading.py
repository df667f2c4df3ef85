"""The records of a window, read without a group and without a commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from eventing.kafka.port import ConsumedRecord, Consumer, TopicPartition
from tidegate.replay.errors import ReadStalled
from tidegate.replay.window import Range, Window

_POLL_SECONDS = 1.0
# A broker that moves a partition to another node needs some seconds.
_STALLED_SECONDS = 30.0


def read(consumer: Consumer, ranges: Mapping[TopicPartition, Range], window: Window) -> Iterator[list[ConsumedRecord]]:
    """Yield the records of the ranges whose time is in the window, as they arrive. Raises ReadStalled and KafkaError."""
    open_ = dict(ranges)
    consumer.assign(open_)
    consumer.resume(open_)  # an earlier read may have paused them
    for partition, item in open_.items():
        consumer.seek(partition, item.start)
    progressed = time.monotonic()
    while open_:
        found = consumer.poll(_POLL_SECONDS)
        for partition, records in found.items():
            end = ranges[partition].end
            chosen = [record for record in records if record.offset < end and window.has_time(record.timestamp)]
            if chosen:
                yield chosen
        # By position: the last offsets of a range may be those of transactions, or compacted.
        finished = [partition for partition, item in open_.items() if consumer.position(partition) >= item.end]
        for partition in finished:
            del open_[partition]
        consumer.pause(finished)
        if found or finished:
            progressed = time.monotonic()
        elif time.monotonic() - progressed > _STALLED_SECONDS:
            names = ", ".join(f"{partition.topic}/{partition.partition}" for partition in open_)
            raise ReadStalled(
                f"the broker returned no record of {names} for {_STALLED_SECONDS:g} s", remedy="check its log, then try again"
            )
