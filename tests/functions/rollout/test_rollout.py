"""Rollouts as a whole: whatever is observed, and whatever the clock does, the state stays valid."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.label import Label, prediction_digest
from eventing.outcome import BAD_OUTCOMES, ArmOutcome, Outcome, ShadowOutcome
from functions.rollout.codec import MOST_BYTES, decode, encode
from functions.rollout.decisions import apply, decide
from functions.rollout.observation import observe
from functions.rollout.policy import Policy
from functions.rollout.state import Kind, Phase
from tests.functions.rollout.examples import CANARY, MODEL, ROLLOUT, STABLE, STARTED, a_policy, a_state, sketch

DIGESTS = st.lists(st.integers(0, 2**32 - 1), max_size=5)
ARMS = st.builds(
    ArmOutcome,
    revision=st.sampled_from([STABLE, CANARY, "flights-00003"]),
    percent=st.integers(0, 100),
    requests=st.integers(0, 2**53),
    errors=st.integers(0, 2**53),
    keys=DIGESTS.map(sketch),
    latencies=st.lists(st.integers(0, 2**53), max_size=18),
    scores=st.lists(st.floats(-1e299, 1e299), max_size=4),
    score_keys=DIGESTS,
    score_ids=st.lists(st.sampled_from([0, *(prediction_digest(name) for name in "abc")]), max_size=4),
    bad_keys=st.dictionaries(st.sampled_from(BAD_OUTCOMES), DIGESTS),
)
SHADOWS = st.builds(ShadowOutcome, revision=st.just(CANARY), keys=st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=9))
OUTCOMES = st.builds(
    Outcome,
    router=st.text(min_size=1, max_size=3),
    model=st.just(MODEL),
    sequence=st.integers(1, 2**53),
    rollout=st.just(ROLLOUT),
    started=st.floats(STARTED, 1e12),
    seconds=st.just(1.0),
    arms=st.lists(ARMS, min_size=1, max_size=3, unique_by=lambda arm: arm.revision),
    shadow=st.none() | SHADOWS,
)
VALUES = st.sampled_from([0.0, 1.0, 0.3, 1e299])
LABELS = st.builds(Label, model=st.sampled_from([MODEL, "other"]), value=VALUES, prediction=st.sampled_from("abcd")) | st.builds(
    Label, model=st.just(MODEL), value=VALUES, key=st.text(max_size=3)
)
LOOKS = st.lists(st.tuples(st.lists(OUTCOMES, max_size=3), st.floats(0, 1e12), st.lists(LABELS, max_size=4)), max_size=4)
POLICIES = st.sampled_from(
    [
        a_policy("minimumKeys: 1\nminimumDuration: 0\nmaximumErrors: null"),
        a_policy("steps: [0, 50]\nminimumKeys: 1\nminimumDuration: 1\ndeadline: 200\nalpha: 0.5", **{"tidegate.dev/latency-slo": "1s"}),
        a_policy("metrics: {errors: false, rejections: false, drift: {then: roll-back}, disagreement: false}\natDeadline: promote"),
        a_policy("metrics: {errors: false, rejections: false, drift: false, disagreement: false}\ndeadline: 1801\natDeadline: roll-back"),
        a_policy("metrics: {correctness: {loss: absolute, then: hold, mustImprove: true, minimumLabels: 1}}\nminimumKeys: 1\nalpha: 0.5"),
    ]
)


@settings(max_examples=60)
@given(POLICIES, LOOKS, st.sampled_from([0, 5, 99]))
def test_any_course_of_a_rollout_has_valid_states_and_decisions(
    policy: Policy, looks: Sequence[tuple[list[Outcome], float, list[Label]]], percent: int
) -> None:
    state = a_state(percent)
    for outcomes, now, labels in looks:
        before = state
        observed = observe(state, outcomes, policy, now, labels)
        decision = decide(observed, policy, now)
        state = apply(observed, decision)

        assert decode(encode(state)) == state
        assert len(encode(state)) <= MOST_BYTES
        assert before.elapsed <= observed.elapsed <= before.elapsed + 300
        assert decision.sentence.endswith(".")
        if decision.kind in (Kind.NONE, Kind.HOLD):
            assert (state.percent, state.phase) == (observed.percent, observed.phase)
        else:
            assert (state.percent, state.phase) == (decision.percent, decision.phase)
        if state.phase is Phase.ROLLED_BACK:
            assert state.percent == 0
        assert (state.phase is Phase.PROMOTED) == (state.percent == 100)
