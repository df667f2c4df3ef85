from __future__ import annotations

import math
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract.card import Output
from functions.runtime.contract.signature import Signature
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.histogram import Histogram
from functions.runtime.observability.metrics import DECADES, LABELS, PROBABILITIES, SAMPLED_ROWS, Metrics, ModelMetrics

NAN = math.nan
BINARY = Signature(2, objective="binary:logistic", meaning="probability", classes=1)
Make = Callable[..., Exchange]
Served = Callable[..., ModelMetrics]


@given(st.lists(st.floats(-10, 10)))
def test_histogram_counts_values_up_to_each_bound(values: list[float]) -> None:
    histogram = Histogram((-1.0, 0.0, 2.5))

    for value in values:
        histogram.add(value)

    assert histogram.counts == [
        sum(value <= -1 for value in values),
        sum(-1 < value <= 0 for value in values),
        sum(0 < value <= 2.5 for value in values),
        sum(value > 2.5 for value in values),
    ]
    assert histogram.sum == pytest.approx(sum(values))


def test_exchange_is_counted_by_its_outcome(exchange: Make) -> None:
    metrics = Metrics()

    metrics.exchanged(exchange(rows=3))
    metrics.exchanged(exchange(rows=4))
    metrics.exchanged(exchange(status=400, reason="invalid input", rows=0))

    good = metrics.requests["flights", "2", "v2", 200, ""]
    assert (sum(good.duration.counts), good.rows) == (2, 7)
    assert good.duration.sum == pytest.approx(0.006)
    assert sum(metrics.requests["flights", "2", "v2", 400, "invalid input"].duration.counts) == 1


def test_steps_are_counted_as_far_as_reached(exchange: Make) -> None:
    metrics = Metrics()

    metrics.exchanged(exchange())
    metrics.exchanged(exchange(predicted=0))
    metrics.exchanged(exchange(decoded=0, predicted=0))

    (found,) = metrics.requests.values()
    assert [sum(step.counts) for step in (found.preprocess, found.predict, found.postprocess)] == [2, 1, 1]
    assert [step.sum for step in (found.preprocess, found.predict, found.postprocess)] == pytest.approx([0.002, 0.0015, 0.0005])


def test_the_first_success_of_a_model_ends_the_cold_start(exchange: Make) -> None:
    metrics = Metrics()

    metrics.exchanged(exchange(model="", version="", status=404, reason="unknown model"))
    metrics.exchanged(exchange(status=400, reason="invalid input"))
    assert "first_answer" not in metrics.phases
    metrics.exchanged(exchange())

    first = metrics.phases["first_answer"]
    metrics.exchanged(exchange(protocol="v1"))
    assert metrics.phases["first_answer"] == first > 0


def test_calls_of_several_threads_are_all_counted() -> None:
    metrics = Metrics()
    together = threading.Barrier(4)

    def work(_: int) -> None:
        together.wait(20)
        for _ in range(5_000):
            metrics.predicted("flights", "2", "value", 8, 3, 0.001, 0.002)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(4)))

    calls = metrics.calls.values()
    assert sum(sum(item.took.counts) for item in calls) == 20_000
    assert sum(item.rows.sum for item in calls) == 160_000
    assert sum(item.requests.sum for item in calls) == 60_000
    assert sum(item.queue.sum for item in calls) == pytest.approx(20)
    assert sum(item.took.sum for item in calls) == pytest.approx(40)


def test_missing_values_are_counted_by_feature(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, BINARY)

    metrics.observed(model, array("f", [1, NAN, 2, NAN, NAN, 5]), 3, array("f", [0.1, 0.2, 0.3]))
    metrics.observed(model, array("f", [1, 2]), 1, array("f", [0.1]))

    (sample,) = model.samples.values()
    assert (sample.rows, sample.missing) == (4, [1, 2])


def test_infinite_values_are_not_missing(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, BINARY)

    metrics.observed(model, array("f", [math.inf, -math.inf, math.inf, 1]), 2, array("f", [0.1, 0.2]))

    (sample,) = model.samples.values()
    assert sample.missing == [0, 0]


def test_only_the_first_rows_of_a_large_request_are_sampled(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, BINARY)

    metrics.observed(model, array("f", [NAN, 1] * 1_000), 1_000, array("f", [0.5] * 1_000))

    (sample,) = model.samples.values()
    assert (sample.rows, sample.missing, sum(sample.scores[0].counts)) == (SAMPLED_ROWS, [SAMPLED_ROWS, 0], SAMPLED_ROWS)


def test_scores_of_several_classes_are_separate(served: Served) -> None:
    metrics = Metrics()
    signature = Signature(2, meaning="probability", classes=3, kinds={"value": (3,)})
    model = served(metrics, signature, Output("species", classes=("setosa", "versicolor", "virginica")))

    metrics.observed(model, array("f", [1, 2, 3, 4]), 2, array("f", [0.1, 0.2, 0.7, 0.3, 0.3, 0.4]))

    (sample,) = model.samples.values()
    assert model.scores == ("species.setosa", "species.versicolor", "species.virginica")
    assert [histogram.sum for histogram in sample.scores] == pytest.approx([0.4, 0.5, 1.1])


def test_many_values_per_row_share_one_histogram(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, Signature(2, kinds={"value": (40,)}))

    metrics.observed(model, array("f", [1, 2] * 100), 100, array("f", [1.0] * 4_000))

    (sample,) = model.samples.values()
    assert model.scores == ("score",)
    assert sum(sample.scores[0].counts) == SAMPLED_ROWS * 40


def test_nan_and_infinite_scores_are_left_out(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, BINARY)

    metrics.observed(model, array("f", [1, 2] * 3), 3, array("f", [NAN, math.inf, 0.25]))

    (sample,) = model.samples.values()
    assert sample.scores[0].sum == 0.25


@pytest.mark.parametrize(
    ("signature", "bounds"),
    [
        (BINARY, PROBABILITIES),
        (Signature(2, meaning="label"), LABELS),
        (Signature(2, meaning="value"), DECADES),
    ],
)
def test_buckets_match_the_meaning_of_the_score(served: Served, signature: Signature, bounds: tuple[float, ...]) -> None:
    model = served(Metrics(), signature)

    assert model.begin().scores[0].bounds == bounds


def test_metrics_import_nothing_slow() -> None:
    code = (
        "import sys, functions.runtime.observability.observers\n"
        "slow = {'numpy', 'prometheus_client', 'opentelemetry', 'http.client', 'email', 'urllib.request', 'asyncio', 'tempfile'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
