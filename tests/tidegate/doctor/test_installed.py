"""The parts of a cluster: which kinds are served, and what runs."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import api_resources, dependencies, knative, versions
from tidegate.doctor.cluster.client import Resource
from tidegate.doctor.finding import Level

Object = dict[str, Any]
SERVICE = ("serving.knative.dev/v1", "Service")
SERVED = {SERVICE: Resource(SERVICE[0], "services", namespaced=True)}
GROUPS = {"serving.knative.dev/v1", "sources.knative.dev/v1", "sources.knative.dev/v1beta2"}


def _deployment(name: str, available: int = 1, version: str = "1.20.1", **status: Any) -> Object:
    metadata = {"name": name, "labels": {"app.kubernetes.io/version": version}}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"availableReplicas": available, **status}}


def test_discovery_leaves_out_what_belongs_to_another_resource() -> None:
    listing = {
        "resources": [
            {"name": "services", "kind": "Service", "namespaced": True},
            {"name": "services/status", "kind": "Service"},
            "nonsense",
        ]
    }
    assert api_resources.resources(SERVICE[0], listing) == SERVED


def test_what_is_served_is_one_line() -> None:
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
        ("example.com/v1", "Thing", "what brings it is not installed", "custom resource definition"),
    ],
)
def test_what_is_missing_is_named_by_its_part(api_version: str, kind: str, message: str, remedy: str) -> None:
    (found,) = api_resources.judge([(api_version, kind)], GROUPS, SERVED)
    assert found.level is Level.ERROR
    assert message in found.message
    assert remedy in found.remedy


def test_a_part_whose_controllers_are_available_is_well() -> None:
    (found,) = knative.running(dependencies.SERVING, [_deployment(name) for name in dependencies.SERVING.deployments])
    assert found.level is Level.OK


def test_a_custom_resource_without_its_controller_is_an_error() -> None:
    there = [_deployment(name) for name in dependencies.EVENTING.deployments if name != "eventing-controller"]
    (found,) = knative.running(dependencies.EVENTING, there)
    assert found.level is Level.ERROR
    assert "the deployment eventing-controller in the namespace knative-eventing is missing" in found.message


def test_a_controller_that_does_not_come_up_tells_why() -> None:
    conditions = [
        {"type": "Progressing", "status": "False", "message": "no image."},
        {"type": "Other", "status": "True", "message": "fine"},
    ]
    there = [_deployment(name) for name in dependencies.KAFKA.deployments[1:]] + [_deployment("kafka-controller", 0, conditions=conditions)]
    (found,) = knative.running(dependencies.KAFKA, there)
    assert found.message.endswith("is not available: no image.")
    assert found.remedy == "kubectl -n knative-eventing describe deployment kafka-controller"


@pytest.mark.parametrize(
    ("version", "kubernetes", "levels"),
    [
        ("1.20.1", "v1.32.0", [Level.OK]),
        ("1.21.0", "v1.32.9", [Level.OK, Level.ERROR]),
        ("1.17.2", "v1.34.0", [Level.ERROR]),
        ("devel", "v1.34.0", [Level.NOTE]),
        ("1.99.0", "v1.33.0", [Level.OK, Level.ERROR]),
    ],
)
def test_knative_and_kubernetes_must_fit(version: str, kubernetes: str, levels: list[Level]) -> None:
    found = knative.version(dependencies.SERVING, [_deployment("controller", version=version)], kubernetes)
    assert [item.level for item in found] == levels


def test_versions_are_read_from_what_clusters_say() -> None:
    assert versions.parse("v1.34.4+k3s1") == (1, 34)
    assert versions.parse("knative-v1.20.0") == (1, 20)
    assert versions.parse("devel") is None
    assert not versions.kubernetes_for("unknown", (1, 20))


def test_the_ingress_is_the_one_that_knative_is_told() -> None:
    network = {"data": {"ingress-class": "kourier.ingress.networking.knative.dev"}}
    (well,) = knative.ingress(network, [_deployment("net-kourier-controller")])
    (missing,) = knative.ingress(network, [])
    (default,) = knative.ingress({"data": {"_example": ""}}, [])
    (unknown,) = knative.ingress({"data": {"ingress-class": "own.example.com"}}, [])
    (uninstalled,) = knative.ingress(None, [])
    assert (well.level, unknown.level) == (Level.OK, Level.NOTE)
    assert {missing.level, default.level, uninstalled.level} == {Level.ERROR}
    assert "net-kourier-controller" in missing.message
    assert "the default, since config-network names none" in default.message
