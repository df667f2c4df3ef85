from __future__ import annotations

from typing import Any

from tidegate.doctor.cluster import overlays
from tidegate.doctor.finding import Level

Object = dict[str, Any]


def _live(manager: str = "", **annotations: str) -> Object:
    fields = [{"manager": manager, "fieldsV1": {"f:spec": {}}}, {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {}}}]
    status = {"manager": "argocd-controller", "subresource": "status", "fieldsV1": {"f:spec": {}}}
    return {
        "kind": "Service",
        "metadata": {"name": "flights", "annotations": annotations, "labels": annotations, "managedFields": [*fields, status]},
    }


def test_two_overlays_of_one_object_are_both_named() -> None:
    ours = {"kind": "Service", "metadata": {"name": "flights", "labels": {"tidegate.dev/overlay": "staging"}}}
    (found,) = overlays.judge(ours, _live(**{"tidegate.dev/overlay": "production"}))
    assert found.level is Level.WARNING
    assert "created it is production, these manifests have staging" in found.message
    assert not list(overlays.judge(ours, _live(**{"tidegate.dev/overlay": "staging"})))


def test_two_writers_of_one_object_are_both_named() -> None:
    ours = {"kind": "Service", "metadata": {"name": "flights"}}
    (found,) = overlays.judge(ours, _live("argocd-controller"))
    assert "Argo CD and kubectl apply both write" in found.message
    assert not list(overlays.judge(ours, _live("controller")))


def test_remedy_names_knatives_service_rather_than_kubernetes_own() -> None:
    metadata = {"name": "flights", "namespace": "models"}
    ours: Object = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata}
    (found,) = overlays.judge(ours, ours | {"metadata": _live("helm")["metadata"] | metadata})
    assert found.remedy.endswith("kubectl get -n models service.serving.knative.dev/flights --show-managed-fields -o yaml")
