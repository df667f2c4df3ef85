"""The metrics of two revisions: exact values, and intervals that cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegate.backtest.metrics import AUC_BINS, MetricComparison, compare, reliability
from training import evaluation

Floats = NDArray[np.float64]
Drawn = tuple[NDArray[np.bool_], Floats, Floats]

# The metrics of `draw` on 4 million rows: (first, second).
TRUTH = {"log_loss": (0.55149, 0.51233), "auc": (0.72598, 0.77743), "brier": (0.18595, 0.17034)}


def draw(seed: int, rows: int) -> Drawn:
    """Outcomes of a logistic model, and two forecasts: the second also knows another of its inputs."""
    random = np.random.default_rng(seed)
    known, hidden = random.normal(size=rows), random.normal(size=rows)
    outcomes = random.random(rows) < expit(-1 + known + 0.7 * hidden)
    return outcomes, expit(-1 + 0.9 * known), expit(-1.05 + 0.95 * known + 0.6 * hidden)


def expit(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-values))
    return found


def by_name(found: tuple[MetricComparison, ...]) -> dict[str, MetricComparison]:
    return {item.metric.name: item for item in found}


def width(item: tuple[float, float | None, float | None]) -> float:
    _, low, high = item
    assert low is not None
    assert high is not None
    return high - low


def test_values_are_those_of_the_trainer_s_evaluation() -> None:
    outcomes, first, second = draw(0, 5_000)
    found = by_name(compare(outcomes, first, second))
    for number, scores in enumerate((first, second)):
        expected = evaluation.evaluate(outcomes, scores)
        values = {name: (item.first, item.second)[number].value for name, item in found.items()}
        assert values == {
            "log_loss": expected.log_loss,
            "auc": expected.auc,
            "brier": evaluation.brier_score(outcomes, scores),
            "calibration_error": expected.calibration_error,
        }
    assert all(item.difference.value == item.second.value - item.first.value for item in found.values())


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    runs = 150
    hits = dict.fromkeys([(name, which) for name in TRUTH for which in ("first", "second", "difference")], 0)
    for seed in range(runs):
        for name, item in by_name(compare(*draw(seed, 300))).items():
            if name in TRUTH:
                first, second = TRUTH[name]
                for which, true in (("first", first), ("second", second), ("difference", second - first)):
                    _, low, high = getattr(item, which)
                    hits[name, which] += low <= true <= high
    # 95%, within three standard deviations of a share of 150, and a percent for so few rows.
    assert {key: count for key, count in hits.items() if not 0.885 <= count / runs <= 1} == {}
    assert 0.93 <= sum(hits.values()) / (runs * len(hits)) <= 0.97


def test_blocks_and_bins_give_the_intervals_of_the_ordinary_bootstrap() -> None:
    outcomes, first, second = draw(1, 4_000)
    assert len(np.unique(first)) > AUC_BINS
    random = np.random.default_rng(3)
    naive = []
    for _ in range(300):
        rows = random.integers(0, 4_000, 4_000)
        naive.append(evaluation.auc(outcomes[rows], second[rows]) - evaluation.auc(outcomes[rows], first[rows]))
    found = by_name(compare(outcomes, first, second))["auc"].difference
    low, high = np.quantile(naive, (0.025, 0.975))
    assert width(found) == pytest.approx(high - low, rel=0.2)
    assert found.low == pytest.approx(low, abs=0.003)


def test_paired_difference_varies_less_than_either_revision() -> None:
    item = by_name(compare(*draw(2, 4_000)))["log_loss"]
    assert width(item.difference) < 0.7 * width(item.first)
    assert item.better == 1


def test_equal_revisions_do_not_differ() -> None:
    outcomes, first, _ = draw(3, 1_000)
    for item in compare(outcomes, first, first):
        assert item.difference == (0.0, 0.0, 0.0)
        assert item.better is None


def test_worse_second_revision_is_named_in_every_metric() -> None:
    outcomes, _, good = draw(4, 5_000)
    bad = np.clip(good * 0.2 + 0.7 * np.random.default_rng(5).random(5_000), 0, 1)
    assert [item.better for item in compare(outcomes, good, bad)] == [0, 0, 0, 0]


def test_rows_of_one_cluster_count_once() -> None:
    outcomes, first, second = draw(6, 400)
    repeated = (np.repeat(outcomes, 10), np.repeat(first, 10), np.repeat(second, 10))
    clusters = np.repeat(np.arange(400, dtype=np.int32), 10)
    once = by_name(compare(outcomes, first, second))["log_loss"].difference
    clustered = by_name(compare(*repeated, clusters))["log_loss"].difference
    independent = by_name(compare(*repeated))["log_loss"].difference
    assert width(clustered) == pytest.approx(width(once), rel=0.15)
    assert width(independent) == pytest.approx(width(once) / np.sqrt(10), rel=0.15)


def test_one_outcome_alone_has_no_auc() -> None:
    scores = np.linspace(0.1, 0.9, 50)
    found = compare(np.ones(50, dtype=np.bool_), scores, scores**2)
    assert [item.metric.name for item in found] == ["log_loss", "brier", "calibration_error"]


def test_few_rows_have_values_without_intervals() -> None:
    found = compare(*draw(7, 12))
    assert all(item.difference.low is None and item.better is None for item in found)


def test_reliability_diagram_has_bins_with_intervals_around_the_observed_share() -> None:
    outcomes, _, second = draw(8, 20_000)
    bins = reliability(outcomes, second)
    assert sum(item.rows for item in bins) == 20_000
    for item in bins:
        assert item.observed.low is not None
        assert item.observed.high is not None
        assert item.observed.low <= item.observed.value <= item.observed.high
        assert width(item.observed) == pytest.approx(2 * 1.96 * np.sqrt(item.observed.value * (1 - item.observed.value) / 2_000), rel=0.3)
