from __future__ import annotations

from kubernetes import client as kubernetes

from tests.tidegate.local.calls import WHERE, call, settled


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
