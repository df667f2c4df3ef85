"""Markers of one run: written to the letters' partition, and read back, since its order decides between runs."""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Consumer, Delivery, Producer, TopicPartition
from tidegate.deadletters import reading
from tidegate.deadletters.errors import NotAcknowledged
from tidegate.deadletters.ledger import Ledger
from tidegate.deadletters.letter import replay_of
from tidegate.deadletters.marker import MAX_RANGES, Kind, Marker, ranges_of

FLUSH_SECONDS = 45.0
_RENEWED_SECONDS = 15.0


class Claims:
    """The letters that a run holds. Methods raise KafkaError and NotAcknowledged."""

    def __init__(self, consumer: Consumer, producer: Producer, ledger: Ledger, topic: str, run: str) -> None:
        self._consumer = consumer
        self._producer = producer
        self._ledger = ledger
        self._topic = topic
        self._run = run
        self._number = 0

    def claim(self, partition: int, offsets: Sequence[int], topics: set[str], lease_seconds: float) -> tuple[list[int], set[int]]:
        """Claim letters before their records are written to `topics`; return those that this run has got.

        The second result has those among them that an earlier run has written already: it was killed, or gave them up
        without knowing.
        """
        known = self._ledger.partitions[partition]
        earlier = [claim for offset in offsets if (claim := known.claim(offset)) is not None]
        ends = reading.ends_of(self._consumer, topics)
        scanned = _least([claim.ends for claim in earlier])
        # The run that takes over from this run has to look where this run has to look.
        marker = Marker(
            kind=Kind.CLAIMED,
            run=self._run,
            letters=ranges_of(offsets),
            seen=known.position,
            lease_seconds=lease_seconds,
            ends={**ends, **scanned},
        )
        started = time.monotonic()
        won = self._won(partition, marker, offsets)
        written = self._written(partition, won, scanned) if earlier else set[int]()
        if won and time.monotonic() - started > _RENEWED_SECONDS:
            # The search took long, and the claim is about to expire.
            won = self._won(partition, replace(marker, letters=ranges_of(won), seen=known.position), won)
        return won, written & set(won)

    def discard(self, partition: int, offsets: Sequence[int]) -> int:
        """Mark letters as dealt with; return how many were not touched by another run meanwhile."""
        known, count = self._ledger.partitions[partition], 0
        for ranges in _parts(ranges_of(offsets)):
            marker = Marker(kind=Kind.DISCARDED, run=self._run, letters=ranges, seen=known.position)
            first, last = bisect_left(offsets, ranges[0][0]), bisect_right(offsets, ranges[-1][1])
            count += len(self._won(partition, marker, offsets[first:last]))
        return count

    def replayed(self, partition: int, offsets: Collection[int]) -> None:
        """Mark letters as replayed."""
        self._say(Kind.REPLAYED, partition, offsets)

    def release(self, partition: int, offsets: Collection[int]) -> None:
        """Give letters up that were claimed and not replayed."""
        self._say(Kind.RELEASED, partition, offsets)

    def _say(self, kind: Kind, partition: int, offsets: Collection[int]) -> None:
        if offsets:
            self._append(partition, Marker(kind=kind, run=self._run, letters=ranges_of(sorted(offsets))))

    def _won(self, partition: int, marker: Marker, offsets: Sequence[int]) -> list[int]:
        at = self._append(partition, marker)
        if at < 0:
            raise NotAcknowledged(
                f"the broker did not report where it has written a marker in {self._topic}", remedy="run the command again in some minutes"
            )
        self._read_through(partition, at)
        return self._ledger.partitions[partition].won(offsets, at)

    def _append(self, partition: int, marker: Marker) -> int:
        """Write a marker and return its offset; negative if the broker does not report it."""
        self._number += 1
        delivery = self._producer.send(self._topic, marker.to_message(self._topic, self._number), partition)
        with contextlib.suppress(KafkaError):
            self._producer.flush(FLUSH_SECONDS)
        return _acknowledged(delivery, f"a marker in {self._topic}")

    def _read_through(self, partition: int, offset: int) -> None:
        reading.catch_up(self._consumer, self._ledger, TopicPartition(self._topic, partition), offset + 1)

    def _written(self, partition: int, offsets: Collection[int], ends: Mapping[TopicPartition, int]) -> set[int]:
        """Return the letters whose records are in the topics, from these offsets on."""
        wanted, found = set(offsets), set[int]()
        topics = {target.topic for target in ends if self._consumer.partitions_for(target.topic)}
        for target, end in reading.ends_of(self._consumer, topics).items():
            # A partition that the earlier run has not seen was added since.
            for record in reading.between(self._consumer, target, ends.get(target, 0), end):
                mark = replay_of(record.headers)
                if mark and (mark[1].topic, mark[1].partition) == (self._topic, partition) and mark[1].offset in wanted:
                    found.add(mark[1].offset)
        return found


def _acknowledged(delivery: Delivery, what: str) -> int:
    """Return the offset of a record that was sent and flushed. Raises NotAcknowledged."""
    if delivery.offset is None:
        reason = str(delivery.error or "no answer").rstrip(".")
        raise NotAcknowledged(f"the broker did not acknowledge {what} ({reason})", remedy="check its log, then run the command again")
    return delivery.offset


def _least(ends: Sequence[Mapping[TopicPartition, int]]) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    for each in ends:
        for partition, end in each.items():
            found[partition] = min(end, found.get(partition, end))
    return found


def _parts(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], ...]]:
    for start in range(0, len(ranges), MAX_RANGES):
        yield tuple(ranges[start : start + MAX_RANGES])
