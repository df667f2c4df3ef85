from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from functions.runtime.contract.signature import Signature
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.exposition import render
from functions.runtime.observability.metrics import Metrics, ModelMetrics, Reading

BINARY = Signature(2, objective="binary:logistic", meaning="probability", classes=1)
Make = Callable[..., Exchange]
Served = Callable[..., ModelMetrics]
Labels = frozenset[tuple[str, str]]


def samples(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    text = render(metrics)[0].decode()
    return {(item.name, frozenset(item.labels.items())): item.value for family in parse_text(text) for item in family.samples}


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def test_requests_and_errors_by_their_labels(exchange: Make) -> None:
    metrics = Metrics()
    metrics.exchanged(exchange(rows=2))
    metrics.exchanged(exchange(status=400, reason="invalid input", rows=0))
    metrics.exchanged(exchange(status=400, reason="invalid event", rows=0))

    found = samples(metrics)

    shared = {"model": "flights", "version": "2", "protocol": "v2"}
    assert found["tidegate_requests_total", labels(**shared, code="200")] == 1
    assert found["tidegate_requests_total", labels(**shared, code="400")] == 2
    assert found["tidegate_request_errors_total", labels(**shared, reason="invalid event")] == 1
    assert found["tidegate_request_rows_total", labels(**shared)] == 2
    assert found["tidegate_request_duration_seconds_count", labels(**shared)] == 3
    assert found["tidegate_request_duration_seconds_bucket", labels(**shared, le="0.002")] == 0
    assert found["tidegate_request_duration_seconds_bucket", labels(**shared, le="0.003")] == 3
    assert found["request_predict_seconds_count", labels(model_name="flights")] == 3
    assert found["tidegate_request_duration_seconds_bucket", labels(**shared, le="+Inf")] == 3


def test_success_is_not_an_error(exchange: Make) -> None:
    metrics = Metrics()
    metrics.exchanged(exchange())

    assert not [name for name, _ in samples(metrics) if name == "tidegate_request_errors_total"]


def test_calls_of_several_threads_are_one_series() -> None:
    metrics = Metrics()

    def call() -> None:
        metrics.predicted("flights", "2", "value", 8, 3, 0.001, 0.002)

    for _ in range(3):
        with ThreadPoolExecutor(1) as executor:
            executor.submit(call).result()

    shared = labels(model="flights", version="2", kind="value")
    found = samples(metrics)
    assert found["tidegate_batch_rows_sum", shared] == 24
    assert found["tidegate_batch_requests_sum", shared] == 9
    assert found["tidegate_queue_seconds_count", shared] == found["tidegate_predict_seconds_count", shared] == 3


def test_the_model_and_its_drift(served: Served) -> None:
    metrics = Metrics()
    model = served(metrics, BINARY)
    metrics.observed(model, array("f", [1, math.nan, 3, 4]), 2, array("f", [0.04, 0.96]))

    found = samples(metrics)

    shared = {"model": "flights", "version": "2"}
    assert found["tidegate_feature_missing_total", labels(**shared, feature="b")] == 1
    assert found["tidegate_feature_missing_total", labels(**shared, feature="a")] == 0
    assert found["tidegate_feature_rows_total", labels(**shared, feature="b")] == 2
    assert found["tidegate_score_bucket", labels(**shared, output="score", le="0.05")] == 1
    assert found["tidegate_score_bucket", labels(**shared, output="score", le="1.0")] == 2
    info = labels(**shared, runtime="xgboost", objective="binary:logistic", sha256="ab" * 32)
    assert found["tidegate_model_info", info] == 1


def test_phases_and_readings() -> None:
    metrics = Metrics()
    metrics.started("load", 0.125)
    metrics.watch(Reading("tidegate_requests_in_flight", "Requests that are being answered.", lambda: 5))
    metrics.watch(Reading("tidegate_lost_total", "Lost.", lambda: 7))

    found = samples(metrics)

    assert found["tidegate_cold_start_seconds", labels(phase="load")] == 0.125
    assert found["tidegate_requests_in_flight", labels()] == 5
    assert found["tidegate_lost_total", labels()] == 7


def test_reloaded_model_is_exported_once(served: Served) -> None:
    metrics = Metrics()
    served(metrics, BINARY)
    served(metrics, BINARY)

    assert render(metrics)[0].count(b"\ntidegate_model_info{") == 1


def test_process_metrics_are_exported() -> None:
    names = {name for name, _ in samples(Metrics())}

    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"} <= names
    assert "python_gc_collections_total" in names


def test_openmetrics_is_rendered_if_accepted(exchange: Make, served: Served) -> None:
    metrics = Metrics()
    served(metrics, BINARY)
    metrics.exchanged(exchange())
    metrics.predicted("flights", "2", "value", 8, 3, 0.001, 0.002)

    body, content_type = render(metrics, "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5")

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert families["tidegate_requests"] == "counter"
    assert families["tidegate_batch_rows"] == "histogram"
    assert families["tidegate_model"] == "info"
    assert render(metrics)[1].startswith("text/plain; version=0.0.4")
