"""The contract of the Knative Serving API on which the project relies, for `tidegate up` and for a real API server."""

from __future__ import annotations

import asyncio
import json
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


async def test_annotations_have_256_kib_together(api: Api) -> None:
    annotations = {f"example.com/{number}": "x" * 100_000 for number in range(3)}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"annotations": annotations}})
    assert status == 422
    assert "metadata.annotations" in body
    assert "262144 bytes" in body
    del annotations["example.com/2"]
    await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": {"annotations": annotations}})


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


def event_about(item: Object, name: str, reason: str) -> Object:
    keys = ("name", "namespace", "uid")
    involved = {"apiVersion": item["apiVersion"], "kind": "Service", **{key: item["metadata"][key] for key in keys}}
    at = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": item["metadata"]["namespace"]},
        "involvedObject": involved,
        "reason": reason,
        "message": f"{reason} happened",
        "type": "Warning",
        "source": {"component": "contract"},
        "reportingComponent": "contract",
        "reportingInstance": "",
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


@pytest.fixture
async def events(api: Api) -> AsyncIterator[Api]:
    """The calls for Events, with two about the service."""
    core, item = kubernetes.CoreV1Api(api.api_client), await get(api)
    names = {f"{NAME}.{reason.lower()}": reason for reason in ("First", "Second")}
    for name, reason in names.items():
        await call(core.create_namespaced_event, "default", event_about(item, name, reason))
    yield core
    for name in names:
        await call(core.delete_namespaced_event, name, "default")


async def test_events_about_an_object_are_selected(api: Api, events: Api) -> None:
    uid = (await get(api))["metadata"]["uid"]
    about = (
        f"source=contract,involvedObject.name={NAME},involvedObject.uid={uid},involvedObject.kind=Service,involvedObject.namespace=default"
    )
    found = await call(events.list_namespaced_event, "default", field_selector=about)
    assert {item.reason for item in found.items} == {"First", "Second"}
    for selector in ("reason=Second", "reason!=First", "source!=other,reason=Second", "type=Warning,metadata.name=contract.second"):
        found = await call(events.list_namespaced_event, "default", field_selector=f"{about},{selector}")
        assert [item.reason for item in found.items] == ["Second"], selector
    assert not (await call(events.list_namespaced_event, "default", field_selector="involvedObject.uid=none")).items
    assert (await fails(events.list_namespaced_event, "default", field_selector="message=x"))[0] == 400


async def test_event_of_the_same_name_is_a_conflict(api: Api, events: Api) -> None:
    again = event_about(await get(api), f"{NAME}.first", "First")
    assert (await fails(events.create_namespaced_event, "default", again))[0] == 409


async def test_event_in_another_namespace_than_its_object_is_invalid(api: Api, events: Api) -> None:
    other = event_about(await get(api), f"{NAME}.third", "Third")
    other["involvedObject"]["namespace"] = "other"
    assert (await fails(events.create_namespaced_event, "default", other))[0] == 422


async def test_events_are_a_table_for_people(events: Api) -> None:
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    raw = await call(
        events.list_namespaced_event, "default", field_selector=f"metadata.name={NAME}.first", _preload_content=False, _headers=headers
    )
    table = json.loads(raw.data)
    columns = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert columns == ["Last Seen", "Type", "Reason", "Object", "Message"]
    (row,) = table["rows"]
    cells = dict(zip((column["name"] for column in table["columnDefinitions"]), row["cells"], strict=True))
    assert (cells["Type"], cells["Reason"], cells["Message"]) == ("Warning", "First", "First happened")
    assert cells["Object"] == f"service/{NAME}"


async def test_rollout_is_one_write_of_annotations_and_traffic(api: Api) -> None:
    """What the rollout function writes: a large annotation and the traffic, if it has not changed since."""
    seen = await get(api)
    state = "x" * 80 * 1024
    targets = [
        {"revisionName": f"{NAME}-00001", "latestRevision": False, "percent": 95, "tag": "stable"},
        {"revisionName": f"{NAME}-00002", "latestRevision": False, "percent": 5, "tag": "canary"},
    ]
    metadata = {"resourceVersion": seen["metadata"]["resourceVersion"], "annotations": {"tidegate.dev/rollout-state": state}}
    merge = {"_content_type": "application/merge-patch+json"}
    new = await call(api.patch_namespaced_custom_object, *WHERE, NAME, {"metadata": metadata, "spec": {"traffic": targets}}, **merge)
    assert new["metadata"]["annotations"]["tidegate.dev/rollout-state"] == state
    assert [{key: value for key, value in target.items() if key != "url"} for target in new["spec"]["traffic"]] == targets
    stale = {"metadata": {**metadata, "annotations": {"tidegate.dev/rollout-state": None}}, "spec": {"traffic": targets[:1]}}
    assert (await fails(api.patch_namespaced_custom_object, *WHERE, NAME, stale, **merge))[0] == 409
    removed = {"metadata": {"annotations": {"tidegate.dev/rollout-state": None}}}
    new = await call(api.patch_namespaced_custom_object, *WHERE, NAME, removed, **merge)
    assert "tidegate.dev/rollout-state" not in new["metadata"].get("annotations", {})
    assert len(new["spec"]["traffic"]) == 2
