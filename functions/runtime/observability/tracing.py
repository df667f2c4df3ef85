"""OpenTelemetry traces.

A request only queues its exchange; a thread imports the SDK and makes spans with the recorded times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.loopback import is_loopback_url
from functions.runtime.observability.background import Background
from functions.runtime.observability.exchange import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from requests import Session

# Exchanges in the queue, of four spans each; the SDK's own queue has the same default (OTEL_BSP_MAX_QUEUE_SIZE).
_EXCHANGES = 2_048
# The SDK takes 0.3 ms to make and encode the spans of one exchange: more at a time would delay the event loop too much.
_TOGETHER = 16
# OpenTelemetry's names for the attributes of an event (semantic conventions for CloudEvents).
_EVENT = {"id": "id", "source": "source", "specversion": "spec_version", "type": "type", "subject": "subject"}


def installed() -> bool:
    """Return whether the extra `tracing` is installed."""
    from importlib.util import find_spec

    try:
        return all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")))
    except ModuleNotFoundError:
        return False


class Tracing:
    """An Observer that exports spans by OTLP over HTTP. The SDK follows its OTEL_* variables."""

    def __init__(self, endpoint: str, resource: Mapping[str, str], *, parent_decides: bool = True) -> None:
        """`endpoint` is the URL for traces, with its path.

        With `parent_decides`, requests of callers that do not sample are skipped.
        """
        self._endpoint = endpoint
        self._resource = resource
        self._parent_decides = parent_decides
        self._exporter: _Exporter | None = None
        self.background: Background[Exchange] = Background(
            "tracing", self._export, limit=_EXCHANGES, together=_TOGETHER, linger_seconds=0.2, at_end=self._close
        )

    def exchanged(self, exchange: Exchange) -> None:
        if self._parent_decides and exchange.traceparent.endswith("-00"):
            return
        self.background.put(exchange)

    def _export(self, exchanges: list[Exchange]) -> int:
        if self._exporter is None:
            self._exporter = _Exporter(self._endpoint, self._resource)
        return self._exporter.export(exchanges)

    def _close(self) -> None:
        if self._exporter is not None:
            self._exporter.close()


class _Exporter:
    """Makes and exports spans, in the thread; creating it imports the SDK."""

    def __init__(self, endpoint: str, resource: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended: list[ReadableSpan] = []

        class Collected(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                ended.append(span)

        provider = TracerProvider(resource=_resource(resource), shutdown_on_exit=False)
        provider.add_span_processor(Collected())
        self._tracer = provider.get_tracer("tidegate")
        self._propagator = TraceContextTextMapPropagator()
        self._exporter = OTLPSpanExporter(endpoint=endpoint, session=_session(endpoint))
        self._ended = ended

    def export(self, exchanges: list[Exchange]) -> int:
        """Export the spans of exchanges; returns the number of lost exchanges: all if the collector rejects them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        for exchange in exchanges:
            self._trace(exchange)
        spans = self._ended.copy()
        self._ended.clear()
        return 0 if not spans or self._exporter.export(spans) is SpanExportResult.SUCCESS else len(exchanges)

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no annotations

    def _trace(self, exchange: Exchange) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        parent = self._propagator.extract({"traceparent": exchange.traceparent, "tracestate": exchange.tracestate})
        began = exchange.began
        name = f"{exchange.method} {exchange.route}".strip()
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes_of(exchange), start_time=began)
        if span.is_recording():
            if exchange.status >= 500:
                span.set_status(Status(StatusCode.ERROR, exchange.reason))
            context = set_span_in_context(span)
            for step, start, end in steps_of(exchange):
                self._tracer.start_span(step, context, start_time=began + start).end(began + end)
        span.end(began + exchange.took)


def _session(endpoint: str) -> Session | None:
    """Make a session for a collector on this machine, without the environment's proxy.

    Returns None, the exporter's default, for other collectors.
    """
    from requests import Session

    if not is_loopback_url(endpoint):
        return None
    session = Session()
    session.trust_env = False
    return session


def steps_of(exchange: Exchange) -> list[tuple[str, int, int]]:
    """Return the completed steps with their start and end in nanoseconds since the request's arrival."""
    ends = [("decode", exchange.decoded), ("predict", exchange.predicted), ("encode", exchange.took)]
    reached = ends[: 3 if exchange.predicted else 1 if exchange.decoded else 0]
    starts = [0, *(end for _, end in reached)]
    return [(name, start, end) for (name, end), start in zip(reached, starts, strict=False)]


def attributes_of(exchange: Exchange) -> dict[str, Any]:
    """Return the attributes of a request's span, without empty ones."""
    attributes: dict[str, Any] = {
        "http.request.method": exchange.method,
        "http.route": exchange.route if exchange.method else "",
        "http.response.status_code": exchange.status if exchange.method else 0,
        "http.request.body.size": exchange.request_bytes,
        "http.response.body.size": exchange.response_bytes,
        "error.type": exchange.reason,
        "tidegate.protocol": exchange.protocol,
        "tidegate.model": exchange.model,
        "tidegate.model.version": exchange.version,
        "tidegate.rows": exchange.rows,
    }
    for name, conventional in _EVENT.items():
        attributes[f"cloudevents.event_{conventional}"] = (exchange.event or {}).get(name, "")
    return {name: value for name, value in attributes.items() if value}


def _resource(attributes: Mapping[str, str]) -> Resource:
    """Make the resource; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    return Resource.create(dict(attributes)).merge(OTELResourceDetector().detect())
