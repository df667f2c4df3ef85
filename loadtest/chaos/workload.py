"""The events of a run: keys of skewed frequency, and a few records that no model can score. Drawn from a seed, no I/O."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

import orjson

from eventing.reply import reply_id

MODEL = "stub"
SOURCE = "/chaos"
NUMBER = "number"
"""The header of each record with its number: the record of a tombstone has nothing else to know it by."""
# The share of records without a key, which have no order; and of tombstones, which get no answer.
_KEYLESS, _TOMBSTONES = 0.01, 0.001
# Zipf's law with this exponent: the most frequent of 5,000 keys has a ninth of all records.
_SKEW = 1.0
_PRIME = 2_654_435_761


class Kind(StrEnum):
    """What is expected of a record."""

    EVENT = "event"
    REJECTED = "rejected"
    """The model refuses it: a dead letter."""
    INVALID = "invalid"
    """Its value is no JSON: a dead letter without a call."""
    TOMBSTONE = "tombstone"
    """It has no value: neither a reply nor a dead letter."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be produced."""

    number: int
    kind: Kind
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Workload:
    """The records of a seed: each number has the same record in every run."""

    seed: int
    events: int
    keys: int = 5_000
    poison: float = 0.001
    """The share of records that end as dead letters."""

    def records(self) -> Iterator[Record]:
        draw = random.Random(self.seed)  # noqa: S311 not for secrets
        weights = list(accumulate(1 / rank**_SKEW for rank in range(1, self.keys + 1)))
        for number in range(self.events):
            (key,) = draw.choices(range(self.keys), cum_weights=weights)
            kind = self._kind(draw.random())
            keyless = kind is not Kind.TOMBSTONE and draw.random() < _KEYLESS
            yield record_of(number, kind, None if keyless else b"key-%d" % key)

    def _kind(self, chance: float) -> Kind:
        if chance < self.poison:
            return Kind.INVALID if chance < self.poison / 2 else Kind.REJECTED
        return Kind.TOMBSTONE if chance < self.poison + _TOMBSTONES else Kind.EVENT


def record_of(number: int, kind: Kind, key: bytes | None) -> Record:
    numbered = [(NUMBER, b"%d" % number)]
    if kind is Kind.TOMBSTONE:
        return Record(number, kind, key, None, numbered)
    attributes = {"specversion": "1.0", "id": event_id(number), "source": SOURCE, "type": "chaos.event"}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    headers.append(("content-type", b"application/json"))
    value = b'{"number":' if kind is Kind.INVALID else orjson.dumps({"number": number, "reject": kind is Kind.REJECTED})
    return Record(number, kind, key, value, numbered + headers)


def event_id(number: int) -> str:
    return f"event-{number}"


def expected_id(number: int) -> str:
    """Return the id of the reply to an event."""
    return reply_id(SOURCE, event_id(number), MODEL)


def score(number: int) -> dict[str, int]:
    """Return what the model says of an event: no two events have the same score."""
    return {"number": number, "score": number * _PRIME % 2**32}


def kind_of(value: bytes | None) -> Kind:
    """Return the kind of a record that was read."""
    if value is None:
        return Kind.TOMBSTONE
    try:
        return Kind.REJECTED if orjson.loads(value)["reject"] else Kind.EVENT
    except orjson.JSONDecodeError:
        return Kind.INVALID
