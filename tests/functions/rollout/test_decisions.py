from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.announcements import of_decisions
from functions.rollout.decisions import apply, decide, shares_of
from functions.rollout.evidence.comparison import RATIOS, Comparison
from functions.rollout.evidence.correctness import Correctness
from functions.rollout.evidence.drift import BINS, Drift
from functions.rollout.evidence.loss import THETAS, ArmLoss, Loss
from functions.rollout.evidence.loss import Kind as LossKind
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.observation import observe
from functions.rollout.state import MOST_DECISIONS, Decision, Kind, Phase, State, approve
from tests.functions.rollout.examples import CANARY, STARTED, a_policy, a_state, an_outcome, sketch

NOW = STARTED + 700.0


def evidence(log: float, canary: int = 9, rest: int = 5) -> Comparison:
    return Comparison((log,) * len(RATIOS), canary, rest)


def a_complete_step(percent: int = 20, **fields: Any) -> State:
    draw = random.Random(4)  # noqa: S311 not for secrets
    keys = sketch([draw.getrandbits(32) for _ in range(2_000)])
    return a_state(percent, **{"elapsed": 700.0, "step_elapsed": 700.0, "step_keys": keys, "canary_keys": keys} | fields)


def bad(**logs: float) -> dict[str, Comparison]:
    return {name: evidence(logs.get(name, 0.0)) for name in ("errors", "rejections", "slow")}


def decided(state: State, text: str = "") -> Decision:
    return decide(state, a_policy(text), NOW)


def test_a_complete_step_is_followed_by_the_next() -> None:
    state = a_complete_step()
    decision = decided(state)

    assert (decision.kind, decision.percent) == (Kind.ADVANCE, 50)
    assert decision.sentence.startswith(f"{CANARY} gets 50%: nothing speaks against it after at least 1")
    after = apply(state, decision)
    assert (after.percent, after.step_elapsed, after.exposed_keys_of_step, after.phase) == (50, 0.0, 0, Phase.RUNNING)
    assert after.decisions == (decision,)
    assert decided(after).kind is Kind.NONE


@pytest.mark.parametrize("fields", [{"step_elapsed": 599.0}, {"step_keys": sketch(range(50))}, {"step_keys": sketch([])}])
def test_an_incomplete_step_goes_on(fields: dict[str, Any]) -> None:
    decision = decided(a_complete_step(**fields))

    assert (decision.kind, decision.percent) == (Kind.NONE, 20)


def test_a_canary_without_traffic_neither_fails_nor_succeeds() -> None:
    state = a_state()
    for second in range(1, 700):
        state = observe(state, [], a_policy(), STARTED + second)
    assert decided(state).kind is Kind.NONE

    decision = decided(replace(state, elapsed=86_400.0))
    assert (decision.kind, decision.percent) == (Kind.INCONCLUSIVE, 20)
    assert "It had no traffic." in decision.sentence


def test_the_last_step_is_followed_by_promotion_if_few_keys_failed() -> None:
    state = a_complete_step(50)
    decision = decided(state)

    assert (decision.kind, decision.percent, decision.metric) == (Kind.PROMOTE, 100, "errors")
    assert decision.e_value >= decision.threshold == 20.0
    assert "fewer than 5.00% of keys get an error from it (0 of at least 1" in decision.sentence
    assert apply(state, decision).phase is Phase.PROMOTED

    failing = replace(state, failed_keys=sketch([2**25 * key for key in range(90)]))
    held = decided(failing)
    assert (held.kind, held.metric) == (Kind.HOLD, "maximumErrors")
    assert "do not show yet that fewer than 5.00% get one" in held.sentence
    assert decided(failing, "maximumErrors: null").kind is Kind.PROMOTE
    assert decided(failing, "steps: [5, 20, 50]").metric == "steps"


@pytest.mark.parametrize(
    ("logs", "text", "kind"),
    [
        ({"errors": 5.0}, "", Kind.ROLL_BACK),  # 70% of e**5.0 and 30% of 1 are 104
        ({"rejections": 6.0}, "", Kind.HOLD),
        ({"rejections": 6.5}, "", Kind.ROLL_BACK),  # 15% of e**6.5 are 100
        ({"rejections": 6.0}, "metrics: {correctness: false}", Kind.ROLL_BACK),  # 30% of e**6.0 are 121
        ({"errors": 4.7}, "", Kind.HOLD),
        ({"errors": 4.7}, "metrics: {rejections: false, correctness: false}", Kind.ROLL_BACK),
        ({"errors": 5.4, "rejections": 5.4}, "metrics: {errors: false}", Kind.ROLL_BACK),
        ({"errors": 5.4}, "alpha: 0.001", Kind.HOLD),
        ({"errors": 9.0}, "metrics: {errors: false}", Kind.ADVANCE),
        ({"slow": 9.0}, "", Kind.ADVANCE),  # there is no SLO
        ({"errors": 2.0}, "", Kind.ADVANCE),
    ],
)
def test_the_average_of_all_metrics_by_their_shares_decides_on_a_roll_back(logs: dict[str, float], text: str, kind: Kind) -> None:
    assert decided(a_complete_step(comparisons=bad(**logs)), text).kind is kind


def test_slow_responses_count_where_there_is_an_slo() -> None:
    decision = decide(a_complete_step(comparisons=bad(slow=7.0)), a_policy(**{"tidegate.dev/latency-slo": "1s"}), NOW)

    assert (decision.kind, decision.metric) == (Kind.ROLL_BACK, "slow")
    assert decision.counts == {"canary": 9, "others": 5}
    assert decision.sentence == (
        f"{CANARY} is rolled back: of 14 keys with a slow response, 9 had it from this revision, which has had up to 20% of the keys. "
        "The evidence is 111; 100 is enough."
    )


@pytest.mark.parametrize(
    "text", ["", "paused: true", "pauseAt: [20]", "hours: {timezone: UTC, from: 23:00, to: '23:01'}", "minimumKeys: 100000", "deadline: 2h"]
)
def test_a_failing_canary_is_rolled_back_whatever_the_policy_waits_for(text: str) -> None:
    state = a_complete_step(comparisons=bad(errors=9.0), elapsed=1e6, phase=Phase.INCONCLUSIVE)
    decision = decided(state, text)

    assert (decision.kind, decision.percent) == (Kind.ROLL_BACK, 0)
    after = apply(state, decision)
    assert (after.phase, after.percent) == (Phase.ROLLED_BACK, 0)
    assert decided(after).sentence == "The rollout is over: it was rolled back."


@pytest.mark.parametrize(
    ("text", "metric"),
    [("paused: true", "paused"), ("pauseAt: [20]", "approval"), ("hours: {timezone: UTC, from: 23:00, to: '23:01'}", "hours")],
)
def test_the_policy_makes_a_good_canary_wait(text: str, metric: str) -> None:
    decision = decided(a_complete_step(), text)

    assert (decision.kind, decision.percent, decision.metric) == (Kind.HOLD, 20, metric)


def test_approval_lets_a_rollout_go_on() -> None:
    state = a_complete_step()

    assert decided(approve(state, 5), "pauseAt: [20]").kind is Kind.HOLD
    assert decided(approve(state, 20), "pauseAt: [20]").kind is Kind.ADVANCE


@pytest.mark.parametrize(
    ("fields", "name", "finding"),
    [
        ({"drift": Drift(log=7.0, canary=(3,) * BINS, rest=(9,) * BINS)}, "drift", "its scores are distributed differently"),
        ({"disagreement": Disagreement(100, 20)}, "disagreement", "it answers 20 of 100 keys differently"),
    ],
)
def test_drift_and_disagreement_hold_unless_the_policy_wants_a_roll_back(fields: dict[str, Any], name: str, finding: str) -> None:
    state = a_complete_step(**fields)
    held = decided(state)
    assert (held.kind, held.metric) == (Kind.HOLD, name)
    assert finding in held.sentence

    assert decided(state, f"metrics: {{{name}: {{then: roll-back}}}}").kind is Kind.ROLL_BACK
    assert decided(state, f"metrics: {{{name}: false}}").kind is Kind.ADVANCE


@pytest.mark.parametrize(
    ("then", "percent", "phase"), [("hold", 20, Phase.INCONCLUSIVE), ("roll-back", 0, Phase.ROLLED_BACK), ("promote", 100, Phase.PROMOTED)]
)
def test_the_policy_says_what_follows_the_deadline(then: str, percent: int, phase: Phase) -> None:
    state = a_complete_step(elapsed=86_400.0)
    decision = decided(state, f"atDeadline: {then}")

    assert (decision.kind, decision.percent) == (Kind.INCONCLUSIVE, percent)
    after = apply(state, decision)
    assert after.phase is phase
    again = decided(after, f"atDeadline: {then}")
    assert again.kind is (Kind.HOLD if then == "hold" else Kind.NONE)
    assert apply(apply(after, again), again) == apply(after, again)  # reported once


@pytest.mark.parametrize(("text", "logs"), [("paused: true", {}), ("", {"errors": 4.0})])
def test_a_deadline_promotes_no_canary_that_waits_or_is_suspected(text: str, logs: dict[str, float]) -> None:
    decision = decided(a_complete_step(elapsed=86_400.0, comparisons=bad(**logs)), f"atDeadline: promote\n{text}")

    assert (decision.kind, decision.percent) == (Kind.INCONCLUSIVE, 20)


def test_a_shadow_becomes_a_canary() -> None:
    state = a_state(0, elapsed=700.0, step_elapsed=700.0, disagreement=Disagreement(500, 2))
    decision = decided(state, "steps: [0, 5, 100]")

    assert (decision.kind, decision.percent) == (Kind.ADVANCE, 5)
    assert "with copies of requests" in decision.sentence
    deadline = decided(replace(state, elapsed=1e6), "steps: [0, 5, 100]")
    assert apply(state, deadline).phase is Phase.INCONCLUSIVE


def test_what_does_not_change_is_remembered_once() -> None:
    state, policy = a_complete_step(), a_policy("paused: true")
    for second in range(20):
        state = apply(state, decide(state, policy, NOW + second))

    assert [decision.metric for decision in state.decisions] == ["paused"]


def test_reasons_that_alternate_are_remembered_once_in_a_step() -> None:
    state, suspicious = a_complete_step(50), bad(errors=4.0)
    unproven = replace(state, failed_keys=sketch([2**25 * key for key in range(90)]))
    for second in range(20):
        seen = replace(unproven, decisions=state.decisions, comparisons=suspicious if second % 2 else bad())
        state = apply(seen, decide(seen, a_policy("paused: true" if second % 3 == 2 else ""), NOW + second))
    assert [decision.metric for decision in state.decisions] == ["maximumErrors", "errors", "paused"]

    following = apply(state, Decision(kind=Kind.ADVANCE, sentence="A user gave 60%.", percent=60, metric="manual"))
    following = apply(following, decide(a_complete_step(60, comparisons=suspicious), a_policy(), NOW))
    assert [decision.metric for decision in following.decisions[3:]] == ["manual", "errors"]


def test_a_deadline_is_one_piece_of_news() -> None:
    state, policy = a_complete_step(elapsed=86_400.0), a_policy()
    for second in range(3):
        state = apply(state, decide(state, policy, NOW + second))

    assert [(decision.kind, decision.metric) for decision in state.decisions] == [(Kind.INCONCLUSIVE, "deadline")]


@given(st.lists(st.text(max_size=3), max_size=40))
def test_a_step_has_no_more_reasons_than_a_state_remembers(metrics: list[str]) -> None:
    state, news = a_complete_step(), 0
    for metric in metrics:
        before = state
        state = apply(state, Decision(kind=Kind.HOLD, sentence="because.", percent=20, metric=metric))
        news += len(of_decisions(before, state))

    assert news == min(len(set(metrics)), MOST_DECISIONS)


def test_a_bad_canary_is_found_and_a_good_one_promoted_by_outcomes_alone() -> None:
    policy = a_policy("minimumDuration: 20s\nminimumKeys: 20")

    def rollout(rate: float) -> State:
        draw, state = random.Random(11), a_state(5)  # noqa: S311 not for secrets
        for second in range(1, 400):
            keys = [(draw.getrandbits(32), draw.random()) for _ in range(100)]
            canary = [digest for digest, position in keys if position < state.percent / 100]
            stable = [digest for digest, position in keys if position >= state.percent / 100]
            outcome = an_outcome(
                second,
                percent=state.percent,
                keys=canary,
                canary=[digest for digest in canary if draw.random() < rate],
                stable=[digest for digest in stable if draw.random() < 0.01],
            )
            state = observe(state, [outcome], policy, STARTED + second)
            state = apply(state, decide(state, policy, STARTED + second))
            if not state.running:
                break
        return state

    good, poor = rollout(0.01), rollout(0.2)
    assert good.phase is Phase.PROMOTED
    assert [decision.percent for decision in good.decisions] == [20, 50, 100]
    assert poor.phase is Phase.ROLLED_BACK
    assert poor.elapsed < 30


def correctness(*, worse: float = 0.0, better: float = 0.0, canary: int = 40, kind: LossKind = "log") -> Correctness:
    logs = (worse,) * len(THETAS) + (better,) * len(THETAS)
    return Correctness(Loss(kind=kind, logs=logs, canary=ArmLoss(canary, 0.7, canary // 2), rest=ArmLoss(160, 0.45, 32)))


def test_a_canary_that_is_healthy_but_wrong_is_rolled_back_and_it_is_said_why() -> None:
    decision = decided(a_complete_step(correctness=correctness(worse=6.5)))

    assert (decision.kind, decision.metric, decision.counts) == (Kind.ROLL_BACK, "correctness", {"canary": 40, "others": 160})
    assert decision.e_value >= decision.threshold == 100.0
    assert (
        "its predictions come true less often: log loss 0.7 with 50.0% wrong in 40 labelled keys of it, "
        "0.45 with 20.0% wrong in 160 of the others" in decision.sentence
    )


@pytest.mark.parametrize(
    ("text", "fields", "kind", "metric"),
    [
        ("metrics: {correctness: {then: hold}}", {"worse": 5.0}, Kind.HOLD, "correctness"),
        ("metrics: {correctness: {then: hold}}", {"worse": 4.0}, Kind.PROMOTE, "errors"),
        ("metrics: {correctness: false}", {"worse": 9.0}, Kind.PROMOTE, "errors"),
        ("", {"worse": 4.5}, Kind.HOLD, "correctness"),  # suspected
        ("metrics: {correctness: {minimumLabels: 41}}", {}, Kind.HOLD, "labels"),
        ("metrics: {correctness: {minimumLabels: 40}}", {}, Kind.PROMOTE, "errors"),
        ("metrics: {correctness: {mustImprove: true}}", {"better": 2.9}, Kind.HOLD, "correctness"),
        ("metrics: {correctness: {mustImprove: true}}", {"better": 3.1}, Kind.PROMOTE, "errors"),
    ],
)
def test_labels_decide_on_a_promotion_as_the_policy_says(text: str, fields: dict[str, Any], kind: Kind, metric: str) -> None:
    decision = decided(a_complete_step(50, correctness=correctness(**fields)), text)

    assert (decision.kind, decision.metric) == (kind, metric)


def test_labels_are_needed_for_a_promotion_only() -> None:
    state = a_complete_step(5, correctness=correctness(canary=0))

    assert decided(state, "metrics: {correctness: {minimumLabels: 9, mustImprove: true}}").kind is Kind.ADVANCE
    held = decided(replace(state, percent=50), "metrics: {correctness: {minimumLabels: 9}}")
    assert "0 of its keys have a label, of 9 that a promotion needs" in held.sentence


@pytest.mark.parametrize(
    ("metrics", "shares"),
    [
        (["errors"], {"errors": 1.0}),
        (["errors", "rejections", "correctness"], {"errors": 0.7, "rejections": 0.15, "correctness": 0.15}),
        (["rejections", "correctness"], {"rejections": 0.5, "correctness": 0.5}),
        ([], {}),
    ],
)
def test_alpha_is_shared_by_the_metrics_that_may_roll_back(metrics: list[str], shares: dict[str, float]) -> None:
    assert shares_of(metrics) == pytest.approx(shares)
