"""What Knative's controllers and webhook do, as a client of the API sees it; test_contract.py has what any API server does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import aiohttp
import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Call = Callable[..., Any]
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


async def test_what_is_noted_on_a_revision_makes_no_other(api: kubernetes.CustomObjectsApi) -> None:
    noted = {"metadata": {"labels": {"team": "a"}, "annotations": {"serving.knative.dev/no-gc": "true"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", noted)
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", {"metadata": {"labels": {"a": "b"}}})
    revisions = await call(api.list_namespaced_custom_object, *WHERE, "revisions")
    assert [item["metadata"]["name"] for item in revisions["items"]] == ["hello-00001"]
    assert revisions["items"][0]["metadata"]["labels"]["team"] == "a"


async def test_whose_a_revision_is_stays(api: kubernetes.CustomObjectsApi) -> None:
    lost = {"metadata": {"labels": {"serving.knative.dev/service": None}}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", lost)
    assert status == 400
    assert "Immutable fields changed (-old +new): metadata.labels" in body


async def test_traffic_to_a_revision_that_is_missing_leaves_the_former_routing(api: kubernetes.CustomObjectsApi) -> None:
    before = (await settled(api))["status"]["traffic"]
    patch = {"spec": {"traffic": [{"revisionName": "hello-00009", "percent": 100}]}}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", patch)
    status = (await settled(api))["status"]
    routes = next(condition for condition in status["conditions"] if condition["type"] == "RoutesReady")
    assert (routes["status"], routes["reason"]) == ("False", "RevisionMissing")
    assert status["traffic"] == before


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


async def test_the_name_of_an_old_revision_is_taken(api: kubernetes.CustomObjectsApi, service: Make) -> None:
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


async def test_a_patch_with_an_unknown_field_is_the_patchs_fault(api: kubernetes.CustomObjectsApi) -> None:
    patch = {"spec": {"template": {"spec": {"timeoutSecond": 3}}}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "services", "hello", patch)
    assert (status, json.loads(body)["reason"]) == (422, "Invalid")
    assert 'strict decoding error: unknown field \\"spec.template.spec.timeoutSecond\\"' in body


async def test_a_revision_is_immutable(api: kubernetes.CustomObjectsApi) -> None:
    await settled(api)
    patch = {"spec": {"timeoutSeconds": 5}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", patch)
    assert status == 400
    assert "Immutable fields changed" in body
    pinned = {"metadata": {"annotations": {"serving.knative.dev/no-gc": "true"}}}
    await call(api.patch_namespaced_custom_object, *WHERE, "revisions", "hello-00001", pinned)


async def test_no_web_page_can_make_a_service(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        address = f"{here.running.api}/apis/serving.knative.dev/v1/namespaces/default/services"
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:80"}):
            async with client.post(address, data=json.dumps(service("evil")), headers=headers) as response:
                assert response.status == 403
        assert list(here.status()["services"]) == ["hello"]
