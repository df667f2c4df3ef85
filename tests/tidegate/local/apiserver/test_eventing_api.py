"""Eventing's kinds and Jobs by the Kubernetes API of `tidegate up`, with the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from kubernetes import client as kubernetes
from kubernetes import config, watch

from tests.tidegate.local.calls import call, fails
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.config_maps import ConfigMaps
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.controller import EventingController
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
TOKEN = "secret"  # noqa: S105 of the test
WATCH: Callable[..., Any] = watch.Watch
URI = {"uri": "http://sink.example"}
POD = {"spec": {"containers": [{"name": "c", "image": "c", "command": ["python", "-c", "pass"]}], "restartPolicy": "Never"}}
TRIGGERS = ("eventing.knative.dev", "v1", "default", "triggers")
KINDS = {
    "brokers": ("eventing.knative.dev", "v1", "Broker", {}, {"delivery": {"retry": 2}}),
    "triggers": ("eventing.knative.dev", "v1", "Trigger", {"broker": "b", "subscriber": URI}, {"filters": [{"exact": {"type": "a"}}]}),
    "kafkasinks": (
        "eventing.knative.dev",
        "v1alpha1",
        "KafkaSink",
        {"topic": "t", "bootstrapServers": ["k:9092"]},
        {"contentMode": "structured"},
    ),
    "pingsources": ("sources.knative.dev", "v1", "PingSource", {"sink": URI, "schedule": "0 0 1 1 *"}, {"data": "x"}),
    "kafkasources": (
        "sources.knative.dev",
        "v1beta1",
        "KafkaSource",
        {"sink": URI, "topics": ["t"], "bootstrapServers": ["k:9092"]},
        {"consumers": 2},
    ),
    "sinkbindings": (
        "sources.knative.dev",
        "v1",
        "SinkBinding",
        {"sink": URI, "subject": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}},
        {"ceOverrides": {"extensions": {"a": "b"}}},
    ),
    "apiserversources": (
        "sources.knative.dev",
        "v1",
        "ApiServerSource",
        {"sink": URI, "resources": [{"apiVersion": "serving.knative.dev/v1", "kind": "Service"}]},
        {"mode": "Resource"},
    ),
    "jobsinks": ("sinks.knative.dev", "v1alpha1", "JobSink", {"job": {"spec": {"template": POD}}}, {"job": {"spec": {"backoffLimit": 1}}}),
    "sequences": ("flows.knative.dev", "v1", "Sequence", {"steps": [URI]}, {"reply": URI}),
    "parallels": ("flows.knative.dev", "v1", "Parallel", {"branches": [{"subscriber": URI}]}, {"reply": URI}),
    "jobs": ("batch", "v1", "Job", {"template": POD, "suspend": True}, {"parallelism": 2}),
}


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def api(store: Store) -> AsyncIterator[str]:
    """The address of the API, with the controller of Eventing and without what runs its objects."""
    EventingController(store, 8080).start()
    async with TestServer(application(store, TOKEN, lambda resource, item: item)) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def connection(api: str) -> AsyncIterator[kubernetes.ApiClient]:
    settings = kubernetes.Configuration(host=api, api_key={"authorization": f"Bearer {TOKEN}"})
    with await asyncio.to_thread(kubernetes.ApiClient, settings) as connected:
        yield connected


@pytest.fixture
def custom(connection: kubernetes.ApiClient) -> kubernetes.CustomObjectsApi:
    return kubernetes.CustomObjectsApi(connection)


def trigger(name: str = "t", **spec: Any) -> Object:
    whole = {"broker": "b", "subscriber": URI, **spec}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": whole}


async def reason(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str, str]:
    """Status, reason and message of a call that fails."""
    status, body = await fails(function, *arguments, **options)
    found = json.loads(body)
    return status, found["reason"], found["message"]


@pytest.mark.parametrize("plural", KINDS)
async def test_object_is_created_listed_changed_and_deleted(custom: kubernetes.CustomObjectsApi, plural: str) -> None:
    group, version, kind, spec, change = KINDS[plural]
    where = (group, version, "default", plural)
    item = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "it"}, "spec": spec}
    created = await call(custom.create_namespaced_custom_object, *where, item)
    assert (created["apiVersion"], created["kind"], created["metadata"]["generation"]) == (f"{group}/{version}", kind, 1)
    listed = await call(custom.list_namespaced_custom_object, *where)
    assert listed["kind"] == f"{kind}List"
    assert [found["metadata"]["name"] for found in listed["items"]] == ["it"]
    changed = await call(custom.patch_namespaced_custom_object, *where, "it", {"spec": change})
    assert changed["metadata"]["generation"] == 2
    found = await call(custom.get_namespaced_custom_object_status, *where, "it")
    assert plural == "jobs" or found["status"]["observedGeneration"] == 2
    assert plural == "jobs" or "Ready" in {condition["type"] for condition in found["status"]["conditions"]}
    found["metadata"]["labels"] = {"a": "b"}
    assert (await call(custom.replace_namespaced_custom_object, *where, "it", found))["metadata"]["labels"]["a"] == "b"
    await call(custom.delete_namespaced_custom_object, *where, "it")
    assert (await reason(custom.get_namespaced_custom_object, *where, "it"))[:2] == (404, "NotFound")


async def test_job_runs_by_the_typed_client(running: Running) -> None:
    async with running() as here:
        with await asyncio.to_thread(config.new_client_from_config, here.running.kubeconfig) as connected:
            await _run_a_job(kubernetes.BatchV1Api(connected))


async def _run_a_job(jobs: kubernetes.BatchV1Api) -> None:
    item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "hello-"}, "spec": {"template": POD}}
    created = await call(jobs.create_namespaced_job, "default", item)
    assert created.metadata.name.startswith("hello-")
    assert len(created.metadata.name) == len("hello-") + 5

    def wait() -> Any:
        for event in WATCH().stream(jobs.list_namespaced_job, "default", timeout_seconds=20):
            if event["object"].status.succeeded:
                return event["object"]
        raise TimeoutError

    done = await call(wait)
    assert (done.spec.backoff_limit, done.spec.completions, done.status.succeeded) == (6, 1, 1)
    assert "Complete" in {condition.type for condition in done.status.conditions}
    patched = await call(jobs.patch_namespaced_job, created.metadata.name, "default", {"metadata": {"labels": {"a": "b"}}})
    assert patched.metadata.labels == {"a": "b"}


@pytest.mark.parametrize(
    ("item", "status", "cause", "message"),
    [
        (trigger(filters=[{"exakt": {}}]), 400, "BadRequest", 'strict decoding error: unknown field "spec.filters[0].exakt"'),
        (trigger(filters=[{"cesql": "a = 'b'"}]), 422, "Invalid", 'Trigger.eventing.knative.dev "t" is invalid: spec.filters[0].cesql'),
        (trigger(broker=""), 400, "BadRequest", 'admission webhook "validation.webhook.eventing.knative.dev" denied the request'),
        ({**trigger(), "kind": "Broker"}, 400, "BadRequest", "the object is Broker of eventing.knative.dev/v1, want Trigger"),
        (trigger("Upper"), 422, "Invalid", "a lowercase RFC 1123 subdomain consists of"),
        ({"spec": None}, 400, "BadRequest", "the object is None of None, want Trigger"),
        ({**trigger(), "metadata": ["x"]}, 400, "BadRequest", "the metadata of the object is not a mapping"),
    ],
    ids=["field", "cesql", "broker", "kind", "name", "empty", "metadata"],
)
async def test_invalid_object_is_refused_as_on_a_cluster(
    custom: kubernetes.CustomObjectsApi, item: Object, status: int, cause: str, message: str
) -> None:
    found = await reason(custom.create_namespaced_custom_object, *TRIGGERS, item)
    assert found[:2] == (status, cause)
    assert message in found[2]
    assert (await call(custom.list_namespaced_custom_object, *TRIGGERS))["items"] == []


@pytest.mark.parametrize(
    ("plural", "change"),
    [
        ("triggers", {"broker": "other"}),
        ("brokers", {"config": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}}),
        ("kafkasinks", {"topic": "other"}),
        ("kafkasources", {"consumerGroup": "other"}),
    ],
)
async def test_immutable_field_cannot_be_changed(custom: kubernetes.CustomObjectsApi, plural: str, change: Object) -> None:
    group, version, kind, spec, _ = KINDS[plural]
    where = (group, version, "default", plural)
    item = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "it"}, "spec": spec}
    await call(custom.create_namespaced_custom_object, *where, item)
    status, _, message = await reason(custom.patch_namespaced_custom_object, *where, "it", {"spec": change})
    assert status == 400
    assert f"Immutable fields changed (-old +new): spec.{next(iter(change))}" in message


async def test_template_of_a_job_is_immutable(connection: kubernetes.ApiClient) -> None:
    jobs = kubernetes.BatchV1Api(connection)
    item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": POD, "suspend": True}}
    await call(jobs.create_namespaced_job, "default", item)
    change = {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    status, _, message = await reason(jobs.patch_namespaced_job, "j", "default", change)
    assert (status, message) == (422, 'Job.batch "j" is invalid: spec.template: field is immutable')


async def test_config_map_is_created_and_changed_until_it_is_immutable(connection: kubernetes.ApiClient, store: Store) -> None:
    core = kubernetes.CoreV1Api(connection)
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}}
    await call(core.create_namespaced_config_map, "default", item)
    found = ConfigMaps(store)
    assert dict(found) == {"settings": {"a": "1", "b": "2"}}
    await call(core.patch_namespaced_config_map, "settings", "default", {"data": {"a": None, "c": "3"}, "immutable": True})
    assert found["settings"] == {"b": "2", "c": "3"}
    assert [item.metadata.name for item in (await call(core.list_namespaced_config_map, "default")).items] == ["settings"]
    status, _, message = await reason(core.patch_namespaced_config_map, "settings", "default", {"data": {"b": "4"}})
    assert (status, message[:33]) == (422, 'ConfigMap "settings" is invalid: ')
    await call(core.delete_namespaced_config_map, "settings", "default")
    assert len(found) == 0


async def test_role_may_have_a_colon_in_its_name(connection: kubernetes.ApiClient) -> None:
    roles = kubernetes.RbacAuthorizationV1Api(connection)
    item = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "system:router"}, "rules": []}
    assert (await call(roles.create_namespaced_role, "default", item)).metadata.name == "system:router"


async def test_names_are_by_namespace_except_for_services(custom: kubernetes.CustomObjectsApi, service: Make) -> None:
    for namespace in ("default", "other"):
        await call(custom.create_namespaced_custom_object, "eventing.knative.dev", "v1", namespace, "triggers", trigger())
    both = await call(custom.list_cluster_custom_object, "eventing.knative.dev", "v1", "triggers")
    assert [item["metadata"]["namespace"] for item in both["items"]] == ["default", "other"]
    await call(custom.create_namespaced_custom_object, "serving.knative.dev", "v1", "default", "services", service("a"))
    found = await reason(custom.create_namespaced_custom_object, "serving.knative.dev", "v1", "other", "services", service("a"))
    assert found[:2] == (409, "AlreadyExists")


async def test_watch_shows_when_a_trigger_gets_its_subscriber(custom: kubernetes.CustomObjectsApi, store: Store, service: Make) -> None:
    subscriber = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"}}
    await call(custom.create_namespaced_custom_object, *TRIGGERS, trigger(subscriber=subscriber))
    seen = await call(custom.get_namespaced_custom_object, *TRIGGERS, "t")
    assert "subscriberUri" not in seen["status"]

    def wait() -> str:
        version = seen["metadata"]["resourceVersion"]
        for event in WATCH().stream(custom.list_namespaced_custom_object, *TRIGGERS, resource_version=version, timeout_seconds=20):
            if url := event["object"]["status"].get("subscriberUri"):
                return str(url)
        raise TimeoutError

    waiting = asyncio.create_task(call(wait))
    await call(custom.create_namespaced_custom_object, "serving.knative.dev", "v1", "default", "services", service())
    store.update_status("services", "hello", {"address": {"url": "http://hello.localhost:8080"}})
    assert await waiting == "http://hello.localhost:8080"


async def test_status_is_written_by_controllers_only(custom: kubernetes.CustomObjectsApi) -> None:
    await call(custom.create_namespaced_custom_object, *TRIGGERS, {**trigger(), "status": {"subscriberUri": "http://forged"}})
    seen = await call(custom.patch_namespaced_custom_object, *TRIGGERS, "t", {"status": {"subscriberUri": "http://forged"}})
    assert seen["status"]["subscriberUri"] == URI["uri"]
    change = {"status": {"subscriberUri": "http://forged"}}
    assert (await reason(custom.patch_namespaced_custom_object_status, *TRIGGERS, "t", change))[0] == 405


@pytest.mark.parametrize("depth", [200, 900, 5000])
async def test_deeply_nested_object_is_an_error_of_the_caller(api: str, client: aiohttp.ClientSession, depth: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    item = json.dumps({**trigger(), "status": "x"}).replace('"x"', '{"a":' * depth + "1" + "}" * depth)
    async with client.post(f"{api}/apis/eventing.knative.dev/v1/namespaces/default/triggers", data=item, headers=headers) as response:
        assert response.status == (201 if depth < 255 else 400)


async def test_kubectl_finds_that_fields_are_validated(api: str, client: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.get(f"{api}/openapi/v3", headers=headers) as response:
        paths = (await response.json())["paths"]
    async with client.get(api + paths["apis/batch/v1"]["serverRelativeURL"], headers=headers) as response:
        (operations,) = (await response.json())["paths"].values()
    assert operations["patch"]["x-kubernetes-group-version-kind"] == {"group": "batch", "version": "v1", "kind": "Job"}
    assert "fieldValidation" in {parameter["name"] for parameter in operations["patch"]["parameters"]}
