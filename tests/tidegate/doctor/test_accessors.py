from __future__ import annotations

from typing import Any

from tidegate.doctor.accessors import kubectl_name

Object = dict[str, Any]


def test_kubectl_name_has_the_group_of_the_kind() -> None:
    metadata = {"name": "flights", "namespace": "models"}
    ours: Object = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata}
    assert kubectl_name(ours) == "-n models service.serving.knative.dev/flights"
    assert kubectl_name({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "card"}}) == "configmap/card"
