from __future__ import annotations

import pytest

from tidegate.local.eventing.cluster_names import at_gateway


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://router.default.svc.cluster.local", "http://router.localhost:8080"),
        ("http://router.default.svc", "http://router.localhost:8080"),
        ("http://router.default.svc.cluster.local:80/models/flights?x=1", "http://router.localhost:8080/models/flights?x=1"),
        (
            "http://kafka-broker-ingress.knative-eventing.svc.cluster.local/default/b",
            "http://broker-ingress.localhost:8080/default/b",
        ),
        ("http://job-sink.knative-eventing.svc/default/batch", "http://job-sink.localhost:8080/default/batch"),
        ("http://job-sink.knative-eventing:80/default/batch", "http://job-sink.localhost:8080/default/batch"),
    ],
    ids=["service", "short", "path", "broker", "job-sink", "shortest"],
)
def test_the_url_of_a_service_in_a_cluster_becomes_that_of_the_gateway(value: str, expected: str) -> None:
    assert at_gateway(value, 8080) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "http://example.com",
        "http://router.default",
        "https://router.default.svc.cluster.local",
        "http://router.default.svc.cluster.local:9000",
        "http://router.default.svc.cluster.local.example.com",
        "kafka.kafka.svc.cluster.local:9092",
        "see http://router.default.svc.cluster.local",
    ],
)
def test_any_other_value_is_left_as_it_is(value: str) -> None:
    assert at_gateway(value, 8080) == value
