from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.evidence.comparison import RATIOS, Comparison

KEYS = st.sets(st.integers(0, 2**32 - 1), max_size=12)
WEIGHTS = st.floats(0.01, 0.99)


@given(st.lists(st.tuples(KEYS, WEIGHTS), max_size=5), st.sampled_from([1.0, 1.5, 4.0]), st.randoms(use_true_random=False))
def test_the_process_is_the_mixture_of_likelihood_ratios(windows: list[tuple[set[int], float]], tolerated: float, random: object) -> None:
    process, logs, seen = Comparison(), [0.0] * len(RATIOS), set[int]()
    for keys, weight in windows:
        canary = {key for key in keys if random.random() < 0.5}  # type: ignore[attr-defined]
        process = process.observe(canary, keys - canary, weight=weight, tolerated=tolerated)
        null = weight * tolerated / (weight * tolerated + 1 - weight)
        for key in keys - seen:
            for index, ratio in enumerate(RATIOS):
                share = weight * tolerated * ratio / (weight * tolerated * ratio + 1 - weight)
                logs[index] += math.log(share / null if key in canary else (1 - share) / (1 - null))
        seen |= keys

    assert process.logs == pytest.approx(logs)
    assert process.e_value == pytest.approx(sum(map(math.exp, logs)) / len(logs))
    assert process.canary + process.rest == len(seen)


@given(KEYS, KEYS, WEIGHTS)
def test_the_expectation_under_equal_arms_is_one(keys: set[int], before: set[int], weight: float) -> None:
    """Over the arm of the next key, whatever came before."""
    process = Comparison().observe(before, (), weight=weight, tolerated=1.0)
    fresh = min(set(range(2**10)) - before)
    canary = process.observe([fresh], (), weight=weight, tolerated=1.0)
    stable = process.observe((), [fresh], weight=weight, tolerated=1.0)

    assert weight * canary.e_value + (1 - weight) * stable.e_value == pytest.approx(process.e_value)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_window_with_one_arm_says_nothing(weight: float) -> None:
    assert Comparison().observe([1, 2], [3], weight=weight, tolerated=1.0) == Comparison()


def test_a_digest_in_both_arms_is_attributed_to_neither_and_not_counted_later() -> None:
    process = Comparison().observe([1, 2], [2, 3], weight=0.5, tolerated=1.0)

    assert (process.canary, process.rest) == (1, 1)
    assert process.observe([2], (), weight=0.5, tolerated=1.0) == process


def test_evidence_has_a_highest_value() -> None:
    process = Comparison(logs=(5_000.0,) * len(RATIOS))

    assert math.isfinite(process.e_value)
