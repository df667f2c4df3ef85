from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client as kubernetes

from tests.tidegate.local.calls import WHERE, call, settled

Object = dict[str, Any]
Make = Callable[..., Object]


async def test_only_a_changed_template_creates_a_revision(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    traffic = [{"revisionName": "hello-00001", "percent": 100}, {"latestRevision": True, "tag": "new"}]
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"spec": {"traffic": traffic}})
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"metadata": {"labels": {"a": "b"}}})
    assert (await settled(api))["status"]["latestCreatedRevisionName"] == "hello-00001"
    changed = {"spec": {"template": service(version="2")["spec"]["template"]}}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", changed)
    status = (await settled(api))["status"]
    assert status["latestReadyRevisionName"] == "hello-00002"
    assert [target["revisionName"] for target in status["traffic"]] == ["hello-00001", "hello-00002"]
    assert status["traffic"][1]["url"].startswith("http://new-hello.localhost:")
    revisions = await call(api.list_namespaced_custom_object, *WHERE, "revisions", label_selector="serving.knative.dev/service=hello")
    assert [item["metadata"]["name"] for item in revisions["items"]] == ["hello-00001", "hello-00002"]


async def test_labels_on_a_revision_create_no_other(api: kubernetes.CustomObjectsApi) -> None:
    noted = {"metadata": {"labels": {"team": "a"}, "annotations": {"serving.knative.dev/no-gc": "true"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", noted)
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"metadata": {"labels": {"a": "b"}}})
    revisions = await call(api.list_namespaced_custom_object, *WHERE, "revisions")
    assert [item["metadata"]["name"] for item in revisions["items"]] == ["hello-00001"]
    assert revisions["items"][0]["metadata"]["labels"]["team"] == "a"


async def test_name_of_an_old_revision_is_a_conflict(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    for version in ("2", "3"):
        changed = service(version=version)
        changed["spec"]["template"]["metadata"]["name"] = "hello-00001" if version == "3" else None
        await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"spec": changed["spec"]})
    status = (await settled(api))["status"]
    conditions = {condition["type"]: condition.get("reason") for condition in status["conditions"]}
    assert conditions == {"ConfigurationsReady": "RevisionFailed", "Ready": "RevisionNameTaken", "RoutesReady": "RevisionNameTaken"}
    assert status["latestCreatedRevisionName"] == "hello-00002"
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"spec": {"template": {"metadata": {"name": "hello-new"}}}})
    assert (await settled(api))["status"]["latestReadyRevisionName"] == "hello-new"
