"""The settings of observability, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.environ import integer, number, one_of, url

PAYLOAD_EVENTS = ("tidegate", "kserve")
# The protocol for traces, which needs no gRPC.
_OTLP_PROTOCOL = "http/protobuf"


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True, kw_only=True)
class ObservabilitySettings:
    """The settings of the optional observers; metrics are always on."""

    request_log: bool = False
    """TIDEGATE_REQUEST_LOG: `true` for one JSON line per request on stdout. Off by default: at thousands of requests a
    second it would be most of a log."""

    traces_endpoint: str | None = None
    """The endpoint for spans: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_EXPORTER_OTLP_ENDPOINT and /v1/traces. None
    without either, with OTEL_SDK_DISABLED=true, or if OTEL_TRACES_EXPORTER does not contain `otlp`."""

    traces_protocol: str = _OTLP_PROTOCOL
    """OTEL_EXPORTER_OTLP_TRACES_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL: only `http/protobuf` is supported."""

    traces_parent_decides: bool = True
    """Whether OTEL_TRACES_SAMPLER begins with `parentbased`, as the SDK's default does: callers that do not sample then
    cost nothing."""

    resource: Mapping[str, str] = field(default_factory=dict)
    """Knative's K_SERVICE and K_REVISION, for the resource of the spans; the SDK adds OTEL_RESOURCE_ATTRIBUTES."""

    payload_sink: str | None = None
    """TIDEGATE_PAYLOAD_SINK: the URL to which bodies of requests and responses are posted as CloudEvents.

    None by default: they are private.
    """

    payload_sample: float = 1.0
    """TIDEGATE_PAYLOAD_SAMPLE, 0 to 1: the share of requests whose bodies are sent.

    All by default, so that a new sink receives events at once.
    """

    payload_events: str = "tidegate"
    """TIDEGATE_PAYLOAD_EVENTS: `tidegate`, or `kserve` for the types and attributes of KServe's payload logger."""

    payload_queue_bytes: int = 16 * 2**20
    """TIDEGATE_PAYLOAD_QUEUE_BYTES: the bytes of bodies that may wait for the sink.

    The default is a few seconds of a busy function, and small compared with its memory.
    """

    namespace: str = ""
    """TIDEGATE_NAMESPACE: the namespace in KServe's events; by default the pod's."""

    flush_seconds: float = 3.0
    """TIDEGATE_FLUSH_SECONDS: the seconds that the end of the process may wait for queued items; Knative kills the
    process 5 s after the default drain."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ObservabilitySettings:
        """Read the settings from environment variables. Raises InvalidSetting, naming the variable."""
        return cls(
            request_log=one_of(environ, "TIDEGATE_REQUEST_LOG", "false", ("true", "false")) == "true",
            traces_endpoint=_traces_endpoint(environ),
            traces_protocol=environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or cls.traces_protocol,
            traces_parent_decides=(environ.get("OTEL_TRACES_SAMPLER") or "parentbased").lower().startswith("parentbased"),
            resource=_resource(environ),
            payload_sink=url(environ, "TIDEGATE_PAYLOAD_SINK"),
            payload_sample=number(environ, "TIDEGATE_PAYLOAD_SAMPLE", cls.payload_sample, most=1.0),
            payload_events=one_of(environ, "TIDEGATE_PAYLOAD_EVENTS", cls.payload_events, PAYLOAD_EVENTS),
            payload_queue_bytes=integer(environ, "TIDEGATE_PAYLOAD_QUEUE_BYTES", cls.payload_queue_bytes, least=1),
            namespace=environ.get("TIDEGATE_NAMESPACE") or cls.namespace,
            flush_seconds=number(environ, "TIDEGATE_FLUSH_SECONDS", cls.flush_seconds),
        )


def _traces_endpoint(environ: Mapping[str, str]) -> str | None:
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = [name.strip() for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    if disabled or "otlp" not in exporters:
        return None
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base.rstrip('/')}/v1/traces" if base else None)


def _resource(environ: Mapping[str, str]) -> dict[str, str]:
    service, revision = environ.get("K_SERVICE"), environ.get("K_REVISION")
    found = {"service.name": service or "tidegate", "kn.service.name": service, "kn.revision.name": revision}
    return {name: value for name, value in found.items() if value}
