from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.chaos import checker
from loadtest.chaos.checker import Rules, Verdict, check
from loadtest.chaos.history import Cause, Disturbance, History, Place, Topic, Written
from loadtest.chaos.workload import Kind
from tests.loadtest.chaos.histories import answer, plus, right, without

SEEDS = st.integers(0, 500)
AT_LEAST, EXACTLY = Rules(duplicates=True), Rules(duplicates=False)
LATE = 10_000
ANOTHER_EVENT = 10**6


def faults(history: History, rules: Rules = AT_LEAST) -> Counter[str]:
    return check(history, rules).faults


def some(history: History, kind: Kind, data: st.DataObject) -> Written:
    """The answer to a record of this kind."""
    found = [one.place for one in history.sent if one.kind is kind]
    place = data.draw(st.sampled_from(found))
    return next(one for one in history.written if one.origin == place)


def has_a(*kinds: Kind) -> st.SearchStrategy[History]:
    return SEEDS.map(right).filter(lambda history: set(kinds) <= {one.kind for one in history.sent})


@settings(max_examples=20)
@given(SEEDS)
def test_what_is_answered_once_and_in_order_is_right(seed: int) -> None:
    history = right(seed)
    for rules in (AT_LEAST, EXACTLY):
        verdict = check(history, rules)
        assert verdict.holds, verdict.examples
        assert not verdict.duplicates
        assert verdict.replies == sum(one.kind is Kind.EVENT for one in history.sent)
        assert verdict.dead_letters == sum(one.kind in {Kind.REJECTED, Kind.INVALID} for one in history.sent)


@settings(max_examples=20)
@given(has_a(Kind.EVENT, Kind.REJECTED, Kind.INVALID), st.sampled_from([Kind.EVENT, Kind.REJECTED, Kind.INVALID]), st.data())
def test_a_missing_answer_is_lost(history: History, kind: Kind, data: st.DataObject) -> None:
    origin = some(history, kind, data).origin
    assert origin is not None
    assert faults(without(history, origin)) == {checker.LOST: 1}


@settings(max_examples=20)
@given(has_a(Kind.EVENT), st.booleans(), st.data())
def test_a_dead_letter_of_a_good_event_is_wrong(history: History, instead: bool, data: st.DataObject) -> None:
    found = some(history, Kind.EVENT, data)
    assert found.origin is not None
    letter = found._replace(topic=Topic.DEADLETTER, offset=LATE, time=LATE)
    changed = plus(without(history, found.origin) if instead else history, letter)
    assert checker.WRONGLY_DEAD in faults(changed)


@settings(max_examples=20)
@given(has_a(Kind.REJECTED), st.data())
def test_a_reply_to_what_the_model_refuses_is_wrong(history: History, data: st.DataObject) -> None:
    found = some(history, Kind.REJECTED, data)
    assert found.origin is not None
    reply = found._replace(topic=Topic.OUTPUT)
    assert faults(plus(without(history, found.origin), reply))[checker.WRONGLY_SCORED] == 1


@settings(max_examples=20)
@given(SEEDS, st.data())
def test_answers_of_one_key_that_change_places_are_out_of_order(seed: int, data: st.DataObject) -> None:
    history = right(seed)
    lanes: dict[tuple[Topic, int, bytes], list[Written]] = {}
    for one in history.written:
        if one.key is not None:
            lanes.setdefault((one.topic, one.partition, one.key), []).append(one)
    lane = data.draw(st.sampled_from([lane for lane in lanes.values() if len(lane) > 1]))
    index = data.draw(st.integers(0, len(lane) - 2))
    first, second = lane[index : index + 2]
    assert faults(_swapped(history, first, second)) == {checker.OUT_OF_ORDER: 1}


@settings(max_examples=20)
@given(SEEDS)
def test_answers_of_two_keys_may_change_places(seed: int) -> None:
    history = right(seed)
    neighbors = [(one, other) for one, other in zip(history.written, history.written[1:], strict=False) if one.key != other.key]
    for first, second in neighbors[:10]:
        history = _swapped(history, first, second) if {first, second} <= set(history.written) else history
    assert check(history, EXACTLY).holds


@settings(max_examples=20)
@given(has_a(Kind.EVENT), st.data())
def test_a_record_without_a_key_has_no_order(history: History, data: st.DataObject) -> None:
    keyless = [one for one in history.sent if one.key is None]
    moved = {one.place: LATE - one.place.offset for one in keyless}
    written = [one._replace(offset=moved.get(one.origin, one.offset)) if one.origin else one for one in history.written]
    assert check(replace(history, written=written), EXACTLY).holds


@pytest.mark.parametrize("cause", [Cause.KILL, Cause.ZOMBIE, Cause.BROKER])
@settings(max_examples=20)
@given(has_a(Kind.EVENT), st.data())
def test_a_duplicate_after_a_fault_is_counted_by_its_cause(cause: Cause, history: History, data: st.DataObject) -> None:
    again = some(history, Kind.EVENT, data)._replace(offset=LATE, time=LATE)
    history = replace(plus(history, again), disturbances=[Disturbance("fault", cause, LATE - 20, LATE - 10)])
    verdict = check(history, AT_LEAST)
    assert verdict.holds
    assert verdict.duplicates == {cause: 1}
    assert faults(history, EXACTLY) == {checker.FORBIDDEN: 1}


@settings(max_examples=20)
@given(has_a(Kind.EVENT), st.data())
def test_a_duplicate_without_a_fault_that_explains_it_is_one(history: History, data: st.DataObject) -> None:
    again = some(history, Kind.EVENT, data)._replace(offset=LATE, time=LATE)
    others = [Disturbance("before", Cause.KILL, 0, LATE - 16), Disturbance("after", Cause.ZOMBIE, LATE + 1, LATE + 2)]
    assert faults(plus(history, again)) == {checker.UNEXPLAINED: 1}
    assert faults(replace(plus(history, again), disturbances=others)) == {checker.UNEXPLAINED: 1}
    harmless = Disturbance("answers", Cause.NONE, LATE - 1, LATE + 1)
    assert faults(replace(plus(history, again), disturbances=[harmless])) == {checker.UNEXPLAINED: 1}


CHANGES: dict[str, dict[str, object]] = {
    "key": {"key": b"another"},
    "id": {"id": "another"},
    "value": {"value": b'{"number":-1}'},
    "no JSON": {"value": b"{"},
    "nothing": {"value": None},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@settings(max_examples=20)
@given(has_a(Kind.EVENT, Kind.REJECTED), st.sampled_from([Kind.EVENT, Kind.REJECTED]), st.data())
def test_a_changed_answer_is_found(change: dict[str, object], history: History, kind: Kind, data: st.DataObject) -> None:
    found = some(history, kind, data)
    changed = found._replace(**change)  # type: ignore[arg-type]
    written = [changed if one is found else one for one in history.written]
    assert faults(replace(history, written=written))[checker.CHANGED] == 1
    again = changed._replace(offset=LATE, time=LATE)
    killed = Disturbance("kill", Cause.KILL, LATE - 1, LATE)
    verdict = check(replace(plus(history, again), disturbances=[killed]), AT_LEAST)
    assert verdict.faults[checker.UNEQUAL] == 1


@settings(max_examples=20)
@given(SEEDS)
def test_an_answer_to_another_event_is_found(seed: int) -> None:
    history = right(seed)
    first = next(one for one in history.sent if one.kind is Kind.EVENT)
    other = answer(first._replace(number=first.number + ANOTHER_EVENT), 0, 0.0)
    written = [other if one.origin == first.place else one for one in history.written]
    assert checker.CHANGED in faults(replace(history, written=written))


@settings(max_examples=20)
@given(SEEDS)
def test_an_answer_to_a_tombstone_or_to_nothing_is_found(seed: int) -> None:
    history = right(seed)
    model = history.written[0]
    buried = replace(history, sent=[*history.sent, history.sent[0]._replace(place=Place(9, 0), kind=Kind.TOMBSTONE)])
    assert check(buried, EXACTLY).holds
    assert faults(plus(buried, model._replace(origin=Place(9, 0)))) == {checker.UNASKED: 1}
    assert faults(plus(history, model._replace(origin=Place(0, 10**9)))) == {checker.UNASKED: 1}
    assert faults(plus(history, model._replace(origin=None))) == {checker.UNASKED: 1}


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5))
def test_commits_that_are_not_the_ends_are_found(seed: int, difference: int) -> None:
    history = right(seed)
    partition, end = next((partition, end) for partition, end in history.ends.items() if end > difference)
    behind = {**history.committed, partition: end - difference}
    assert faults(replace(history, committed=behind)) == {checker.LAG: difference}
    assert faults(replace(history, committed={**behind, partition: end + difference})) == {checker.AHEAD: difference}
    del behind[partition]
    assert faults(replace(history, committed=behind)) == {checker.LAG: end}


def test_a_zombie_explains_a_duplicate_before_a_kill_does() -> None:
    kill, stop = Disturbance("kill", Cause.KILL, 0, 10), Disturbance("stop", Cause.ZOMBIE, 5, 20)
    found = [checker.fault_before(time, [kill, stop], 1.0) for time in (-1, 2, 7, 21, 22)]
    assert found == [None, kill, stop, stop, None]


@settings(max_examples=20)
@given(has_a(Kind.EVENT), st.data())
def test_what_is_not_finished_is_not_lost_yet(history: History, data: st.DataObject) -> None:
    origin = some(history, Kind.EVENT, data).origin
    assert origin is not None
    behind = {**history.committed, origin.partition: origin.offset}
    assert set(faults(replace(without(history, origin), committed=behind))) == {checker.LAG}


def test_a_verdict_keeps_a_few_examples() -> None:
    verdict = Verdict()
    for number in range(20):
        verdict.report(checker.LOST, f"event {number}")
    assert verdict.faults[checker.LOST] == 20
    assert verdict.examples == {checker.LOST: [f"event {number}" for number in range(5)]}


def _swapped(history: History, first: Written, second: Written) -> History:
    places = {first: second, second: first}
    written = [one._replace(offset=places[one].offset, time=places[one].time) if one in places else one for one in history.written]
    return replace(history, written=written)
