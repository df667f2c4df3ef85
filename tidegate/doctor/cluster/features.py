"""Settings in Knative's own ConfigMaps that parts of the manifests need."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import mapping, mappings, text
from tidegate.doctor.cluster import dependencies
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, note, ok, warning
from tidegate.documents import Object

_REQUESTS = "queue-proxy's metrics"
# The port of queue-proxy that a ServiceMonitor scrapes for metrics of requests.
_REQUESTS_PORT = "http-usermetric"
# Since Knative 1.19, whose metrics are OpenTelemetry's and off by default; before, they were Prometheus' by default.
_PROTOCOL, _DESTINATION = "request-metrics-protocol", "metrics.request-metrics-backend-destination"
_OIDC = "authentication-oidc"


def check(cluster: Cluster) -> Findings[None]:
    """Check the ConfigMaps that the manifests depend on."""
    objects = [document.object for document in cluster.documents]
    if any(_scrapes_queue_proxy(item) for item in objects):
        yield from _inspected(cluster, _REQUESTS, dependencies.SERVING.namespace, "config-observability")
    if any(item.get("kind") == "EventPolicy" for item in objects):
        yield from _inspected(cluster, "EventPolicy", dependencies.EVENTING.namespace, "config-features")


def request_metrics(config: Object) -> Finding:
    """Whether Serving's ConfigMap config-observability has queue-proxy export metrics in Prometheus' format."""
    data = mapping(config, "data")
    older = _PROTOCOL not in data and _PROTOCOL not in text(data, "_example")
    if older and text(data, _DESTINATION) in ("", "prometheus"):
        return ok(_REQUESTS, "are in Prometheus' format, by default")
    if not older and text(data, _PROTOCOL) == "prometheus":
        return ok(_REQUESTS, "are in Prometheus' format")
    name = _DESTINATION if older else _PROTOCOL
    message = f"the ServiceMonitor finds none: {name} of config-observability is {text(data, name) or 'none'}, not prometheus."
    return warning(_REQUESTS, message, _patch("config-observability", dependencies.SERVING.namespace, name, "prometheus"))


def event_policies(config: Object) -> Finding:
    """Whether Eventing's ConfigMap config-features enables what an EventPolicy needs."""
    found = text(mapping(config, "data"), _OIDC) or "disabled"
    if found.lower() == "enabled":
        return ok("EventPolicy", "senders are authenticated by OIDC")
    message = (
        f"without {_OIDC} of config-features ({found}) Knative refuses policies, and any sender that reaches a JobSink may start jobs."
    )
    return error("EventPolicy", message, _patch("config-features", dependencies.EVENTING.namespace, _OIDC, "enabled"))


_JUDGES = {"config-observability": request_metrics, "config-features": event_policies}


def _inspected(cluster: Cluster, subject: str, namespace: str, name: str) -> Iterator[Finding]:
    try:
        found = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except NotInspectable as reason:
        yield note(subject, f"{name} could not be inspected: {reason}")
        return
    if found is not None:  # without it, its part is not installed, which another check reports
        yield _JUDGES[name](found)


def _scrapes_queue_proxy(item: Object) -> bool:
    ports = [text(endpoint, "port") for endpoint in mappings(mapping(item, "spec").get("endpoints"))]
    return item.get("kind") == "ServiceMonitor" and _REQUESTS_PORT in ports


def _patch(name: str, namespace: str, key: str, value: str) -> str:
    return f"""kubectl patch configmap/{name} -n {namespace} --type merge -p '{{"data":{{"{key}":"{value}"}}}}'"""
