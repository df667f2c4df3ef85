from __future__ import annotations

import pytest

from tidegate.doctor.cluster import api_resources
from tidegate.doctor.cluster.target import Resource
from tidegate.doctor.finding import Level

SERVICE = ("serving.knative.dev/v1", "Service")
SERVED = {SERVICE: Resource(group_version=SERVICE[0], name="services", namespaced=True)}
GROUPS = {"serving.knative.dev/v1", "sources.knative.dev/v1", "sources.knative.dev/v1beta2"}


def test_discovery_leaves_out_subresources() -> None:
    listing = {
        "resources": [
            {"name": "services", "kind": "Service", "namespaced": True},
            {"name": "services/status", "kind": "Service"},
            "nonsense",
        ]
    }
    assert api_resources.resources(SERVICE[0], listing) == SERVED


def test_served_kinds_are_one_finding() -> None:
    (found,) = api_resources.judge([SERVICE], GROUPS, SERVED)
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("api_version", "kind", "message", "remedy"),
    [
        ("keda.sh/v1alpha1", "ScaledObject", "KEDA is not installed", "https://keda.sh/docs/latest/deploy/"),
        ("monitoring.coreos.com/v1", "PodMonitor", "the Prometheus operator is not installed", "prometheus-operator.dev"),
        (
            "sources.knative.dev/v1",
            "KafkaSource",
            "Knative's KafkaSource is not installed",
            "knative.dev/docs/eventing/sources/kafka-source",
        ),
        ("eventing.knative.dev/v1", "Trigger", "Knative Eventing is not installed", "install-eventing-with-yaml"),
        (
            "sources.knative.dev/v2",
            "PingSource",
            "the cluster serves sources.knative.dev/v1, sources.knative.dev/v1beta2.",
            "upgrade Knative Ev",
        ),
        ("example.com/v1", "Thing", "its custom resource definition is not installed", "custom resource definition"),
    ],
)
def test_missing_kind_names_its_part_of_the_cluster(api_version: str, kind: str, message: str, remedy: str) -> None:
    (found,) = api_resources.judge([(api_version, kind)], GROUPS, SERVED)
    assert found.level is Level.ERROR
    assert message in found.message
    assert remedy in found.remedy
