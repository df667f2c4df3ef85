from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.outcome import MOST_KEYS, ArmOutcome, Outcome, ShadowOutcome
from functions.rollout.codec import decode, encode
from functions.rollout.observation import LONGEST_GAP_SECONDS, observe
from functions.rollout.routers import Ignored
from functions.rollout.state import Phase, State
from tests.functions.rollout.examples import CANARY, STABLE, STARTED, a_policy, a_state, an_outcome

POLICY = a_policy()
NOW = STARTED + 100.0
DIGESTS = st.lists(st.integers(0, 2**32 - 1), max_size=6)
OUTCOMES = st.lists(
    st.builds(
        lambda sequence, router, percent, canary, stable, keys: an_outcome(
            sequence, router=router, percent=percent, canary=canary, stable=stable, keys=keys
        ),
        st.integers(1, 40),
        st.sampled_from(["router-1", "router-2", "router-3"]),
        st.sampled_from([0, 5, 20, 100]),
        DIGESTS,
        DIGESTS,
        DIGESTS,
    ),
    max_size=8,
)


def without_ignored(state: State) -> State:
    return replace(state, ignored={})


@settings(max_examples=40)
@given(OUTCOMES, st.data())
def test_outcomes_that_are_delivered_again_change_nothing(outcomes: list[Outcome], data: st.DataObject) -> None:
    once = observe(a_state(), outcomes, POLICY, NOW)
    again = observe(decode(encode(once)), data.draw(st.permutations(outcomes)), POLICY, NOW)

    assert without_ignored(again) == without_ignored(once)
    assert again.ignored[Ignored.DUPLICATE] == once.ignored[Ignored.DUPLICATE] + len(outcomes)


@settings(max_examples=40)
@given(OUTCOMES.flatmap(lambda outcomes: st.tuples(st.just(outcomes), st.permutations(outcomes))))
def test_any_order_gives_a_valid_state_with_the_same_counts(orders: tuple[list[Outcome], list[Outcome]]) -> None:
    distinct = [list({(outcome.router, outcome.sequence): outcome for outcome in order}.values()) for order in orders]
    one = observe(a_state(), distinct[0], POLICY, NOW)
    if {id(outcome) for outcome in distinct[0]} != {id(outcome) for outcome in distinct[1]}:
        return  # of two outcomes with one number, each order has another
    other = observe(a_state(), distinct[1], POLICY, NOW)

    assert decode(encode(other)) == other
    assert (other.canary_counts, other.stable_counts) == (one.canary_counts, one.stable_counts)
    assert (other.canary_keys, other.failed_keys) == (one.canary_keys, one.failed_keys)
    assert other.comparisons["errors"].sample == one.comparisons["errors"].sample


def random_digests(count: int) -> list[int]:
    draw = random.Random(6)  # noqa: S311 not for secrets
    return [draw.getrandbits(32) for _ in range(count)]


def test_each_key_counts_once_across_windows_and_routers() -> None:
    outcomes = [
        an_outcome(1, canary=[1], stable=[2]),
        an_outcome(2, canary=[1, 3], stable=[2]),
        an_outcome(1, router="router-2", canary=[3], stable=[2, 4]),
    ]
    errors = observe(a_state(), outcomes, POLICY, NOW).comparisons["errors"]

    assert (errors.canary, errors.rest) == (2, 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": "another"}, Ignored.FOREIGN),
        ({"rollout": "another"}, Ignored.FOREIGN),
        ({"started": STARTED - 1.0}, Ignored.EARLY),
        ({"started": NOW + 4_000.0}, Ignored.FUTURE),
    ],
)
def test_an_outcome_that_is_not_about_this_rollout_is_ignored_and_counted(fields: dict[str, Any], reason: Ignored) -> None:
    before = observe(a_state(), [], POLICY, NOW)
    after = observe(before, [an_outcome(canary=[1], **fields)], POLICY, NOW)

    assert after == replace(before, ignored={**before.ignored, reason: 1})


def test_outcomes_count_although_the_rollout_was_started_by_a_clock_that_is_ahead() -> None:
    now = STARTED - 600.0
    state = observe(a_state(), [], a_policy(), now)
    seen = observe(state, [an_outcome(canary=[1], started=now + 1.0)], a_policy(), now + 2.0)
    assert seen.comparisons["errors"].canary == 1


def test_a_rollout_that_is_over_does_not_change() -> None:
    over = a_state(phase=Phase.PROMOTED)

    assert observe(over, [an_outcome(canary=[1])], POLICY, NOW) == over


def test_the_weight_is_the_one_in_force_in_the_window() -> None:
    at_5, at_20 = (observe(a_state(), [an_outcome(percent=percent, canary=[1])], POLICY, NOW) for percent in (5, 20))

    assert at_5.comparisons["errors"].e_value > at_20.comparisons["errors"].e_value > 1


@pytest.mark.parametrize("percent", [0, 100])
def test_a_window_without_a_split_is_no_evidence(percent: int) -> None:
    state = observe(a_state(), [an_outcome(percent=percent, canary=[1], stable=[2])], POLICY, NOW)

    assert state.comparisons["errors"].canary == state.comparisons["errors"].rest == 0


def test_three_arms_are_the_canary_and_the_rest() -> None:
    arms = [
        ArmOutcome(revision=STABLE, percent=60, bad_keys={"errors": [1]}),
        ArmOutcome(revision=CANARY, percent=20, bad_keys={"errors": [2]}),
        ArmOutcome(revision="flights-00003", percent=20, bad_keys={"errors": [3]}),
    ]
    three = observe(a_state(), [an_outcome(arms=arms)], POLICY, NOW)
    two = observe(a_state(), [an_outcome(canary=[2], stable=[1, 3])], POLICY, NOW)

    assert three.comparisons == two.comparisons


def test_only_keys_at_the_percentage_of_the_step_count_for_the_step() -> None:
    keys = random_digests(600)
    state = observe(a_state(20), [an_outcome(1, percent=5, keys=keys[:500]), an_outcome(2, percent=20, keys=keys[500:600])], POLICY, NOW)

    assert 60 <= state.exposed_keys_of_step <= 100
    assert 400 <= state.exposed_keys <= 600


def test_errors_whose_keys_were_not_listed_count_against_promotion() -> None:
    listed = random_digests(MOST_KEYS)
    full = observe(a_state(), [an_outcome(canary=listed, arm={"errors": 5_000})], POLICY, NOW)
    one = observe(a_state(), [an_outcome(canary=[1], arm={"errors": 50})], POLICY, NOW)

    assert full.failed >= 5_000
    assert one.failed == 2  # one key, and the error of the sketch


def test_scores_without_a_key_are_not_compared() -> None:
    draw, state = random.Random(2), a_state()  # noqa: S311 not for secrets
    for sequence in range(1, 40):
        scores = [draw.random() for _ in range(20)]
        digests = [draw.getrandbits(32) for _ in scores]
        arms = [
            ArmOutcome(revision=STABLE, percent=80, scores=scores, score_keys=digests),
            ArmOutcome(revision=CANARY, percent=20, scores=[5.0, 5.0]),
        ]
        state = observe(state, [an_outcome(sequence, arms=arms)], POLICY, NOW)

    assert len(state.drift.edges) == 9
    assert sum(state.drift.canary) == 0
    assert sum(state.drift.rest) > 400


def test_a_shadow_is_compared_by_keys_while_it_is_the_canary() -> None:
    shadow = ShadowOutcome(revision=CANARY, pairs=9, disagreements=5, keys=[(1, True), (2, False), (3, False)])
    arms = [ArmOutcome(revision=STABLE, percent=100)]
    state = observe(a_state(0), [an_outcome(1, arms=arms, shadow=shadow), an_outcome(2, arms=arms, shadow=shadow)], POLICY, NOW)

    assert (state.disagreement.pairs, state.disagreement.different) == (3, 1)
    assert state.exposed_keys_of_step == 3
    other = observe(a_state(0), [an_outcome(1, arms=arms, shadow=replace(shadow, revision="another"))], POLICY, NOW)
    assert other.disagreement.pairs == 0


@pytest.mark.parametrize(("now", "counted"), [(STARTED + 30, 30.0), (STARTED - 1e6, 0.0), (STARTED + 1e9, LONGEST_GAP_SECONDS)])
def test_a_clock_that_jumps_counts_for_little(now: float, counted: float) -> None:
    state = observe(a_state(), [], POLICY, now)

    assert (state.elapsed, state.step_elapsed) == (counted, counted)
    assert observe(state, [], POLICY, now + 10.0).elapsed == counted + 10.0
