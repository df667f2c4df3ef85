"""The official client works on the API unchanged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config, dynamic, watch

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Call = Callable[..., Any]
# They have no types.
WATCH: Call = watch.Watch
DYNAMIC: Call = dynamic.DynamicClient
WHERE = ("serving.knative.dev", "v1", "default")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("kubernetes").setLevel(logging.WARNING)


@pytest.fixture
async def api(running: Running, service: Make) -> AsyncIterator[kubernetes.CustomObjectsApi]:
    async with running(service()) as here:
        with await asyncio.to_thread(config.new_client_from_config, here.running.kubeconfig) as connection:
            yield kubernetes.CustomObjectsApi(connection)


async def call(function: Call, *arguments: Any, **options: Any) -> Any:
    return await asyncio.to_thread(partial(function, *arguments, **options))


async def fails(function: Call, *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(kubernetes.ApiException) as caught:
        await call(function, *arguments, **options)
    return caught.value.status, str(caught.value.body)


async def get(api: kubernetes.CustomObjectsApi, name: str = "hello") -> Object:
    item: Object = await call(api.get_namespaced_custom_object, *WHERE, "services", name)
    return item


async def settled(api: kubernetes.CustomObjectsApi, name: str = "hello") -> Object:
    """The service when its status is of its newest generation."""
    async with asyncio.timeout(10):
        while True:
            item = await get(api, name)
            if item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]:
                return item


async def test_a_service_is_ready_at_zero_with_its_address(api: kubernetes.CustomObjectsApi) -> None:
    status = (await settled(api))["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"ConfigurationsReady": "True", "Ready": "True", "RoutesReady": "True"}
    assert status["traffic"] == [{"revisionName": "hello-00001", "latestRevision": True, "percent": 100}]
    assert status["url"].startswith("http://hello.localhost:")
    assert status["latestReadyRevisionName"] == "hello-00001"


async def test_a_changed_template_makes_a_revision_and_nothing_else_does(api: kubernetes.CustomObjectsApi, service: Make) -> None:
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


async def test_traffic_to_a_revision_that_is_missing_leaves_the_former_routing(api: kubernetes.CustomObjectsApi) -> None:
    before = (await settled(api))["status"]["traffic"]
    patch = {"spec": {"traffic": [{"revisionName": "hello-00009", "percent": 100}]}}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", patch)
    status = (await settled(api))["status"]
    routes = next(condition for condition in status["conditions"] if condition["type"] == "RoutesReady")
    assert (routes["status"], routes["reason"]) == ("False", "RevisionMissing")
    assert status["traffic"] == before


async def test_of_two_writers_the_slower_one_gets_a_conflict(api: kubernetes.CustomObjectsApi) -> None:
    seen = await settled(api)
    version = {"resourceVersion": seen["metadata"]["resourceVersion"]}
    first = {"metadata": {**version, "annotations": {"writer": "first"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", first)
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "services", "hello", first)
    assert status == 409
    assert "the object has been modified" in body
    assert (await fails(api.replace_namespaced_custom_object, *WHERE, "services", "hello", seen))[0] == 409


async def test_a_json_patch_is_applied_or_refused_as_a_whole(api: kubernetes.CustomObjectsApi) -> None:
    version = (await settled(api))["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/annotations", "value": {"writer": "me"}},
    ]
    json_patch = {"_content_type": "application/json-patch+json"}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", operations, **json_patch)
    assert (await get(api))["metadata"]["annotations"] == {"writer": "me"}
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, "services", "hello", operations, **json_patch))[0] == 422
    strategic = {"_content_type": "application/strategic-merge-patch+json"}
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {}, **strategic))[0] == 415


async def test_services_come_and_go(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    await call(api.create_namespaced_custom_object, *WHERE, "services", service("other"))
    assert (await fails(api.create_namespaced_custom_object, *WHERE, "services", service("other")))[0] == 409
    await settled(api, "other")
    items = (await call(api.list_cluster_custom_object, *WHERE[:2], "services"))["items"]
    assert [item["metadata"]["name"] for item in items] == ["hello", "other"]
    await call(api.delete_namespaced_custom_object, *WHERE, "services", "other")
    status, body = await fails(api.get_namespaced_custom_object, *WHERE, "services", "other")
    assert status == 404
    assert 'services.serving.knative.dev \\"other\\" not found' in body


async def test_what_a_cluster_refuses_is_refused(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    bad_sum, unknown, wrong = service("a"), service("b"), service("c")
    bad_sum["spec"]["traffic"] = [{"latestRevision": True, "percent": 90}]
    unknown["spec"]["template"]["spec"]["timeoutSecond"] = 3
    wrong["spec"]["template"]["spec"]["timeoutSeconds"] = "3"
    expected = [
        (bad_sum, 400, "Traffic targets sum to 90, want 100: spec.traffic"),
        (unknown, 400, 'strict decoding error: unknown field \\"spec.template.spec.timeoutSecond\\"'),
        (wrong, 422, "must be a whole number"),
    ]
    for item, status, message in expected:
        got, body = await fails(api.create_namespaced_custom_object, *WHERE, "services", item)
        assert got == status
        assert message in body


async def test_a_name_that_the_user_chose_stands_for_one_template(api: kubernetes.CustomObjectsApi, service: Make) -> None:
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


async def test_a_revision_is_immutable(api: kubernetes.CustomObjectsApi) -> None:
    await settled(api)
    patch = {"spec": {"timeoutSeconds": 5}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", patch)
    assert status == 400
    assert "Immutable fields changed" in body
    pinned = {"metadata": {"annotations": {"serving.knative.dev/no-gc": "true"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", pinned)


async def test_a_watch_sees_what_is_and_what_comes(api: kubernetes.CustomObjectsApi, service: Make) -> None:
    await settled(api)

    def follow() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        stream = WATCH().stream(api.list_namespaced_custom_object, *WHERE, "services", timeout_seconds=10)
        for event in stream:
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if event["type"] == "ADDED" and len(seen) == 1:
                api.create_namespaced_custom_object(*WHERE, "services", service("other"))
            if seen[-1] == ("ADDED", "other"):
                api.delete_namespaced_custom_object(*WHERE, "services", "other")
            if event["type"] == "DELETED":
                break
        return seen

    seen = await call(follow)
    assert seen[0] == ("ADDED", "hello")
    assert ("ADDED", "other") in seen
    assert seen[-1] == ("DELETED", "other")


async def test_a_watch_ends_in_time(api: kubernetes.CustomObjectsApi) -> None:
    version = (await settled(api))["metadata"]["resourceVersion"]
    stream = partial(WATCH().stream, api.list_cluster_custom_object, *WHERE[:2], "services", resource_version=version, timeout_seconds=1)
    assert await call(lambda: list(stream())) == []


async def test_the_dynamic_client_finds_its_way(api: kubernetes.CustomObjectsApi) -> None:
    def names() -> list[str]:
        resource = DYNAMIC(api.api_client).resources.get(api_version="serving.knative.dev/v1", kind="Service")
        return [item.metadata.name for item in resource.get(namespace="default").items]

    assert await call(names) == ["hello"]
