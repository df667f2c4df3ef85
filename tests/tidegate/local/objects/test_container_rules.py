from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.objects.container_rules import check_container, check_revision
from tidegate.local.objects.podspec import PodSpec, RevisionSpec
from tidegate.local.objects.validation import InvalidObject, parse

WHERE = "spec.template.spec"


def revision(container: dict[str, Any], **spec: Any) -> RevisionSpec:
    return parse(RevisionSpec, {"containers": [{"image": "hello", **container}], **spec})


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"lifecycle": {"preStop": {}}}, "is an unknown field of a Knative Service"),
        ({"ports": [{"name": "grpc"}]}, "Port name grpc is not allowed"),
        ({"ports": [{"containerPort": 9090}]}, "9090 is a reserved port"),
        ({"ports": [{}, {}]}, "more than one container port is set"),
        ({"env": [{"name": "PORT"}]}, '"PORT" is a reserved environment variable'),
        ({"env": [{"name": "A"}, {"name": "A"}]}, 'env[1] is a duplicate value: {"name":"A"}'),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}, "volumeMount has no matching volume"),  # noqa: S108 a path in a pod
        (
            {"readinessProbe": {"httpGet": {"path": "/"}, "timeoutSeconds": 3}},
            "timeoutSeconds is disallowed when periodSeconds is zero",
        ),
        (
            {"readinessProbe": {"httpGet": {"path": "/"}, "failureThreshold": 3}},
            "failureThreshold is disallowed when periodSeconds is zero",
        ),
        ({"readinessProbe": {"exec": {"command": ["true"]}}}, "use httpGet or tcpSocket"),
        ({"readinessProbe": {"grpc": {"port": 1}}}, "use httpGet or tcpSocket"),
    ],
)
def test_invalid_container_of_a_revision_is_refused(container: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        check_revision(revision(container), WHERE)
    assert message in str(caught.value)
    assert f"{WHERE}." in str(caught.value)


def test_unmounted_volume_is_refused() -> None:
    with pytest.raises(InvalidObject, match='volume with name "tmp" not mounted'):
        check_revision(revision({}, volumes=[{"name": "tmp", "emptyDir": {}}]), WHERE)


def test_relative_mount_path_is_refused() -> None:
    mounted = revision({"volumeMounts": [{"name": "tmp", "mountPath": "tmp"}]}, volumes=[{"name": "tmp", "emptyDir": {}}])
    with pytest.raises(InvalidObject, match=r"invalid value: tmp: .*volumeMounts\[0\]\.mountPath"):
        check_revision(mounted, WHERE)


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"image": "a"}, {"image": "b"}]},
        {"containers": [{"image": "a"}], "initContainers": [{"image": "b"}]},
    ],
)
def test_second_container_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject, match=r"^spec\.template\.spec\.containers has more than one container: .*; keep one\.$"):
        check_container(parse(PodSpec, spec), WHERE)


def test_container_without_image_and_command_is_refused() -> None:
    with pytest.raises(InvalidObject, match=r"containers\[0\]\.image is missing; name the image of the function, or set command\.$"):
        check_container(parse(PodSpec, {"containers": [{"name": "a"}]}), WHERE)
    assert check_container(parse(PodSpec, {"containers": [{"command": ["true"]}]}), WHERE).command == ["true"]
