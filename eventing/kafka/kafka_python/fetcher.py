"""Corrections of kafka-python's fetcher, without which a partition can stall for good.

Each is for release 3.0.12 and backed by a test of the uncorrected client: once a release needs one no more, that test
fails and the correction can be removed. The fetcher is private to the client, so nothing is corrected where its parts
have other names.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import UnsupportedCodecError

from eventing.kafka.kafka_python.batches import ReadableBatches

# The private parts that the corrections use.
_PARTS = ("_next_partition_records", "_paused_partition_records", "_subscriptions", "fetched_records", "PartitionRecords")


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Fetched records that are finished once one of them cannot be read.

    The client keeps them current after the error, empty but not finished, and its next poll asks them without end.
    Finished, they are fetched once more, and a poll raises the same error: for a record with an unsupported
    compression, or a damaged one.
    """

    def take(self, n: int | None = None) -> list[Any]:
        try:
            records: list[Any] = super().take(n)
        except Exception as error:
            self.drain()
            if isinstance(error, UnsupportedCodecError):
                raise UnsupportedCodecError(
                    f"{self._name()} cannot be read ({str(error).rstrip('.')}); "
                    "install that library here, or publish with gzip or without compression."
                ) from None
            raise
        return records

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Any:
        return super()._unpack_records(tp, ReadableBatches(records), *deserializers)

    def _name(self) -> str:
        return f"the record at {self.topic_partition.topic}/{self.topic_partition.partition}/{self.next_fetch_offset}"


class _Fetcher(Fetcher):  # type: ignore[misc]
    """A fetcher that returns the records of a partition that was paused and is resumed.

    The client sets records that were fetched before a pause aside, and takes them up only while no other partition's
    records are current; records that are read to their end still count as current. Until then it does not fetch from
    the partition either. Here the partition that has been aside for longest replaces the current one, so that none
    waits until the others are exhausted.
    """

    PartitionRecords = _PartitionRecords
    _next_partition_records: Any

    def fetched_records(self, max_records: int | None = None, update_offsets: bool = True) -> Any:
        self._take_up_resumed()
        return super().fetched_records(max_records, update_offsets)

    def _take_up_resumed(self) -> None:
        current, aside = self._next_partition_records or None, self._paused_partition_records
        resumed = next((partition for partition in aside if not self._subscriptions.is_paused(partition)), None)
        if resumed is not None:
            first = aside.pop(resumed)
            if current is not None:
                aside[current.topic_partition] = current
            current = first
        self._next_partition_records = current


def correct(consumer: KafkaConsumer) -> None:
    """Replace the fetcher of a consumer that has not polled yet by the corrected one."""
    found = getattr(consumer, "_fetcher", None)
    if type(found) is Fetcher and all(hasattr(found, name) for name in _PARTS):
        consumer._fetcher = _Fetcher(consumer._client, consumer._subscription, metrics=consumer._metrics, **consumer.config)  # noqa: SLF001


def positions(consumer: KafkaConsumer) -> dict[Any, int | None]:
    """Return the next offset to fetch, by assigned partition; None before the first. Thread-safe; sends no request."""
    state = consumer._subscription  # noqa: SLF001 position() sends a request, on the caller's thread
    found: dict[Any, int | None] = {}
    for partition in state.assigned_partitions():
        with contextlib.suppress(KeyError):  # revoked meanwhile
            position = state.position(partition)
            found[partition] = None if position is None else int(position.offset)
    return found
