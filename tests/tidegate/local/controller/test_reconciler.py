from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client as kubernetes

from functions.runtime.knative.objects import condition
from tests.tidegate.local.calls import WHERE, call, settled
from tidegate.local.apiserver import conditions
from tidegate.local.controller.reconciler import is_ready, next_revision, revision_status, service_of

Object = dict[str, Any]
Make = Callable[..., Object]


async def test_service_at_zero_is_ready_with_its_address(api: kubernetes.CustomObjectsApi) -> None:
    status = (await settled(api))["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"ConfigurationsReady": "True", "Ready": "True", "RoutesReady": "True"}
    assert status["traffic"] == [{"revisionName": "hello-00001", "latestRevision": True, "percent": 100}]
    assert status["url"].startswith("http://hello.localhost:")
    assert status["latestReadyRevisionName"] == "hello-00001"


async def test_traffic_to_a_missing_revision_keeps_the_routes(api: kubernetes.CustomObjectsApi) -> None:
    before = (await settled(api))["status"]["traffic"]
    patch = {"spec": {"traffic": [{"revisionName": "hello-00009", "percent": 100}]}}
    await call(api.patch_namespaced_custom_object, *WHERE, "services", "hello", patch)
    status = (await settled(api))["status"]
    routes = next(condition for condition in status["conditions"] if condition["type"] == "RoutesReady")
    assert (routes["status"], routes["reason"]) == ("False", "RevisionMissing")
    assert status["traffic"] == before


def test_template_without_changes_creates_no_revision(service: Make) -> None:
    item = {**service(), "metadata": {"name": "hello", "namespace": "models"}}
    first = next_revision(item, [], {})
    assert first is not None
    assert first["metadata"]["name"] == "hello-00001"
    assert first["metadata"]["namespace"] == "models"
    assert service_of(first) == "hello"
    assert next_revision(item, [first], {"hello-00001": item["spec"]["template"]}) is None
    second = next_revision(item, [first], {"hello-00001": {}})
    assert second is not None
    assert second["metadata"]["name"] == "hello-00002"


def test_revision_is_ready_until_it_fails() -> None:
    revision = {"metadata": {"generation": 1}}
    assert is_ready(revision)
    assert is_ready({"status": revision_status(revision, None, 0, 0)})
    assert not is_ready({"status": revision_status(revision, "it cannot be started", 0, 1)})


def test_transition_time_changes_with_the_status_only(monkeypatch: pytest.MonkeyPatch) -> None:
    revision: Object = {"metadata": {"generation": 1}}
    times = []
    for now, problem in (("first", None), ("second", None), ("third", "it cannot be started"), ("fourth", "another cause")):
        monkeypatch.setattr(conditions, "now", lambda now=now: now)
        revision["status"] = revision_status(revision, problem, 0, 1)
        ready = condition(revision, "Ready")
        assert ready is not None
        times.append(ready["lastTransitionTime"])
    assert times == ["first", "first", "third", "third"]
