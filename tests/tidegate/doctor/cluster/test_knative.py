from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import dependencies, knative
from tidegate.doctor.finding import Level

Object = dict[str, Any]


def _deployment(name: str, available: int = 1, version: str = "1.20.1", **status: Any) -> Object:
    metadata = {"name": name, "labels": {"app.kubernetes.io/version": version}}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"availableReplicas": available, **status}}


def test_part_with_available_controllers_is_ok() -> None:
    (found,) = knative.running(dependencies.SERVING, [_deployment(name) for name in dependencies.SERVING.deployments])
    assert found.level is Level.OK


def test_missing_controller_is_an_error() -> None:
    there = [_deployment(name) for name in dependencies.EVENTING.deployments if name != "eventing-controller"]
    (found,) = knative.running(dependencies.EVENTING, there)
    assert found.level is Level.ERROR
    assert "the deployment eventing-controller in the namespace knative-eventing is missing" in found.message


def test_unavailable_controller_has_its_reason() -> None:
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
def test_versions_of_knative_and_kubernetes_must_match(version: str, kubernetes: str, levels: list[Level]) -> None:
    found = knative.version(dependencies.SERVING, [_deployment("controller", version=version)], kubernetes)
    assert [item.level for item in found] == levels


def test_ingress_is_the_one_in_config_network() -> None:
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
