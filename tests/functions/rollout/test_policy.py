from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.errors import InvalidPolicy
from functions.rollout.policy import POLICY, Tolerance, policy_of
from functions.runtime.knative.traffic import model_of


def test_a_service_without_a_policy_gets_the_defaults() -> None:
    policy = policy_of(None)

    assert policy.steps == (5, 20, 50, 100)
    assert (policy.alpha, policy.beta, policy.at_deadline) == (0.01, 0.05, "hold")
    assert set(policy.compared) == {"errors", "rejections"}


@pytest.mark.parametrize(
    "text",
    [
        "steps: [1, 10]\nminimumDuration: 1.5h\ndeadline: 7d\nmetrics:\n  errors: {toleratedRatio: 1.2}\n  rejections: off\npauseAt: [10]",
        '{"steps": [1, 10], "minimumDuration": 5400, "deadline": "168h", "metrics": {"errors": {"toleratedRatio": 1.2},'
        '"rejections": false}, "pauseAt": [10]}',
    ],
)
def test_a_policy_is_yaml_or_json(text: str) -> None:
    policy = policy_of({POLICY: text})

    assert (policy.steps, policy.pause_at) == ((1, 10), (10,))
    assert (policy.minimum_duration, policy.deadline) == (5_400.0, 604_800.0)
    assert policy.compared == {"errors": Tolerance(tolerated_ratio=1.2)}
    assert (policy.next_step(1), policy.next_step(10)) == (10, None)


def test_slow_responses_are_compared_where_there_is_an_slo() -> None:
    policy = policy_of({"tidegate.dev/latency-slo": "250ms"})

    assert policy.latency_slo == 0.25
    assert set(policy.compared) == {"errors", "rejections", "slow"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: [20, 5]", "steps must be percentages that increase"),
        ("steps: []", "steps must be percentages that increase"),
        ("steps: [100]", "steps must begin below 100"),
        ("steps: [5, 101]", "steps.1 must be less than or equal to 100"),
        ("steps: 5", "steps must be a list"),
        ("steps: [true, 5]", "steps.0 must be a valid integer"),
        ("step: [5]", "step is not a field of it"),
        ("minimumKeys: many", "minimumKeys must be a valid integer"),
        ("minimumKeys: 0", "minimumKeys must be greater than or equal to 1"),
        ("minimumDuration: soon", "minimumDuration must be a duration such as 30s, 10m, 24h or 7d"),
        ("minimumDuration: -1", "minimumDuration must be a duration"),
        ("alpha: 0", "alpha must be greater than 0"),
        ("alpha: .nan", "alpha must be"),
        ("beta: 0.6", "beta must be less than or equal to 0.5"),
        ("maximumErrors: 1", "maximumErrors must be less than 1"),
        ("metrics: {errors: {toleratedRatio: 0.5}}", "metrics.errors.toleratedRatio must be greater than or equal to 1"),
        ("metrics: {errors: 3}", "metrics.errors must be a mapping, true or false"),
        ("metrics: {drift: {then: panic}}", "metrics.drift.then must be 'hold' or 'roll-back'"),
        ("metrics: {disagreement: {tolerated: 0}}", "metrics.disagreement.tolerated must be greater than 0"),
        ("metrics: {correctness: 3}", "metrics.correctness must be a mapping, true or false"),
        ("metrics: {correctness: {loss: squared}}", "metrics.correctness.loss must be 'log' or 'absolute'"),
        ("metrics: {correctness: {then: panic}}", "metrics.correctness.then must be 'hold' or 'roll-back'"),
        ("metrics: {correctness: {minimumLabels: -1}}", "metrics.correctness.minimumLabels must be greater than or equal to 0"),
        ("metrics: {correctness: {minimumLabels: 1001}}", "metrics.correctness.minimumLabels must be less than or equal to 1000"),
        ("metrics: {correctness: {mustImprove: 1}}", "metrics.correctness.mustImprove must be a valid boolean"),
        ("metrics: {correctness: {mustimprove: true}}", "metrics.correctness.mustimprove is not a field of it"),
        ("atDeadline: panic", "atDeadline must be 'hold', 'roll-back' or 'promote'"),
        ("deadline: 10m", "deadline must be longer than all steps together, which take at least 1800 s"),
        ("pauseAt: [7]", "pauseAt has 7, which is not one of the steps"),
        ("paused: 1", "paused must be a valid boolean"),
        ("hours: {timezone: Mars}", "hours.timezone must be a name of the time zone database"),
        ("hours: {timezone: ../../etc/passwd}", "hours.timezone must be a name of the time zone database"),
        ("hours: {days: [mon]}", "hours.timezone is missing"),
        ("hours: {timezone: UTC, days: [monday]}", "hours.days.0 must be 'mon'"),
        ("hours: {timezone: UTC, days: []}", "hours must have at least one day"),
        ("hours: {timezone: UTC, from: 25:00}", "hours.from must be a time of day such as 09:00"),
        ("hours: {timezone: UTC, from: '17:00', to: '09:00'}", "hours must have a time `from` before the time `to`"),
        ("- 1", "the text must be a mapping of fields"),
        ("1: 2", "the text must be a mapping of fields"),
        ("a: [", "the text is neither YAML nor JSON (line 1, column 5)"),
        ("[" * 5_000, "the text is neither YAML nor JSON"),
        ("#" * 9_000, "the text has more than 8192 characters"),
        ("latencySlo: 1s", "latencySlo is not a field of it; use the annotation tidegate.dev/latency-slo"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_the_name_of_its_field(text: str, sentence: str) -> None:
    with pytest.raises(InvalidPolicy) as raised:
        policy_of({POLICY: text})

    assert f"{POLICY}: {sentence}" in str(raised.value)


@pytest.mark.parametrize("text", ["", "soon", "0s", "-1s", "1y", "1h"])
def test_a_latency_slo_that_the_router_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy, match=r"tidegate\.dev/latency-slo"):
        policy_of({"tidegate.dev/latency-slo": text})


@given(st.from_regex(r"\d{1,12}(\.\d{1,8})?(ms|s|m|h)", fullmatch=True) | st.text())
def test_rollout_and_router_take_the_same_latency_slos(text: str) -> None:
    annotations = {"tidegate.dev/latency-slo": text}
    traffic = [{"revisionName": "flights-00001", "percent": 100}]
    service = {"metadata": {"name": "flights", "annotations": annotations}, "spec": {}, "status": {"url": "http://a", "traffic": traffic}}
    model = model_of(service)
    try:
        taken = policy_of(annotations).latency_slo
    except InvalidPolicy:
        assert model.warnings
    else:
        assert (model.latency_slo, model.warnings) == (taken, ())


@pytest.mark.parametrize("quoted", [True, False])
def test_hours_are_those_of_the_time_zone(quoted: bool) -> None:
    to = "'17:00'" if quoted else "17:00"  # a number to base 60 in YAML 1.1
    hours = policy_of({POLICY: f"hours: {{timezone: Europe/Berlin, from: 09:00, to: {to}}}"}).hours
    assert hours is not None
    assert (hours.start, hours.end) == (time(9), time(17))

    def utc(day: int, hour: int, month: int = 7) -> float:
        return datetime(2026, month, day, hour, 30, tzinfo=UTC).timestamp()

    assert utc(6, 7) in hours  # Monday, 09:30 in summer
    assert utc(5, 8, month=1) in hours  # Monday, 09:30 in winter
    assert utc(5, 7, month=1) not in hours
    assert utc(6, 15) not in hours
    assert utc(4, 10) not in hours  # Saturday
