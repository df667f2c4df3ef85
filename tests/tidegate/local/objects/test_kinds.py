from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.objects.kinds import KINDS, cluster_only_reason


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("policy/v1", "PodDisruptionBudget"),
        ("v1", "Secret"),
        ("eventing.knative.dev/v1alpha1", "EventPolicy"),
        ("keda.sh/v1alpha1", "ScaledObject"),
    ],
)
def test_cluster_only_kind_has_a_reason(api_version: str, kind: str) -> None:
    assert cluster_only_reason({"apiVersion": api_version, "kind": kind, "metadata": None})


def test_supported_kinds_have_no_reason() -> None:
    assert not [kind for version, kind in KINDS if cluster_only_reason({"apiVersion": version, "kind": kind})]


@pytest.mark.parametrize("metadata", [None, {}, {"labels": None}, {"labels": {"app.kubernetes.io/component": "stream"}}])
def test_deployment_of_another_component_has_no_reason(metadata: Any) -> None:
    assert cluster_only_reason({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}) is None


def test_any_object_of_the_kafka_component_has_a_reason() -> None:
    labels = {"app.kubernetes.io/component": "kafka"}
    for kind in ("Service", "StatefulSet"):
        reason = cluster_only_reason({"apiVersion": "v1", "kind": kind, "metadata": {"labels": labels}})
        assert reason == "tidegate up brings its own Kafka"
