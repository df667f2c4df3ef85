"""Addresses of the objects that receive events, resolved as Knative's `URIResolver` does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urljoin, urlsplit

from aiohttp import web

from common.errors import TidegateError
from functions.runtime.knative.objects import SERVICES
from tidegate.local.objects.eventing import Destination
from tidegate.local.objects.kinds import BY_PLURAL, BY_VERSION, INGRESS_NAMES, Kind
from tidegate.local.objects.resources import ObjectReference
from tidegate.local.objects.validation import Object

Find = Callable[[str, str, str], Object | None]
"""The object of a resource (`services`, `brokers`), a namespace and a name, or None."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers the requests of an ingress, within this process."""

BROKERS, KAFKA_SINKS, JOB_SINKS, SEQUENCES, PARALLELS = "brokers", "kafkasinks", "jobsinks", "sequences", "parallels"
# By resource: the name and the namespace of the Kubernetes Service that is its ingress on a cluster.
_ON_A_CLUSTER = {
    BROKERS: ("kafka-broker-ingress", "knative-eventing"),
    KAFKA_SINKS: ("kafka-sink-ingress", "knative-eventing"),
    JOB_SINKS: ("job-sink", "knative-eventing"),
}
INGRESSES = {
    resource: (
        f"{label}.localhost",
        *(".".join((*_ON_A_CLUSTER[resource], *rest)) for rest in ((), ("svc",), ("svc", "cluster", "local")) if resource in _ON_A_CLUSTER),
    )
    for resource, label in INGRESS_NAMES.items()
}
"""By resource: the hosts that answer for all of its objects. The first is that of their addresses here."""

# A Knative Service has a Kubernetes Service of the same name.
_KUBERNETES_SERVICE = ("v1", "Service")


class Unresolved(TidegateError):
    """A destination that has no address now. `reason` is a word for a condition, as a cluster's controllers use it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def ingress_url(resource: str, namespace: str, name: str, port: int) -> str:
    """The address of an object whose events an ingress of the gateway accepts."""
    return f"http://{INGRESSES[resource][0]}:{port}/{namespace}/{name}"


def resolve(destination: Destination, namespace: str, find: Find) -> str:
    """The URL of a destination that an object in `namespace` names. Raises Unresolved while it has none."""
    if destination.ref is None:
        return _absolute(destination.uri or "")
    url = _address(destination.ref, destination.ref.namespace or namespace, find)
    return urljoin(url, destination.uri) if destination.uri else url


def kind_of(ref: ObjectReference) -> Kind | None:
    """The kind of a reference, or None if `tidegate up` has no such kind."""
    if (ref.api_version, ref.kind) == _KUBERNETES_SERVICE:
        return BY_PLURAL[SERVICES]
    return BY_VERSION.get((ref.api_version, ref.kind))


def _absolute(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unresolved("InvalidURI", f'URI is not absolute (both scheme and host should be non-empty): "{uri}"')
    return uri


def _address(ref: ObjectReference, namespace: str, find: Find) -> str:
    kind = kind_of(ref)
    if kind is None:
        raise Unresolved("NotFound", f"failed to get object {namespace}/{ref.name}: tidegate up has no {ref.kind} of {ref.api_version}")
    item = find(kind.plural, namespace, ref.name or "")
    if item is None:
        raise Unresolved("NotFound", f'failed to get object {namespace}/{ref.name}: {kind.qualified} "{ref.name}" not found')
    url: str | None = ((item.get("status") or {}).get("address") or {}).get("url")
    if not url:
        raise Unresolved("AddressNotSet", f"address not set for {kind.kind} {namespace}/{ref.name}")
    return url
