"""What a run has left: the records of the topics, the commits of the group, and the times of its faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from loadtest.chaos.workload import Kind


class Place(NamedTuple):
    """A record of the input topic."""

    partition: int
    offset: int


class Sent(NamedTuple):
    """A record of the input topic; `time` is when the broker appended it, in seconds since the epoch."""

    place: Place
    time: float
    number: int
    kind: Kind
    key: bytes | None


class Topic(StrEnum):
    OUTPUT = "output"
    DEADLETTER = "deadletter"


class Written(NamedTuple):
    """A record that a worker wrote. `origin` is the input's record that it names; None if it names none."""

    topic: Topic
    partition: int
    offset: int
    time: float
    origin: Place | None
    key: bytes | None
    value: bytes | None
    id: str | None
    """The id of a reply; that of a dead letter is the event's own."""


class Cause(StrEnum):
    """How a disturbance may make a worker write what another one has written."""

    KILL = "kill"
    """A worker died with outputs that no commit knows of."""
    ZOMBIE = "zombie"
    """A worker was silent for longer than its session, and wrote afterwards."""
    BROKER = "broker"
    """A broker was away: the coordinator of the group may have lost its members."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A fault as it took place, from its beginning until it healed: the process runs again, or the network passes."""

    name: str
    cause: Cause
    began: float
    healed: float


@dataclass(frozen=True, slots=True)
class History:
    """All that the checker looks at."""

    sent: Sequence[Sent]
    written: Sequence[Written]
    committed: Mapping[int, int]
    """The group's offset, by partition of the input; those without one are left out."""
    ends: Mapping[int, int]
    """The end of each partition of the input."""
    disturbances: Sequence[Disturbance] = field(default_factory=tuple)
