from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.tracing import Tracing, attributes_of, steps_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
Receiver = Any
Make = Callable[..., Exchange]


def export(tracing: Tracing, *exchanges: Exchange) -> None:
    tracing.background.start()
    for item in exchanges:
        tracing.exchanged(item)
    tracing.background.close()
    tracing.background.join(30)


def spans(receiver: Receiver) -> dict[str, Span]:
    _, headers, body = receiver.next()
    assert headers["content-type"] == "application/x-protobuf"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    return {span.name: span for scope in resource.scope_spans for span in scope.spans}


def resource_of(receiver: Receiver) -> dict[str, str]:
    (found,) = ExportTraceServiceRequest.FromString(receiver.next()[2]).resource_spans
    return {item.key: item.value.string_value for item in found.resource.attributes}


def values(span: Span) -> dict[str, str | int]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_request_continues_the_caller_s_trace_with_recorded_times(receiver: Receiver, exchange: Make) -> None:
    done = exchange(traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1", request_bytes=120, response_bytes=80)
    export(Tracing(receiver.url, {}), done)

    found = spans(receiver)
    server = found.pop("POST /v2/models/{model}/infer")
    assert (server.trace_id.hex(), server.parent_span_id.hex(), server.trace_state) == (TRACE, PARENT, "vendor=1")
    assert server.kind == Span.SPAN_KIND_SERVER
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (done.began, done.began + 3_000_000)
    assert values(server) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "http.request.body.size": 120,
        "http.response.body.size": 80,
        "tidegate.protocol": "v2",
        "tidegate.model": "flights",
        "tidegate.model.version": "2",
        "tidegate.rows": 1,
    }
    assert {name: (span.start_time_unix_nano - done.began, span.end_time_unix_nano - done.began) for name, span in found.items()} == {
        "decode": (0, 1_000_000),
        "predict": (1_000_000, 2_500_000),
        "encode": (2_500_000, 3_000_000),
    }
    assert {(span.trace_id.hex(), span.parent_span_id) for span in found.values()} == {(TRACE, server.span_id)}


def test_event_has_its_attributes_in_the_span(exchange: Make) -> None:
    event = {"id": "e-1", "source": "/airport", "specversion": "1.0", "type": "flight.departed", "subject": "UA1545", "other": "x"}

    found = attributes_of(exchange(event=event))

    assert {name: value for name, value in found.items() if name.startswith("cloudevents.")} == {
        "cloudevents.event_id": "e-1",
        "cloudevents.event_source": "/airport",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "flight.departed",
        "cloudevents.event_subject": "UA1545",
    }


@pytest.mark.parametrize(("status", "code"), [(400, Status.STATUS_CODE_UNSET), (500, Status.STATUS_CODE_ERROR)])
def test_only_server_errors_are_errors_of_the_span(receiver: Receiver, exchange: Make, status: int, code: int) -> None:
    export(Tracing(receiver.url, {}), exchange(status=status, reason="failed", decoded=0, predicted=0))

    (server,) = spans(receiver).values()
    assert server.status.code == code
    assert values(server)["error.type"] == "failed"
    assert server.parent_span_id == b""


def test_unsampled_caller_is_not_traced(receiver: Receiver, exchange: Make) -> None:
    unsampled = exchange(traceparent=f"00-{TRACE}-{PARENT}-00")
    export(Tracing(receiver.url, {}), unsampled, exchange(route="/other"))

    assert "POST /other" in spans(receiver)
    assert receiver.posts.empty()


def test_unsampled_caller_is_traced_by_another_sampler(receiver: Receiver, exchange: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    export(Tracing(receiver.url, {}, parent_decides=False), exchange(traceparent=f"00-{TRACE}-{PARENT}-00"))

    assert len(spans(receiver)) == 4


def test_invalid_traceparent_starts_a_new_trace(receiver: Receiver, exchange: Make) -> None:
    export(Tracing(receiver.url, {}), exchange(traceparent="garbage", tracestate="garbage"))

    assert spans(receiver)["POST /v2/models/{model}/infer"].parent_span_id == b""


def test_the_resource_is_knatives(receiver: Receiver, exchange: Make) -> None:
    resource = {"service.name": "flights", "kn.service.name": "flights", "kn.revision.name": "flights-00002"}
    export(Tracing(receiver.url, resource), exchange())

    assert resource.items() <= resource_of(receiver).items()


def test_opentelemetry_variables_take_precedence(receiver: Receiver, exchange: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    export(Tracing(receiver.url, {"service.name": "flights"}), exchange())

    found = resource_of(receiver)
    assert (found["service.name"], found["deployment.environment"]) == ("named", "test")


def test_failing_collector_loses_spans_only(receiver: Receiver, exchange: Make) -> None:
    receiver.statuses = [400]
    tracing = Tracing(receiver.url, {})

    export(tracing, exchange(), exchange())

    assert tracing.background.dropped == 2


def test_steps_end_where_the_request_ended(exchange: Make) -> None:
    assert steps_of(exchange(decoded=0, predicted=0)) == []
    assert steps_of(exchange(predicted=0)) == [("decode", 0, 1_000_000)]


def test_sdk_is_not_imported_by_the_event_loop() -> None:
    code = (
        "import sys\nfrom functions.runtime.observability.tracing import Tracing, installed\n"
        "assert installed()\nTracing('http://localhost:1/v1/traces', {}).background.start()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk.') or name == 'requests'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_collector_on_loopback_is_reached_without_a_proxy(receiver: Receiver, exchange: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    export(Tracing(receiver.url, {}), exchange())
    assert spans(receiver)
