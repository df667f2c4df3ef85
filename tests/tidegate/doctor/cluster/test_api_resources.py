from __future__ import annotations

from typing import Any, cast

import pytest

from tidegate.doctor.cluster import api_resources
from tidegate.doctor.cluster.client import Answer, Cluster
from tidegate.doctor.cluster.target import Resource
from tidegate.doctor.finding import Finding, Findings, Level
from tidegate.documents import Document

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


class _Api:
    """An API with two groups, one of which it does not list."""

    def call(self, method: str, path: str, *_: object, **query: str) -> Answer:
        names = ("serving.knative.dev/v1", "sources.knative.dev/v1")
        groups = {"groups": [{"versions": [{"groupVersion": name}]} for name in names]}
        resources = {"resources": [{"name": "services", "kind": "Service", "namespaced": True}]}
        answers = {"/apis": Answer(200, groups), "/apis/serving.knative.dev/v1": Answer(200, resources)}
        return answers.get(path, Answer(503, {"message": "unavailable"}))


def _collect(findings: Findings[Any]) -> tuple[list[Finding], Any]:
    found = []
    while True:
        try:
            found.append(next(findings))
        except StopIteration as end:
            return found, end.value


def test_kinds_found_before_a_failure_are_returned() -> None:
    kinds = [SERVICE, ("sources.knative.dev/v1", "SinkBinding")]
    documents = [Document("a.yaml", {"apiVersion": version, "kind": kind}) for version, kind in kinds]
    (found,), served = _collect(api_resources.check(Cluster(cast("Any", _Api()), "mine", documents)))
    assert (found.level, found.message) == (Level.NOTE, "could not be inspected: unavailable")
    assert served == SERVED
