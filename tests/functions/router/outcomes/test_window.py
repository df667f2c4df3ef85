from __future__ import annotations

from collections import Counter
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.label import prediction_digest
from eventing.outcome import BAD_OUTCOMES, MOST_KEYS, MOST_PAIRS, ArmOutcome
from functions.router.outcomes.reported import Reported
from functions.router.outcomes.sample import Draw
from functions.router.outcomes.window import Observed, Pair, Summary, Window, bad_outcome
from functions.runtime.knative.traffic import Arm, RoutedModel

STABLE, CANARY = (Arm(revision=name, percent=percent, url="") for name, percent in (("m-1", 90), ("m-2", 10)))
OLD, SHADOW = (Arm(revision=name, percent=0, url="") for name in ("m-0", "m-3"))
MODEL = RoutedModel(name="m", arms=(OLD, STABLE, CANARY, SHADOW), stable=STABLE, canaries=(CANARY,), shadow=SHADOW, salt=b"m/")
ITEMS = st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=4).map(tuple)
CALLS = st.lists(
    st.builds(
        Observed,
        revision=st.sampled_from(["m-1", "m-2", "m-0"]),
        items=ITEMS,
        status=st.sampled_from([0, 200, 400, 401, 422, 429, 500, 503]),
        seconds=st.sampled_from([0.001, 0.999, 1.001, 30.0]),
        cold=st.booleans(),
        draw=st.builds(Draw, st.sampled_from([1, 4]), st.floats(0, 0.999)),
        body=st.none() | st.just(b'{"late": 0.5}'),
    ),
    max_size=12,
)


def ended(calls: list[Observed], reported: Reported | None = None) -> Summary:
    window = Window(MODEL, reported or Reported())
    for call in calls:
        window.add(call)
    return window.end()


def call(revision: str, *items: int | None, status: int = 200, seconds: float = 0.01, body: bytes | None = None) -> Observed:
    return Observed(revision, items, status, seconds, cold=False, draw=Draw(len(items), 0.5), body=body)


def total(arms: list[ArmOutcome], count: str) -> int:
    return sum(getattr(arm, count) for arm in arms)


@given(CALLS)
def test_each_item_is_counted_once(calls: list[Observed]) -> None:
    arms = ended(calls).arms
    assert [arm.revision for arm in arms[:2]] == ["m-1", "m-2"]
    drawn = [(one, item) for one in calls for item in one.items if item is not None]
    assert total(arms, "requests") == len(drawn)
    assert total(arms, "requests") + total(arms, "forced") == sum(len(one.items) for one in calls)
    assert total(arms, "cold") == sum(one.cold for one, _ in drawn)
    assert total(arms, "errors") == sum(one.status in (0, 500, 503) for one, _ in drawn)
    assert total(arms, "rejections") == sum(one.status in (400, 422) for one, _ in drawn)
    timed = [one for one, _ in drawn if not one.cold and one.draw.items == 1]
    latencies = [one for one in calls if one in timed]
    assert sum(sum(arm.latencies) for arm in arms) == len(latencies)
    assert total(arms, "slow") == sum(one.seconds > 1 for one in timed)


@given(st.lists(CALLS, max_size=3))
def test_a_bad_key_is_listed_once_in_a_rollout(windows: list[list[Observed]]) -> None:
    reported, listed = Reported(), Counter[tuple[str, int]]()
    for calls in windows:
        for arm in ended(calls, reported).arms:
            listed.update((kind, digest) for kind, digests in arm.bad_keys.items() for digest in digests)
    bad = {
        (kind, item)
        for calls in windows
        for one in calls
        for item in one.items
        if item is not None
        for kind in (bad_outcome(one.status), "slow" if one.seconds > 1 and not one.cold and one.draw.items == 1 else None)
        if kind is not None
    }
    assert listed == Counter(bad)


def test_the_smallest_digests_of_all_arms_are_listed() -> None:
    random = Random(1)  # noqa: S311 not for secrets
    digests = random.sample(range(3_000), 3_000)
    calls = [call(random.choice(["m-1", "m-2"]), digest, status=random.choice([400, 500])) for digest in digests]
    found = [digest for arm in ended(calls).arms for digests in arm.bad_keys.values() for digest in digests]
    assert sorted(found) == list(range(MOST_KEYS))


@pytest.mark.parametrize("count", [1, 3, 20_000])
def test_bad_keys_are_bounded_within_a_window(count: int) -> None:
    calls = [call("m-2", digest, status=500) for digest in reversed(range(count))]
    stable, canary = ended(calls).arms
    assert (stable.errors, canary.errors) == (0, count)
    assert canary.bad_keys["errors"] == list(range(min(count, MOST_KEYS)))


def test_the_failed_events_of_a_batch_count_by_their_status() -> None:
    statuses = [None, 500, 400, 401, 503]
    events = [
        {"specversion": "1.0", "type": "dev.tidegate.inference.failed", "data": {"status": status}} if status else {"data": {"late": 0.5}}
        for status in statuses
    ]
    arms = ended([call("m-2", 1, 2, 3, 4, 5, body=orjson.dumps(events)), call("m-1", 6, body=orjson.dumps(events[1:2]))]).arms
    assert [(arm.requests, arm.errors, arm.rejections) for arm in arms] == [(1, 1, 0), (5, 2, 1)]
    assert [arm.bad_keys for arm in arms] == [{"errors": [6]}, {"errors": [2, 5], "rejections": [3]}]
    assert (arms[1].scores, arms[1].score_keys) == ([0.5], [1])
    assert set(arms[1].bad_keys) <= set(BAD_OUTCOMES)


@pytest.mark.parametrize(
    ("header", "body", "prediction"),
    [
        (b"r1", b'{"late": 0.5}', "r1"),
        (b"r%201", b'{"late": 0.5}', "r 1"),
        (b"r%2", b'{"late": 0.5}', None),
        (b"", b'{"late": 0.5}', None),
        (None, b'{"late": 0.5}', None),
        (None, b'{"id": "q", "outputs": [{"shape": [1], "data": [0.5]}]}', "q"),
    ],
)
def test_a_score_has_the_digest_of_its_prediction(header: bytes | None, body: bytes, prediction: str | None) -> None:
    headers = [(b"content-type", b"application/json"), *([] if header is None else [(b"ce-id", header)])]
    (arm, _) = ended([call("m-1", 7, body=body)._replace(headers=headers)]).arms
    assert (arm.scores, arm.score_keys) == ([0.5], [7])
    assert arm.score_ids == [0 if prediction is None else prediction_digest(prediction)]


def test_failed_events_are_read_of_all_parts_of_a_batch_or_of_none() -> None:
    """By size alone, the small parts of the canary would be read where the large ones of the stable revision are not."""
    failure = orjson.dumps({"type": "dev.tidegate.inference.failed", "data": {"status": 500}}).decode()
    small = f"[{failure}]".encode()
    large = f'[{failure}, "{"x" * (3 * 2**20)}"]'.encode()
    calls = []
    for number in range(9):
        draw = Draw(2, Random(number).random())  # noqa: S311 not for secrets
        parts = [("m-1", 2 * number, large), ("m-2", 2 * number + 1, small)]
        calls += [Observed(arm, (item,), 200, 0.01, cold=False, draw=draw, body=body) for arm, item, body in parts]
    stable, canary = (arm.bad_keys["errors"] for arm in ended(calls).arms[:2])
    assert 0 < len(stable) < 9
    assert [key + 1 for key in stable] == list(canary)


def test_an_arm_without_requests_is_listed_and_one_by_name_only_if_it_was_called() -> None:
    assert [(arm.revision, arm.percent) for arm in ended([]).arms] == [("m-1", 90), ("m-2", 10)]
    arms = ended([call("m-0", None)]).arms
    assert [(arm.revision, arm.percent, arm.requests, arm.forced) for arm in arms[2:]] == [("m-0", 0, 0, 1)]


def pairs(*scores: tuple[int, float, float]) -> list[Pair]:
    return [Pair((digest,), orjson.dumps({"late": caller}), orjson.dumps({"late": shadow})) for digest, caller, shadow in scores]


def test_a_shadow_is_compared_by_key() -> None:
    reported = Reported()
    window = Window(MODEL, reported)
    for pair in pairs((7, 0.4, 0.6), (3, 0.4, 0.3), (7, 0.1, 0.1)):
        window.add_pair(pair)
    window.drop(2)
    window.fail(1)
    shadow = window.end().shadow
    assert shadow is not None
    assert (shadow.revision, shadow.pairs, shadow.disagreements, shadow.dropped, shadow.failed) == ("m-3", 3, 1, 2, 1)
    assert shadow.differences == pytest.approx([0.2, -0.1, 0.0])
    assert shadow.keys == [(3, False), (7, True)]
    again = Window(MODEL, reported)
    again.add_pair(pairs((7, 0.4, 0.4))[0])
    shadow = again.end().shadow
    assert shadow is not None
    assert (shadow.pairs, shadow.keys) == (1, [])


def test_what_is_reported_of_a_shadow_is_bounded() -> None:
    window = Window(MODEL, Reported())
    for pair in pairs(*((digest, 0.0, 1.0) for digest in range(1_000, 0, -1))):
        window.add_pair(pair)
    shadow = window.end().shadow
    assert shadow is not None
    assert (shadow.pairs, shadow.disagreements, len(shadow.differences)) == (1_000, 1_000, MOST_PAIRS)
    assert [digest for digest, _ in shadow.keys] == list(range(1, MOST_PAIRS + 1))
