"""The judgment on a run, from the records that it left. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from loadtest.chaos.history import Cause, Disturbance, History, Place, Sent, Topic, Written
from loadtest.chaos.workload import Kind, event_id, expected_id, record_of, score

_EXAMPLES = 5
_DESTINATIONS = {Kind.EVENT: Topic.OUTPUT, Kind.REJECTED: Topic.DEADLETTER, Kind.INVALID: Topic.DEADLETTER}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a delivery promises, and how long after a fault its duplicates may come."""

    duplicates: bool
    """Whether kills and zombies may make some."""
    grace_seconds: float = 15.0
    """How long after a fault has healed a duplicate may still be due to it: a session, and a recovery."""


@dataclass(slots=True)
class Verdict:
    """The number of records of each fault, with examples."""

    events: int = 0
    replies: int = 0
    dead_letters: int = 0
    duplicates: Counter[Cause] = field(default_factory=Counter)
    """By what may have caused them."""
    repeated: Counter[str] = field(default_factory=Counter)
    """The same, by the fault."""
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.faults

    def report(self, fault: str, example: str, count: int = 1) -> None:
        self.faults[fault] += count
        found = self.examples.setdefault(fault, [])
        if len(found) < _EXAMPLES:
            found.append(example)


LOST = "lost"
WRONGLY_DEAD = "wrongly dead-lettered"
WRONGLY_SCORED = "wrongly scored"
UNASKED = "answers to no event"
CHANGED = "changed"
OUT_OF_ORDER = "out of order within a key"
UNEXPLAINED = "duplicates without a kill or a zombie"
FORBIDDEN = "duplicates despite transactions"
UNEQUAL = "unequal duplicates"
LAG = "lag"
AHEAD = "committed beyond the end"
FAULTS = (LOST, WRONGLY_DEAD, WRONGLY_SCORED, UNASKED, CHANGED, OUT_OF_ORDER, UNEXPLAINED, FORBIDDEN, UNEQUAL, LAG, AHEAD)
"""Everything that a run can be found guilty of, each of which must be 0."""


def check(history: History, rules: Rules) -> Verdict:
    """Compare what was written with what was sent."""
    verdict = Verdict(events=len(history.sent))
    sent = {one.place: one for one in history.sent}
    answers = _answers(history.written, sent, verdict)
    for place, one in sent.items():
        _check_answers(one, answers.get(place, []), history.committed.get(place.partition, 0), verdict)
    for found in answers.values():
        _check_duplicates(found, history.disturbances, rules, verdict)
    _check_order(history.written, sent, verdict)
    _check_commits(history, verdict)
    return verdict


def _answers(written: Iterable[Written], sent: Mapping[Place, Sent], verdict: Verdict) -> dict[Place, list[Written]]:
    """Return the answers to each record, in the order of their time."""
    answers: dict[Place, list[Written]] = defaultdict(list)
    for one in written:
        if one.topic is Topic.OUTPUT:
            verdict.replies += 1
        else:
            verdict.dead_letters += 1
        if one.origin is None or one.origin not in sent or sent[one.origin].kind is Kind.TOMBSTONE:
            verdict.report(UNASKED, f"{_name(one)} names {one.origin}")
        else:
            answers[one.origin].append(one)
    for found in answers.values():
        found.sort(key=lambda one: (one.time, one.topic, one.partition, one.offset))
    return answers


def _check_answers(one: Sent, answers: Sequence[Written], committed: int, verdict: Verdict) -> None:
    """Look for the right answer, unless the record is not finished: that is a lag."""
    if one.kind is Kind.TOMBSTONE:
        return
    destination = _DESTINATIONS[one.kind]
    right = [answer for answer in answers if answer.topic is destination]
    wrong = len(answers) - len(right)
    if wrong:
        verdict.report(WRONGLY_DEAD if destination is Topic.OUTPUT else WRONGLY_SCORED, f"event {one.number} at {one.place}", wrong)
    elif not right and one.place.offset < committed:
        verdict.report(LOST, f"event {one.number} at {one.place}")
    for answer in right:
        if difference := _difference(one, answer):
            verdict.report(CHANGED, f"{_name(answer)}: {difference}")


def _difference(one: Sent, answer: Written) -> str:
    """Return in what an answer differs from what it should be."""
    if answer.key != one.key:
        return f"its key is {answer.key!r} instead of {one.key!r}"
    reply = answer.topic is Topic.OUTPUT
    id_ = expected_id(one.number) if reply else event_id(one.number)
    if answer.id != id_:
        return f"its id is {answer.id!r} instead of {id_!r}"
    found, right = (_parsed(answer.value), score(one.number)) if reply else (answer.value, record_of(one.number, one.kind, one.key).value)
    return "" if found == right else f"its value is {answer.value!r}, for event {one.number}"


def _parsed(value: bytes | None) -> object:
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None


def _check_duplicates(answers: Sequence[Written], disturbances: Sequence[Disturbance], rules: Rules, verdict: Verdict) -> None:
    first, *others = answers
    for other in others:
        if (other.topic, other.key, other.value, other.id) != (first.topic, first.key, first.value, first.id):
            verdict.report(UNEQUAL, f"{_name(other)} and {_name(first)}")
        fault = fault_before(other.time, disturbances, rules.grace_seconds)
        cause = Cause.NONE if fault is None else fault.cause
        verdict.duplicates[cause] += 1
        if fault is not None:
            verdict.repeated[fault.name] += 1
        if not rules.duplicates:
            verdict.report(FORBIDDEN, f"{_name(other)} repeats {_name(first)}")
        elif cause is Cause.NONE:
            verdict.report(UNEXPLAINED, f"{_name(other)} repeats {_name(first)} at {other.time:.1f}")


def fault_before(time: float, disturbances: Iterable[Disturbance], grace_seconds: float) -> Disturbance | None:
    """Return what a duplicate of this time may be due to: zombies before kills, and both before brokers."""
    found = {one.cause: one for one in disturbances if one.began <= time <= one.healed + grace_seconds}
    return next((found[cause] for cause in (Cause.ZOMBIE, Cause.KILL, Cause.BROKER) if cause in found), None)


def _check_order(written: Iterable[Written], sent: Mapping[Place, Sent], verdict: Verdict) -> None:
    """Compare the order of the first occurrences within a key, in each topic and partition.

    The records of a key in two partitions of the input have no order: it was sent to both when partitions were added.
    """
    seen: set[tuple[Topic, Place]] = set()
    last: dict[tuple[Topic, int, int, bytes], int] = {}
    for one in sorted(written, key=lambda one: (one.topic, one.partition, one.offset)):
        origin = one.origin
        if origin is None or origin not in sent or (key := sent[origin].key) is None or (one.topic, origin) in seen:
            continue
        seen.add((one.topic, origin))
        lane = (one.topic, one.partition, origin.partition, key)
        if origin.offset < last.get(lane, -1):
            verdict.report(OUT_OF_ORDER, f"{_name(one)} is for offset {origin.offset} of {key!r}, after {last[lane]}")
        last[lane] = max(origin.offset, last.get(lane, -1))


def _check_commits(history: History, verdict: Verdict) -> None:
    for partition, end in history.ends.items():
        left = end - history.committed.get(partition, 0)
        if left > 0:
            verdict.report(LAG, f"partition {partition} ends at {end}, committed is {history.committed.get(partition)}", left)
        elif left < 0:
            verdict.report(AHEAD, f"partition {partition} ends at {end}, committed is {history.committed[partition]}", -left)


def _name(one: Written) -> str:
    return f"{one.topic.value}/{one.partition}/{one.offset}"
