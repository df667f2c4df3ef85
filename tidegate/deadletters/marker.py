"""Markers: records in the topic of the letters that say what was done with them. Pure.

A marker is a CloudEvent, and lies in the partition of its letters, behind them: no retention by time or size removes it
before they are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any

import orjson

from common.errors import InvalidEvent
from eventing import types
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message, Record
from eventing.event import SPECVERSION, Event
from eventing.kafka.port import TopicPartition

# A marker has at most so many ranges, and so fits into the 16 KiB that any topic for dead letters accepts.
MAX_RANGES = 500

Ranges = tuple[tuple[int, int], ...]
"""Offsets in ascending order as ranges, both ends included."""


class Kind(Enum):
    """What a run says about letters; the value is the event's type."""

    CLAIMED = types.DEADLETTER_CLAIMED
    RELEASED = types.DEADLETTER_RELEASED
    REPLAYED = types.DEADLETTER_REPLAYED
    DISCARDED = types.DEADLETTER_DISCARDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a run says about some letters of one partition.

    `seen` is the end of the partition as the run had read it: a claim, and a discard, count only for letters that no
    other marker has touched since. A claim also has the seconds after which others may take it over, and the ends of
    the topics that the run was about to write to, from which its successor looks for what it had written.
    """

    kind: Kind
    run: str
    letters: Ranges
    seen: int = 0
    lease_seconds: float = 0.0
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)

    def to_message(self, topic: str, number: int) -> Message:
        """Return the record; `number` is that of the marker in its run."""
        ends: dict[str, dict[str, int]] = {}
        for partition, end in self.ends.items():
            ends.setdefault(partition.topic, {})[str(partition.partition)] = end
        data = {"run": self.run, "letters": self.letters, "seen": self.seen, "lease_seconds": self.lease_seconds, "ends": ends}
        attributes = {
            "specversion": SPECVERSION,
            "type": self.kind.value,
            "source": f"/tidegate/deadletters/{topic}",
            "id": f"{self.run}/{number}",
            "datacontenttype": "application/json",
        }
        return codec.encode(Event(attributes, data))


def is_marker(headers: codec.Headers) -> bool:
    """Return whether a record with these headers claims to be a marker."""
    return any(name == "ce_type" and value in _TYPES for name, value in headers)


def marker_of(record: Record) -> Marker | None:
    """Return the marker of a record; None if it is malformed."""
    try:
        event = codec.decode(record)
        return _marker(Kind(event.type), orjson.loads(record.value or b""))
    except (InvalidEvent, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def ranges_of(offsets: Iterable[int]) -> Ranges:
    """Return ascending offsets as ranges."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and found[-1][1] == offset - 1:
            found[-1] = found[-1][0], offset
        else:
            found.append((offset, offset))
    return tuple(found)


_TYPES = {kind.value.encode() for kind in Kind}


def _marker(kind: Kind, data: Any) -> Marker:
    letters = tuple((int(first), int(last)) for first, last in data["letters"])
    if any(first > last for first, last in letters) or any(one[1] >= other[0] for one, other in pairwise(letters)):
        raise ValueError("ranges are not in order")
    ends = {
        TopicPartition(str(topic), int(partition)): int(end) for topic, found in data["ends"].items() for partition, end in found.items()
    }
    return Marker(
        kind=kind,
        run=str(data["run"]),
        letters=letters,
        seen=int(data["seen"]),
        lease_seconds=float(data["lease_seconds"]),
        ends=ends,
    )
