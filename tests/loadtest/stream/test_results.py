from __future__ import annotations

from collections import Counter

import pytest

from loadtest.stream.kills import judged
from loadtest.stream.latency import Latency
from loadtest.stream.rates import Rate
from loadtest.stream.results import BARS, Results, verdicts
from loadtest.stream.worker import Memory, growth


def rate(events: float) -> Rate:
    return Rate(events=events, own_us=1.0, function_us=1.0, router_us=0.0, peak_bytes=2**20)


def outcomes(results: Results) -> dict[str, str]:
    return {item.bar.title: item.outcome for item in verdicts(results)}


def test_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    # The second round was disturbed as a whole.
    results = Results(rates={"worker": [rate(90), rate(9), rate(85)], "limit": [rate(100), rate(10), rate(100)]})
    assert results.ratio("worker", "limit") == pytest.approx(0.9)


def test_round_in_which_a_way_failed_does_not_count() -> None:
    results = Results(rates={"worker": [rate(80), None], "limit": [rate(100), rate(50)]})
    assert results.ratio("worker", "limit") == pytest.approx(0.8)
    assert Results(rates={"worker": [None], "limit": [rate(1)]}).ratio("worker", "limit") is None


@pytest.mark.parametrize(("events", "outcome"), [(79.9, "missed"), (80, "met"), (95, "met")])
def test_worker_must_reach_its_share_of_the_limit(events: float, outcome: str) -> None:
    results = Results(rates={"worker": [rate(events)], "limit": [rate(100)]})
    assert outcomes(results)["worker / limit, kafka-python"] == outcome


@pytest.mark.parametrize(("p99", "outcome"), [(100, "met"), (100.1, "missed")])
def test_latency_must_stay_below_its_limit(p99: float, outcome: str) -> None:
    assert outcomes(Results(latencies={"worker": Latency(20, p99, 0.1)}))["p99"] == outcome


def test_memory_must_be_small_and_flat() -> None:
    found = outcomes(Results(memory={"worker": Memory(1, 151 * 2**20, 4 * 2**20)}))
    assert found["peak memory of a long run"] == "missed"
    assert found["its growth between the second and the last quarter"] == "met"


def test_nothing_is_judged_that_was_not_measured() -> None:
    assert set(outcomes(Results()).values()) == {"not measured"}
    assert len({bar.title for bar in BARS}) == len(BARS)


@pytest.mark.parametrize(
    ("answers", "lost", "doubled"),
    [
        ({b"1": 1, b"2": 1, b"3": 1}, 0, 0),
        ({b"1": 3, b"3": 1}, 1, 2),
        ({}, 3, 0),
        ({b"1": 1, b"2": 1, None: 2}, 1, 2),
    ],
)
def test_results_of_a_killed_way_are_lost_or_doubled(answers: dict[bytes | None, int], lost: int, doubled: int) -> None:
    found = judged(Counter(answers), 3, 1, 0.0)
    assert (found.lost, found.doubled) == (lost, doubled)


@pytest.mark.parametrize(
    ("samples", "more"),
    [([], 0), ([5, 6], 0), ([1, 100, 100, 100], 0), ([1, 1, 100, 100, 100, 100, 130, 130], 30), (list(range(8)), 4)],
)
def test_growth_is_that_after_the_start(samples: list[int], more: int) -> None:
    assert growth(samples) == more
