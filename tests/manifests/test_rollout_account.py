"""The rollout function's service account at an API server: what it needs is allowed, and more is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

Object = dict[str, Any]
Build = Callable[..., dict[tuple[str, str], Object]]
Kubectl = Callable[..., str]

pytestmark = pytest.mark.cluster
SERVICE = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "flights"},
    "spec": {"template": {"spec": {"containers": [{"image": "dev.local/none:1"}]}}},
}


@pytest.fixture
def account(build: Build, kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl as the service account, in a namespace with a Knative Service."""
    namespace = f"tidegate-rollout-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    objects = build("rollout")
    binding = objects[("RoleBinding", "rollout")]
    binding["subjects"][0]["namespace"] = namespace
    given = [objects[("ServiceAccount", "rollout")], objects[("Role", "rollout")], binding, SERVICE]
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(given))

    def call(*arguments: str, stdin: str | None = None) -> str:
        return kubectl("-n", namespace, f"--as=system:serviceaccount:{namespace}:rollout", *arguments, stdin=stdin)

    yield call
    kubectl("delete", "namespace", namespace, "--wait=false")


def event(service: Object) -> str:
    metadata = service["metadata"]
    involved = {"apiVersion": SERVICE["apiVersion"], "kind": "Service", "name": "flights", "namespace": metadata["namespace"]}
    about = {"involvedObject": involved, "reason": "RolloutStarted", "message": "m", "type": "Normal"}
    return json.dumps({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "flights.1"}, **about})


def test_function_can_do_what_it_does(account: Kubectl) -> None:
    service = json.loads(account("get", "ksvc", "flights", "-o", "json"))
    assert json.loads(account("get", "ksvc", "-o", "json"))["items"]
    patch = {"metadata": {"resourceVersion": service["metadata"]["resourceVersion"], "annotations": {"tidegate.dev/rollout": "r"}}}
    account("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps(patch))
    account("create", "-f", "-", stdin=event(service))


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "ksvc", "flights"),
        ("create", "-f", "-"),
        ("get", "events"),
        ("get", "secrets"),
        ("get", "pods"),
        ("get", "revisions.serving.knative.dev"),
        ("get", "ksvc", "-n", "default"),
        ("get", "ksvc", "flights", "-n", "default"),
        ("delete", "role", "rollout"),
    ],
    ids=" ".join,
)
def test_more_is_refused(account: Kubectl, arguments: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"(?i)forbidden"):
        account(*arguments, stdin=json.dumps({**SERVICE, "metadata": {"name": "other"}}))
