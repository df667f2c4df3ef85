"""What the broker says of a stream at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: its topics and its consumer group.

    `workers` is how many processes move it, None where that is not known; `output` is empty where that is not known.
    """

    name: str
    group: str
    input: str
    output: str = ""
    workers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSample:
    """A partition: the offsets between which records wait, and the age of the first one.

    `beyond` is how many of them are finished already, or are no records. `start` is the oldest offset that the broker
    has; `committed` is None before the group's first commit; `seconds` is None if the broker did not return the record
    in time, or it has no timestamp.
    """

    position: int
    end: int
    seconds: float | None = 0.0
    beyond: int = 0
    start: int = 0
    committed: int | None = None

    @property
    def records(self) -> int:
        return max(0, self.end - self.position - self.beyond)

    @property
    def finished(self) -> int:
        return self.end - self.records


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All partitions of a stream, by number, at a time of a monotonic clock."""

    at: float
    partitions: Mapping[int, PartitionSample] = field(default_factory=dict)

    @property
    def records(self) -> int:
        return sum(partition.records for partition in self.partitions.values())

    @property
    def produced(self) -> int:
        return sum(partition.end for partition in self.partitions.values())

    @property
    def finished(self) -> int:
        return sum(partition.finished for partition in self.partitions.values())

    @property
    def seconds(self) -> float | None:
        """The age of the oldest record that waits, 0 if none does; None if it is unknown for every partition that lags."""
        known = [partition.seconds for partition in self.partitions.values() if partition.records and partition.seconds is not None]
        if not known:
            return None if self.records else 0.0
        return max(known)
