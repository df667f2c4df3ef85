"""Histories of a stream that does everything right, to be changed by one fault."""

from __future__ import annotations

import random
from dataclasses import replace

import orjson

from loadtest.chaos.history import History, Place, Sent, Topic, Written
from loadtest.chaos.workload import Kind, Workload, event_id, expected_id, record_of, score

PARTITIONS = 3


def right(seed: int, events: int = 50) -> History:
    """The history of a stream that answers the records of each key in order, and those of other keys in any order."""
    draw = random.Random(seed)  # noqa: S311 not for secrets
    ends = dict.fromkeys(range(PARTITIONS), 0)
    sent = []
    for record in Workload(seed, events, keys=6, poison=0.1).records():
        partition = sum(record.key) % PARTITIONS if record.key else draw.randrange(PARTITIONS)
        sent.append(Sent(Place(partition, ends[partition]), float(record.number), record.number, record.kind, record.key))
        ends[partition] += 1
    return History(sent, _answers(draw, sent), ends, ends)


def answer(one: Sent, offset: int, time: float) -> Written:
    """The right answer to a record, at this offset of its partition."""
    if one.kind is Kind.EVENT:
        return Written(
            Topic.OUTPUT, one.place.partition, offset, time, one.place, one.key, orjson.dumps(score(one.number)), expected_id(one.number)
        )
    value = record_of(one.number, one.kind, one.key).value
    return Written(Topic.DEADLETTER, one.place.partition, offset, time, one.place, one.key, value, event_id(one.number))


def _answers(draw: random.Random, sent: list[Sent]) -> list[Written]:
    lanes: dict[object, list[Sent]] = {}
    for one in sent:
        if one.kind is not Kind.TOMBSTONE:
            lanes.setdefault(one.key or one.place, []).append(one)
    written: list[Written] = []
    while lanes:
        lane = draw.choice(list(lanes))
        written.append(answer(lanes[lane].pop(0), len(written), 1000.0 + len(written)))
        if not lanes[lane]:
            del lanes[lane]
    return written


def without(history: History, place: Place) -> History:
    return replace(history, written=[one for one in history.written if one.origin != place])


def plus(history: History, *written: Written) -> History:
    return replace(history, written=[*history.written, *written])
