from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.tidegate.local.calls import url
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.runner import Resolved
from tidegate.local.eventing.sources.bindings import Bindings, injected
from tidegate.local.objects.eventing import SinkBinding
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]


def binding(kind: str, version: str, name: str, **spec: Any) -> Object:
    whole = {"subject": {"apiVersion": version, "kind": kind, "name": name}, "sink": {"uri": "http://sink.example"}, **spec}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding", "metadata": {"name": "binding"}, "spec": whole}


def parsed(item: Object) -> SinkBinding:
    return SinkBinding.model_validate({**item, "metadata": {**item["metadata"], "namespace": "default"}})


def test_deployment_is_bound_and_unbound() -> None:
    calls: list[tuple[str, Mapping[str, str]]] = []
    bindings = Bindings(Store(), lambda name, variables: calls.append((name, variables)))
    item = parsed(binding("Deployment", "apps/v1", "worker", ceOverrides={"extensions": {"team": "a"}}))
    bindings.apply(item, Resolved())
    assert calls == []
    bindings.apply(item, Resolved(sink="http://sink.example"))
    bindings.apply(parsed(binding("Deployment", "apps/v1", "other")), Resolved(sink="http://sink.example"))
    bindings.delete("default", "binding")
    assert calls == [
        ("worker", {"K_SINK": "http://sink.example", "K_CE_OVERRIDES": '{"extensions": {"team": "a"}}'}),
        ("worker", {}),
        ("other", {"K_SINK": "http://sink.example"}),
        ("other", {}),
    ]


def test_variables_replace_those_of_an_earlier_binding() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "K_SINK", "value": "http://old"}]
    item = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": env}]}}}}
    (bound,) = injected(item, {"K_SINK": "http://new"})["spec"]["template"]["spec"]["containers"]
    assert bound["env"] == [{"name": "A", "value": "1"}, {"name": "K_SINK", "value": "http://new"}]
    (unbound,) = injected(item, {})["spec"]["template"]["spec"]["containers"]
    assert unbound["env"] == [{"name": "A", "value": "1"}]


@pytest.mark.parametrize("item", [{}, {"metadata": None}, {"metadata": {"name": "j"}}, {"metadata": {"name": "j"}, "spec": []}])
def test_invalid_object_is_left_to_admission(item: Object) -> None:
    bindings = Bindings(Store(), lambda name, variables: None)
    bindings.apply(parsed(binding("Job", "batch/v1", "j")), Resolved(sink="http://sink.example"))
    assert bindings.inject("jobs", item) == item


def test_jobs_are_bound_by_their_labels() -> None:
    bindings = Bindings(Store(), lambda name, variables: None)
    item = binding("Job", "batch/v1", "")
    selector = {"matchLabels": {"app": "batch"}, "matchExpressions": [{"key": "trial", "operator": "DoesNotExist"}]}
    item["spec"]["subject"] = {"apiVersion": "batch/v1", "kind": "Job", "selector": selector}
    bindings.apply(parsed(item), Resolved(sink="http://sink.example"))

    def sink(resource: str = "jobs", namespace: str = "default", **labels: str) -> list[Object]:
        made = {"metadata": {"name": "j", "namespace": namespace, "labels": labels}, "spec": {"template": {"spec": {"containers": [{}]}}}}
        found: list[Object] = bindings.inject(resource, made)["spec"]["template"]["spec"]["containers"][0].get("env", [])
        return found

    assert sink(app="batch") == [{"name": "K_SINK", "value": "http://sink.example"}]
    assert sink() == sink(app="batch", trial="1") == sink("services", app="batch") == sink(namespace="other", app="batch") == []
    bindings.delete("default", "binding")
    assert sink(app="batch") == []


async def test_the_job_of_an_event_has_the_sink_of_its_binding(
    running: Running, root: Path, client: aiohttp.ClientSession, until: Until
) -> None:
    command = ["python", "-c", "import os; open('sink', 'w').write(os.environ['K_SINK'])"]
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "command": command}]}
    job = {"metadata": {"labels": {"app": "batch"}}, "spec": {"template": {"spec": pod}}}
    sink = {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "metadata": {"name": "work"}, "spec": {"job": job}}
    reference = {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "work"}
    bound = binding("Job", "batch/v1", "", sink={"ref": reference})
    bound["spec"]["subject"] = {"apiVersion": "batch/v1", "kind": "Job", "selector": {"matchLabels": {"app": "batch"}}}
    async with running(sink, bound) as here:
        address = f"http://job-sink.localhost:{here.running.gateway.rpartition(':')[2]}/default/work"
        headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/demo", "ce-type": "t"}
        async with client.post(address, headers=headers) as answer:
            assert answer.status == 202
        await until(lambda: (root / "sink").exists() and (root / "sink").read_text() == address)


async def test_bound_service_gets_one_revision_with_its_sink(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    show = "import http.server, os; H = type('H', (http.server.BaseHTTPRequestHandler,), {'do_GET': lambda self: (self.send_response(200), "
    show += "self.end_headers(), self.wfile.write(('{\"sink\": \"%s\"}' % os.environ['K_SINK']).encode()))}); "
    show += "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
    item = service(command=["python", "-c", show])
    async with running(binding("Service", "serving.knative.dev/v1", "hello"), item) as here:
        async with client.get(url(here)) as response:
            assert (await response.json(content_type=None))["sink"] == "http://sink.example"
        assert list(here.controller.revisions) == ["hello-00001"]
        here.apply(item)
        assert list(here.controller.revisions) == ["hello-00001"]


async def test_rollout_of_a_deployment_brings_the_new_sink(running: Running, root: Path, until: Until) -> None:
    script = "import os, pathlib, time; pathlib.Path(os.environ.get('K_SINK', 'none').rpartition('/')[2]).touch(); time.sleep(60)"
    template = {"spec": {"containers": [{"name": "c", "command": ["python", "-c", script]}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec}
    async with running(deployment) as here:
        await until((root / "none").exists)
        for name in ("first", "second"):
            here.apply(binding("Deployment", "apps/v1", "worker", sink={"uri": f"http://sink/{name}"}))
            await until((root / name).exists)
        await until(lambda: len(here.deployments.pools["worker"].replicas) == 1)


async def test_process_of_a_container_source_has_its_sink(running: Running, service: Make, root: Path, until: Until) -> None:
    script = "import os, pathlib, time; p = pathlib.Path('half'); p.write_text(os.environ['K_SINK']); p.rename('sink'); time.sleep(60)"
    sink = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"}, "uri": "/events"}
    template = {"spec": {"containers": [{"name": "c", "image": "c", "command": ["python", "-c", script]}]}}
    item = {"apiVersion": "sources.knative.dev/v1", "kind": "ContainerSource", "metadata": {"name": "ticks"}}
    async with running({**item, "spec": {"template": template, "sink": sink}}) as here:
        assert not here.eventing.containers.pools
        here.apply(service())
        await until((root / "sink").exists)
        assert (root / "sink").read_text() == url(here, "/events")
        await until(lambda: here.eventing.containers.pools["default", "ticks"].ready)
