from __future__ import annotations

import random

import pytest

from functions.rollout.evidence.drift import REFERENCE_SCORES, Drift

NOTHING: dict[int, float] = {}


def with_reference() -> Drift:
    scores = {2**31 + key: key / REFERENCE_SCORES for key in range(REFERENCE_SCORES)}
    return Drift().observe(NOTHING, scores, scores, weight=0.2)


def test_the_bins_are_fixed_by_the_first_scores_of_the_stable_arm() -> None:
    half = {key: float(key) for key in range(REFERENCE_SCORES // 2)}
    drift = Drift().observe({10**6: 1e9}, half, half, weight=0.2)
    assert drift.edges == ()
    assert len(drift.reference) == len(half)

    drift = with_reference()
    assert drift.edges == pytest.approx([index / 10 for index in range(1, 10)], abs=0.01)
    assert drift.e_value == 1.0

    later = dict.fromkeys(range(500), -5.0)
    assert drift.observe(NOTHING, later, later, weight=0.2).edges == drift.edges


def test_the_expectation_under_equal_arms_is_one() -> None:
    drift, draw = with_reference(), random.Random(5)  # noqa: S311 not for secrets
    for key in range(300):
        weight, score = draw.choice([0.05, 0.2, 0.5]), draw.random()
        canary = drift.observe({key: score}, NOTHING, NOTHING, weight=weight)
        stable = drift.observe(NOTHING, {key: score}, {key: score}, weight=weight)
        assert weight * canary.e_value + (1 - weight) * stable.e_value == pytest.approx(drift.e_value)
        drift = canary if draw.random() < weight else stable


def test_the_share_is_that_of_the_reference_formula_at_a_constant_weight() -> None:
    weight, prior = 0.2, 20.0
    drift = with_reference()
    log, counts = 1.0, [0, 0]
    for key in range(40):
        ours = key % 3 == 0
        share = (counts[1] + prior * weight) / (sum(counts) + prior)
        log *= share / weight if ours else (1 - share) / (1 - weight)
        counts[ours] += 1
        drift = drift.observe({key: 0.05} if ours else {}, {} if ours else {key: 0.05}, {}, weight=weight)

    assert drift.e_value == pytest.approx(log)


def test_scores_of_other_values_are_found() -> None:
    drift, draw = with_reference(), random.Random(3)  # noqa: S311 not for secrets
    for key in range(3_000):
        ours = draw.random() < 0.2
        score = draw.random() ** (2.0 if ours else 1.0)
        drift = drift.observe({key: score} if ours else {}, {} if ours else {key: score}, {}, weight=0.2)

    assert drift.e_value > 1_000


def test_each_key_counts_once_and_a_window_with_one_arm_does_not() -> None:
    drift = with_reference().observe({1: 0.5}, {2: 0.5}, {2: 0.5}, weight=0.2)

    assert drift.observe({1: 0.9}, {2: 0.9}, {2: 0.9}, weight=0.2) == drift
    assert drift.observe({3: 0.9}, {4: 0.9}, {4: 0.9}, weight=1.0) == drift
