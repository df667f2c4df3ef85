"""What Knative's own ConfigMaps must say, so that parts of the manifests have an effect."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import mapping, mappings, text
from tidegate.doctor.cluster import dependencies
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, Unseen, error, note, ok, warning
from tidegate.objects import Object

_REQUESTS = "queue-proxy's metrics"
# The port of queue-proxy that a ServiceMonitor asks for metrics of requests.
_REQUESTS_PORT = "http-usermetric"
# Since Knative 1.19, whose metrics are OpenTelemetry's and off by default; before, they were Prometheus' by default.
_PROTOCOL, _DESTINATION = "request-metrics-protocol", "metrics.request-metrics-backend-destination"
_OIDC = "authentication-oidc"


def check(cluster: Cluster) -> Iterator[Finding]:
    objects = [document.object for document in cluster.documents]
    if any(_asks_queue_proxy(item) for item in objects):
        yield from _looked_up(cluster, _REQUESTS, dependencies.SERVING.namespace, "config-observability")
    if any(item.get("kind") == "EventPolicy" for item in objects):
        yield from _looked_up(cluster, "EventPolicy", dependencies.EVENTING.namespace, "config-features")


def request_metrics(config: Object) -> Finding:
    """By Serving's ConfigMap config-observability."""
    data = mapping(config, "data")
    older = _PROTOCOL not in data and _PROTOCOL not in text(data, "_example")
    if older and text(data, _DESTINATION) in ("", "prometheus"):
        return ok(_REQUESTS, "are Prometheus', by default")
    if not older and text(data, _PROTOCOL) == "prometheus":
        return ok(_REQUESTS, "are Prometheus'")
    name = _DESTINATION if older else _PROTOCOL
    told = f"the ServiceMonitor finds nothing: {name} of config-observability is {text(data, name) or 'none'}, not prometheus."
    return warning(_REQUESTS, told, _patch("config-observability", dependencies.SERVING.namespace, name, "prometheus"))


def event_policies(config: Object) -> Finding:
    """By Eventing's ConfigMap config-features."""
    found = text(mapping(config, "data"), _OIDC) or "disabled"
    if found.lower() == "enabled":
        return ok("EventPolicy", "senders are known by OIDC")
    told = f"without {_OIDC} of config-features ({found}) Knative refuses policies, and whoever reaches a JobSink may start jobs."
    return error("EventPolicy", told, _patch("config-features", dependencies.EVENTING.namespace, _OIDC, "enabled"))


_JUDGES = {"config-observability": request_metrics, "config-features": event_policies}


def _looked_up(cluster: Cluster, subject: str, namespace: str, name: str) -> Iterator[Finding]:
    try:
        found = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except Unseen as reason:
        yield note(subject, f"{name} could not be looked at: {reason}")
        return
    if found is not None:  # without it, its part is not installed, which is said elsewhere
        yield _JUDGES[name](found)


def _asks_queue_proxy(item: Object) -> bool:
    ports = [text(endpoint, "port") for endpoint in mappings(mapping(item, "spec").get("endpoints"))]
    return item.get("kind") == "ServiceMonitor" and _REQUESTS_PORT in ports


def _patch(name: str, namespace: str, key: str, value: str) -> str:
    return f"""kubectl patch configmap/{name} -n {namespace} --type merge -p '{{"data":{{"{key}":"{value}"}}}}'"""
