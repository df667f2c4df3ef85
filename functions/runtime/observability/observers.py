"""The observers that the settings enable, started and stopped together."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from functions.runtime.observability.background import Background
from functions.runtime.observability.exchange import Exchange, Observer
from functions.runtime.observability.metrics import Metrics, Reading
from functions.runtime.observability.settings import ObservabilitySettings

if TYPE_CHECKING:
    from functions.runtime.observability.payloads import Payloads

log = logging.getLogger("tidegate.observing")


class Observers:
    """An Observer that passes each exchange to all enabled observers, the metrics first.

    As a context manager it runs their threads; at its exit, queued items are written and sent, within `flush_seconds`
    in total.
    """

    def __init__(self, settings: ObservabilitySettings, metrics: Metrics) -> None:
        self.metrics = metrics
        self._flush_seconds = settings.flush_seconds
        self.backgrounds: list[Background[Any]] = []
        self._payloads: Payloads | None = None
        self._all: list[Observer] = [metrics, *self._enabled(settings)]

    def __enter__(self) -> Observers:
        for background in self.backgrounds:
            background.start()
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + self._flush_seconds
        for background in self.backgrounds:
            background.close()
        for background in self.backgrounds:
            background.join(deadline - time.monotonic())

    def exchanged(self, exchange: Exchange) -> None:
        for observer in self._all:
            observer.exchanged(exchange)

    def wants(self, request_id: str) -> bool:
        """Return whether to keep the bodies of the request with this id, which may be empty, in its exchange."""
        return self._payloads is not None and self._payloads.wants(request_id)

    def _enabled(self, settings: ObservabilitySettings) -> Iterator[Observer]:
        """Create the optional observers, each imported only if it is enabled."""
        if settings.request_log:
            from functions.runtime.observability.request_log import RequestLog

            request_log = RequestLog()
            self._add(request_log.background, "tidegate_request_log_dropped_total", "Lines that were dropped from the request log.")
            yield request_log
        if settings.traces_endpoint is not None and _can_trace(settings):
            from functions.runtime.observability.tracing import Tracing

            tracing = Tracing(settings.traces_endpoint, settings.resource, parent_decides=settings.traces_parent_decides)
            self._add(tracing.background, "tidegate_traces_dropped_total", "Requests whose spans did not reach the collector.")
            yield tracing
        if settings.payload_sink is not None and settings.payload_sample > 0:
            self._payloads = _payloads(settings, settings.payload_sink)
            self._add(self._payloads.background, "tidegate_payloads_dropped_total", "Payload events that did not reach the sink.")
            yield self._payloads

    def _add(self, background: Background[Any], name: str, description: str) -> None:
        self.backgrounds.append(background)
        self.metrics.watch(Reading(name, description, lambda: background.dropped))


def _can_trace(settings: ObservabilitySettings) -> bool:
    from functions.runtime.observability.tracing import installed

    if settings.traces_protocol != "http/protobuf":
        log.warning(
            "no traces: unsupported OTLP protocol %s; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the collector's port for it, 4318.",
            settings.traces_protocol,
        )
        return False
    if not installed():
        log.warning("no traces: OpenTelemetry is not installed; install tidegate[tracing], or unset OTEL_EXPORTER_OTLP_ENDPOINT.")
        return False
    return True


def _payloads(settings: ObservabilitySettings, sink: str) -> Payloads:
    from functions.runtime.observability.payloads import Payloads, kserve_event, pod_namespace, tidegate_event

    as_kserve = settings.payload_events == "kserve"
    service = settings.resource.get("kn.service.name", "")
    describe = kserve_event(service, settings.namespace or pod_namespace()) if as_kserve else tidegate_event
    # KServe's consumers expect single events.
    return Payloads(
        sink, sample=settings.payload_sample, queue_bytes=settings.payload_queue_bytes, describe=describe, batches=not as_kserve
    )
