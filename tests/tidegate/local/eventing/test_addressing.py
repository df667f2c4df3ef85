from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.eventing.addressing import Unresolved, ingress_url, resolve
from tidegate.local.objects.eventing import Destination

Object = dict[str, Any]

SERVICE = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "router"}
STORED = {
    ("services", "default", "router"): {"status": {"address": {"url": "http://router.localhost:8080"}}},
    ("brokers", "default", "tidegate"): {"status": {"address": {"url": "http://broker-ingress.localhost:8080/default/tidegate"}}},
    ("services", "default", "starting"): {},
}


def find(resource: str, namespace: str, name: str) -> Object | None:
    return STORED.get((resource, namespace, name))


def destination(**fields: Any) -> Destination:
    return Destination.model_validate(fields)


@pytest.mark.parametrize(
    ("ref", "uri", "url"),
    [
        (SERVICE, None, "http://router.localhost:8080"),
        (SERVICE, "/models/flights", "http://router.localhost:8080/models/flights"),
        ({"apiVersion": "v1", "kind": "Service", "name": "router"}, "/v2", "http://router.localhost:8080/v2"),
        ({**SERVICE, "namespace": "default"}, None, "http://router.localhost:8080"),
        (
            {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "tidegate"},
            None,
            "http://broker-ingress.localhost:8080/default/tidegate",
        ),
        (None, "https://example.com/events?a=b", "https://example.com/events?a=b"),
    ],
)
def test_destination_has_a_url(ref: Object | None, uri: str | None, url: str) -> None:
    assert resolve(destination(ref=ref, uri=uri), "default", find) == url


@pytest.mark.parametrize(
    ("ref", "uri", "reason", "message"),
    [
        (
            {**SERVICE, "name": "missing"},
            None,
            "NotFound",
            'failed to get object default/missing: services.serving.knative.dev "missing" not found',
        ),
        ({**SERVICE, "name": "starting"}, None, "AddressNotSet", "address not set for Service default/starting"),
        ({**SERVICE, "namespace": "other"}, None, "NotFound", "failed to get object other/router"),
        ({"apiVersion": "v1", "kind": "Pod", "name": "a"}, None, "NotFound", "tidegate up has no Pod of v1"),
        (None, "/models/flights", "InvalidURI", "URI is not absolute"),
        (None, "ftp://example.com", "InvalidURI", "URI is not absolute"),
        (None, None, "InvalidURI", "URI is not absolute"),
    ],
)
def test_destination_without_an_address_has_a_reason(ref: Object | None, uri: str | None, reason: str, message: str) -> None:
    with pytest.raises(Unresolved, match=message) as caught:
        resolve(destination(ref=ref, uri=uri), "default", find)
    assert caught.value.reason == reason


def test_address_names_namespace_and_name() -> None:
    assert ingress_url("jobsinks", "default", "batch", 8080) == "http://job-sink.localhost:8080/default/batch"
