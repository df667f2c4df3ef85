from __future__ import annotations

import pytest

from common.errors import InvalidSetting
from functions.runtime.observability.settings import ObservabilitySettings

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_everything_is_off_by_default() -> None:
    settings = ObservabilitySettings.from_env({})

    assert (settings.request_log, settings.traces_endpoint, settings.payload_sink) == (False, None, None)
    assert settings == ObservabilitySettings(resource={"service.name": "tidegate"})


def test_every_variable_is_read() -> None:
    settings = ObservabilitySettings.from_env(
        {
            "TIDEGATE_REQUEST_LOG": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_TRACES_SAMPLER": "always_on",
            "K_SERVICE": "flights",
            "K_REVISION": "flights-00002",
            "TIDEGATE_PAYLOAD_SINK": "https://sink.default/path",
            "TIDEGATE_PAYLOAD_SAMPLE": "0.1",
            "TIDEGATE_PAYLOAD_EVENTS": "kserve",
            "TIDEGATE_PAYLOAD_QUEUE_BYTES": "1000",
            "TIDEGATE_NAMESPACE": "models",
            "TIDEGATE_FLUSH_SECONDS": "1.5",
        }
    )

    assert settings == ObservabilitySettings(
        request_log=True,
        traces_endpoint="http://collector:4318/v1/traces",
        traces_protocol="grpc",
        traces_parent_decides=False,
        resource={"service.name": "flights", "kn.service.name": "flights", "kn.revision.name": "flights-00002"},
        payload_sink="https://sink.default/path",
        payload_sample=0.1,
        payload_events="kserve",
        payload_queue_bytes=1_000,
        namespace="models",
        flush_seconds=1.5,
    )


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({ENDPOINT: "http://a:4318"}, "http://a:4318/v1/traces"),
        ({ENDPOINT: "http://a:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/x"}, "http://b/x"),
        ({ENDPOINT: "http://a:4318", "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({ENDPOINT: "http://a:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({ENDPOINT: "http://a:4318", "OTEL_TRACES_EXPORTER": "console, otlp"}, "http://a:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None),
    ],
)
def test_where_traces_go(environ: dict[str, str], endpoint: str | None) -> None:
    assert ObservabilitySettings.from_env(environ).traces_endpoint == endpoint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_REQUEST_LOG", "yes"),
        ("TIDEGATE_PAYLOAD_SINK", "sink:8080"),
        ("TIDEGATE_PAYLOAD_SINK", "http://sink:port"),
        ("TIDEGATE_PAYLOAD_SINK", "http://"),
        ("TIDEGATE_PAYLOAD_SINK", f"http://{'ä' * 64}"),  # no name that can be looked up
        ("TIDEGATE_PAYLOAD_SAMPLE", "10"),
        ("TIDEGATE_PAYLOAD_EVENTS", "seldon"),
        ("TIDEGATE_PAYLOAD_QUEUE_BYTES", "0"),
        ("TIDEGATE_FLUSH_SECONDS", "-1"),
    ],
)
def test_invalid_value_is_refused_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^{name} is {value!r}; (it must be|set) "):
        ObservabilitySettings.from_env({name: value})
