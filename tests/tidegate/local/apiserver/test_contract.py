"""The contract of the Knative Serving API on which the project relies, for `tidegate up` and for a real API server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config, dynamic, watch

from tests.tidegate.local.calls import call, fails
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Call = Callable[..., Any]
Api = Any
# These have no types.
WATCH: Call = watch.Watch
DYNAMIC: Call = dynamic.DynamicClient
WHERE = ("serving.knative.dev", "v1", "default", "services")
NAME, OTHER = "contract", "contract-other"
JSON_PATCH = {"_content_type": "application/json-patch+json"}


@pytest.fixture(params=["local", pytest.param("cluster", marks=pytest.mark.cluster)])
async def api(request: pytest.FixtureRequest, running: Running, service: Make) -> AsyncIterator[Api]:
    """The Kubernetes client on an API with the service `contract`."""
    if request.param == "local":
        async with running(service("unrelated")) as here:
            async for calls in _connected(here.running.kubeconfig, service(NAME)):
                yield calls
        return
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: name a cluster that has Knative's custom resources.")
    async for calls in _connected(os.environ["KUBECONFIG"], service(NAME)):
        yield calls


async def _connected(kubeconfig: str, item: Object) -> AsyncIterator[Api]:
    with await asyncio.to_thread(config.new_client_from_config, kubeconfig) as connection:
        calls = kubernetes.CustomObjectsApi(connection)
        for name in (NAME, OTHER):
            await _delete_if_there(calls, name)
        await call(calls.create_namespaced_custom_object, *WHERE, item)
        yield calls
        for name in (NAME, OTHER):
            await _delete_if_there(calls, name)


async def _delete_if_there(api: Api, name: str) -> None:
    try:
        await call(api.delete_namespaced_custom_object, *WHERE, name)
    except kubernetes.ApiException as error:
        if error.status != 404:
            raise


async def get(api: Api, name: str = NAME) -> Object:
    item: Object = await call(api.get_namespaced_custom_object, *WHERE, name)
    return item


async def test_write_of_an_old_version_is_a_conflict(api: Api) -> None:
    seen = await get(api)
    version = {"resourceVersion": seen["metadata"]["resourceVersion"]}
    first = {"metadata": version, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    second = {"metadata": {**version, "labels": {"c": "d"}}}
    changed = await call(api.patch_namespaced_custom_object, *WHERE, NAME, first)
    assert changed["metadata"]["generation"] == seen["metadata"]["generation"] + 1
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, NAME, second)
    assert status == 409
    assert "the object has been modified" in body
    assert (await fails(api.replace_namespaced_custom_object, *WHERE, NAME, seen))[0] == 409


async def test_replacement_without_a_version_is_invalid(api: Api) -> None:
    seen = await get(api)
    del seen["metadata"]["resourceVersion"]
    status, body = await fails(api.replace_namespaced_custom_object, *WHERE, NAME, seen)
    assert status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in body


async def test_label_keeps_the_generation_and_no_change_keeps_the_version(api: Api) -> None:
    seen = await get(api)
    labelled = await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"labels": {"a": "b"}}})
    again = await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == seen["metadata"]["generation"]
    assert labelled["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]
    assert again["metadata"]["resourceVersion"] == labelled["metadata"]["resourceVersion"]


async def test_json_patch_is_atomic(api: Api) -> None:
    version = (await get(api))["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/annotations", "value": {"writer": "me"}},
    ]
    await call(api.patch_namespaced_custom_object, *WHERE, NAME, operations, **JSON_PATCH)
    assert (await get(api))["metadata"]["annotations"] == {"writer": "me"}
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, NAME, operations, **JSON_PATCH))[0] == 422


async def test_unsupported_kind_of_patch_is_refused(api: Api) -> None:
    strategic = {"_content_type": "application/strategic-merge-patch+json"}
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, NAME, {}, **strategic))[0] == 415
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, NAME, [{}]))[0] == 400


async def test_services_are_created_listed_and_deleted(api: Api, service: Make) -> None:
    await call(api.create_namespaced_custom_object, *WHERE, service(OTHER))
    status, body = await fails(api.create_namespaced_custom_object, *WHERE, service(OTHER))
    assert status == 409
    assert f'services.serving.knative.dev \\"{OTHER}\\" already exists' in body
    items = (await call(api.list_cluster_custom_object, *WHERE[:2], "services"))["items"]
    assert {NAME, OTHER} <= {item["metadata"]["name"] for item in items}
    await call(api.delete_namespaced_custom_object, *WHERE, OTHER)
    status, body = await fails(api.get_namespaced_custom_object, *WHERE, OTHER)
    assert status == 404
    assert f'services.serving.knative.dev \\"{OTHER}\\" not found' in body


async def test_dry_run_stores_nothing(api: Api, service: Make) -> None:
    await call(api.create_namespaced_custom_object, *WHERE, service(OTHER), dry_run="All")
    assert (await fails(api.get_namespaced_custom_object, *WHERE, OTHER))[0] == 404


async def test_label_selector_filters_the_list(api: Api) -> None:
    await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"labels": {"contract": "yes"}}})
    for selector, names in (("contract=yes", [NAME]), ("contract=no", []), ("contract in (yes, no)", [NAME])):
        items = (await call(api.list_namespaced_custom_object, *WHERE, label_selector=selector))["items"]
        assert [item["metadata"]["name"] for item in items] == names
    assert (await fails(api.list_namespaced_custom_object, *WHERE, label_selector="a b"))[0] == 400


async def test_wrong_type_is_refused(api: Api, service: Make) -> None:
    status, body = await fails(api.create_namespaced_custom_object, *WHERE, service(OTHER, timeoutSeconds="3"))
    # By the schema, or by Knative's webhooks where they run, since these are called first.
    assert status in (422, 400)
    assert "template.spec.timeoutSeconds" in body


async def test_unknown_field_is_refused_by_strict_validation(api: Api, service: Make) -> None:
    status, body = await fails(api.create_namespaced_custom_object, *WHERE, service(OTHER, timeoutSecond=3), field_validation="Strict")
    assert status == 400
    assert 'strict decoding error: unknown field \\"spec.template.spec.timeoutSecond\\"' in body


async def test_watch_yields_existing_objects_and_changes(api: Api, service: Make) -> None:
    await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"labels": {"contract": "yes"}}})
    other = service(OTHER)
    other["metadata"]["labels"] = {"contract": "yes"}

    def follow() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        for event in WATCH().stream(api.list_namespaced_custom_object, *WHERE, label_selector="contract=yes", timeout_seconds=10):
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if len(seen) == 1:
                api.create_namespaced_custom_object(*WHERE, other)
            if seen[-1] == ("ADDED", OTHER):
                # For a watch of a label, an object that loses it is deleted.
                api.patch_namespaced_custom_object(*WHERE, OTHER, {"metadata": {"labels": {"contract": None}}})
            if event["type"] == "DELETED":
                break
        return seen

    seen = [event for event in await call(follow) if event[0] != "MODIFIED"]
    assert seen == [("ADDED", NAME), ("ADDED", OTHER), ("DELETED", OTHER)]


async def test_watch_continues_from_a_list_until_its_timeout(api: Api) -> None:
    listed = await call(api.list_namespaced_custom_object, *WHERE)
    options = {"resource_version": listed["metadata"]["resourceVersion"], "field_selector": f"metadata.name={NAME}", "timeout_seconds": 1}
    await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"labels": {"late": "yes"}}})
    events = await call(lambda: list(WATCH().stream(api.list_namespaced_custom_object, *WHERE, **options)))
    assert ("MODIFIED", "yes") in [(event["type"], event["object"]["metadata"].get("labels", {}).get("late")) for event in events]


async def test_dynamic_client_discovers_the_resources(api: Api) -> None:
    def names() -> list[str]:
        resource = DYNAMIC(api.api_client).resources.get(api_version="serving.knative.dev/v1", kind="Service")
        return [item.metadata.name for item in resource.get(namespace="default").items]

    assert NAME in await call(names)
