from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client as kubernetes

from tests.tidegate.local.calls import WHERE, call, fails, settled

Object = dict[str, Any]
Make = Callable[..., Object]


async def test_owner_of_a_revision_is_immutable(api: kubernetes.CustomObjectsApi) -> None:
    lost = {"metadata": {"labels": {"serving.knative.dev/service": None}}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", lost)
    assert status == 400
    assert "Immutable fields changed (-old +new): metadata.labels" in body


async def test_invalid_service_is_refused_as_by_a_cluster(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    bad_sum, unknown, wrong = service("a"), service("b"), service("c")
    bad_sum["spec"]["traffic"] = [{"latestRevision": True, "percent": 90}]
    unknown["spec"]["template"]["spec"]["timeoutSecond"] = 3
    wrong["spec"]["template"]["spec"]["timeoutSeconds"] = "3"
    expected = [
        (bad_sum, 400, "Traffic targets sum to 90, want 100: spec.traffic"),
        (unknown, 400, 'strict decoding error: unknown field \\"spec.template.spec.timeoutSecond\\"'),
        (wrong, 422, "must be an integer"),
    ]
    for item, status, message in expected:
        got, body = await fails(api.create_namespaced_custom_object, *WHERE, "services", item)
        assert got == status
        assert message in body


async def test_named_revision_has_one_template(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    named = service("named", version="1")
    named["spec"]["template"]["metadata"]["name"] = "named-v1"
    await call(api.create_namespaced_custom_object, *WHERE, "services", named)
    assert (await settled(api, "named"))["status"]["latestReadyRevisionName"] == "named-v1"
    changed = service("named", version="2")
    changed["spec"]["template"]["metadata"]["name"] = "named-v1"
    patch = {"spec": changed["spec"]}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "services", "named", patch)
    assert status == 400
    assert "Saw the following changes without a name change" in body


async def test_spec_of_a_revision_is_immutable(api: kubernetes.CustomObjectsApi) -> None:
    await settled(api)
    patch = {"spec": {"timeoutSeconds": 5}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", patch)
    assert status == 400
    assert "Immutable fields changed" in body
    pinned = {"metadata": {"annotations": {"serving.knative.dev/no-gc": "true"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", pinned)
