from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tidegate.local.objects.resources import KnativeService
from tidegate.local.objects.rules import parse_manifest
from tidegate.local.objects.validation import InvalidObject

Object = dict[str, Any]
Make = Callable[..., Object]


def test_typical_manifest_is_accepted(service: Make) -> None:
    item = service(serviceAccountName="flights", enableServiceLinks=False, containerConcurrency=8, timeoutSeconds=60)
    container = item["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http1", "containerPort": 8080}],
        "livenessProbe": {"httpGet": {"path": "/live"}},
        "resources": {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 a path in a pod
    }
    item["spec"]["template"]["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    item["spec"]["traffic"] = [
        {"revisionName": "hello-00001", "percent": 90, "tag": "v1"},
        {"revisionName": "hello-00002", "percent": 10, "tag": "v2"},
    ]
    assert isinstance(parse_manifest(item), KnativeService)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec", "traffic"), [{"latestRevision": True, "percent": 90}], "Traffic targets sum to 90, want 100: spec.traffic."),
        (
            ("spec", "traffic"),
            [{"latestRevision": True, "percent": 100, "tag": "a"}, {"revisionName": "hello-1", "tag": "a"}],
            'Multiple definitions for "a"',
        ),
        (
            ("spec", "traffic"),
            [{"latestRevision": True, "revisionName": "hello-1", "percent": 100}],
            'may not set revisionName "hello-1" when latestRevision is true: spec.traffic[0].latestRevision',
        ),
        (("spec", "template", "metadata", "name"), "other-v1", '"other-v1" must have prefix "hello-"'),
        (("spec", "template", "spec", "timeoutSeconds"), 601, "expected 0 <= 601 <= 600"),
        (("metadata", "name"), "Hello_1", "a lowercase RFC 1123 subdomain consists of"),
        (("metadata", "name"), "hello.1", "not a DNS 1035 label"),
        (("metadata", "name"), "broker-ingress", "whose host receives events in tidegate up; choose another name."),
        (("metadata", "annotations"), {"autoscaling.knative.dev/min-scale": "1"}, 'must be put under "spec.template.metadata.annotations"'),
    ],
)
def test_violation_is_refused_in_the_words_of_knatives_webhook(service: Make, path: tuple[Any, ...], value: Any, message: str) -> None:
    item = copy.deepcopy(service())
    parent: Any = item
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    with pytest.raises(InvalidObject) as caught:
        parse_manifest(item)
    assert message in str(caught.value)


def test_unsupported_kind_suggests_the_nearest_one(service: Make) -> None:
    with pytest.raises(InvalidObject, match=r"did you mean Service \(serving.knative.dev/v1\)"):
        parse_manifest({**service(), "apiVersion": "serving.knative.dev/v1beta1"})
