"""Corrections of kafka-python's fetcher, without which a partition can stand still for good.

Each belongs to 3.0.12 and is held necessary by a test of the bare client: as soon as a release does without one, that test fails and the
correction can go. The fetcher is private to the client, so that nothing is corrected where its parts have other names.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError

# What the corrections touch.
_PARTS = ("_next_partition_records", "_paused_partition_records", "_subscriptions", "fetched_records", "PartitionRecords")


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Records that are over once one of them cannot be read.

    The client keeps them in line after the error, empty but not finished, and its next poll asks them again and again without an end.
    Finished, they are fetched once more, and a poll raises the same error: a record with an unknown compression, or a damaged one.
    """

    def take(self, n: int | None = None) -> list[Any]:
        try:
            records: list[Any] = super().take(n)
        except Exception as error:
            self.drain()
            if isinstance(error, UnsupportedCodecError):
                raise UnsupportedCodecError(
                    f"{self._where()} cannot be read ({str(error).rstrip('.')}); "
                    "install that library here, or publish with gzip or without compression."
                ) from None
            if isinstance(error, UnicodeDecodeError):
                # Of a header's name: values are bytes.
                raise CorruptRecordError(f"{self._where()} cannot be read ({error}); move the group's offset beyond it.") from None
            raise
        return records

    def _where(self) -> str:
        return f"the record at {self.topic_partition.topic}/{self.topic_partition.partition}/{self.next_fetch_offset}"


class _Fetcher(Fetcher):  # type: ignore[misc]
    """A fetcher that returns the records of a partition which was paused and is resumed.

    The client sets records that were fetched before a pause aside, and takes them up only while the place in line is None: one that is
    read to its end is not. Until then it does not fetch from the partition either. Here the partition that has been aside for longest
    changes places with the one in line, so that none has to wait for the others to run dry.
    """

    PartitionRecords = _PartitionRecords
    _next_partition_records: Any

    def fetched_records(self, max_records: int | None = None, update_offsets: bool = True) -> Any:
        self._line_up()
        return super().fetched_records(max_records, update_offsets)

    def _line_up(self) -> None:
        in_line, aside = self._next_partition_records or None, self._paused_partition_records
        resumed = next((partition for partition in aside if not self._subscriptions.is_paused(partition)), None)
        if resumed is not None:
            first = aside.pop(resumed)
            if in_line is not None:
                aside[in_line.topic_partition] = in_line
            in_line = first
        self._next_partition_records = in_line


def correct(consumer: KafkaConsumer) -> None:
    """Give a consumer that has not polled yet the corrected fetcher."""
    found = getattr(consumer, "_fetcher", None)
    if type(found) is Fetcher and all(hasattr(found, name) for name in _PARTS):
        consumer._fetcher = _Fetcher(consumer._client, consumer._subscription, metrics=consumer._metrics, **consumer.config)  # noqa: SLF001


def positions(consumer: KafkaConsumer) -> dict[Any, int | None]:
    """The next offset that is fetched, by assigned partition; None before the first. Any thread may ask, and nothing is sent."""
    state = consumer._subscription  # noqa: SLF001 position() asks the broker, on the caller's thread
    found: dict[Any, int | None] = {}
    for partition in state.assigned_partitions():
        with contextlib.suppress(KeyError):  # taken away meanwhile
            position = state.position(partition)
            found[partition] = None if position is None else int(position.offset)
    return found
