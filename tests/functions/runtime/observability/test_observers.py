from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.runtime.observability import tracing
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.metrics import Metrics
from functions.runtime.observability.observers import Observers
from functions.runtime.observability.settings import ObservabilitySettings

Receiver = Any
Make = Callable[..., Exchange]


def test_default_settings_have_metrics_and_no_threads(exchange: Make) -> None:
    metrics = Metrics()

    with Observers(ObservabilitySettings(), metrics) as observers:
        observers.exchanged(exchange())
        assert not observers.wants("r-1")
        assert observers.backgrounds == []

    assert len(metrics.requests) == 1
    assert metrics.readings == []


def test_all_observers_are_flushed_at_the_end(receiver: Receiver, exchange: Make, capfd: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    settings = ObservabilitySettings(request_log=True, traces_endpoint=receiver.url, payload_sink=receiver.url, flush_seconds=30)

    with Observers(settings, metrics) as observers:
        assert observers.wants("r-1")
        observers.exchanged(exchange(request=b"{}", response=b"{}", request_id="r-1"))

    assert json.loads(capfd.readouterr().out)["http.request.id"] == "r-1"
    posted = {receiver.next()[1]["content-type"] for _ in range(2)}
    assert posted == {"application/x-protobuf", "application/cloudevents-batch+json"}
    assert {reading.name: reading.read() for reading in metrics.readings} == {
        "tidegate_request_log_dropped_total": 0,
        "tidegate_traces_dropped_total": 0,
        "tidegate_payloads_dropped_total": 0,
    }


def test_end_is_bounded_when_a_sink_hangs(receiver: Receiver, exchange: Make, caplog: pytest.LogCaptureFixture) -> None:
    receiver.gate.clear()

    with Observers(ObservabilitySettings(payload_sink=receiver.url, flush_seconds=0.2), Metrics()) as observers:
        observers.exchanged(exchange(request=b"{}", response=b"{}"))
        receiver.next()

    assert "payloads: some queued items were not delivered" in caplog.text
    receiver.gate.set()
    observers.backgrounds[0].join(20)


def test_sample_of_zero_disables_the_sink() -> None:
    with Observers(ObservabilitySettings(payload_sink="http://sink", payload_sample=0.0), Metrics()) as observers:
        assert observers.backgrounds == []


def test_missing_extra_is_one_warning_and_no_traces(
    exchange: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "installed", lambda: False)

    with Observers(ObservabilitySettings(traces_endpoint="http://collector:4318/v1/traces"), Metrics()) as observers:
        observers.exchanged(exchange())
        observers.exchanged(exchange())

    assert [record.getMessage() for record in caplog.records] == [
        "no traces: OpenTelemetry is not installed; install tidegate[tracing], or unset OTEL_EXPORTER_OTLP_ENDPOINT."
    ]


def test_unsupported_protocol_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    settings = ObservabilitySettings(traces_endpoint="http://collector:4317", traces_protocol="grpc")

    with Observers(settings, Metrics()) as observers:
        assert observers.backgrounds == []

    assert "unsupported OTLP protocol grpc" in caplog.text


def test_kserve_events_have_the_name_of_the_knative_service(receiver: Receiver, exchange: Make) -> None:
    settings = ObservabilitySettings(
        payload_sink=receiver.url, payload_events="kserve", namespace="models", resource={"kn.service.name": "flights"}, flush_seconds=30
    )

    with Observers(settings, Metrics()) as observers:
        observers.exchanged(exchange(model="other", request=b"{}"))

    headers = receiver.next()[1]
    assert (headers["ce-inferenceservicename"], headers["ce-namespace"]) == ("flights", "models")
