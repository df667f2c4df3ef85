"""The rollout function's calls, on the Kubernetes API of `tidegate up`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from kubernetes import client as kubernetes

from functions.rollout.cluster import Cluster, ClusterUnavailable
from functions.rollout.service import begin, move, rollout_of
from functions.rollout.state import Decision, Kind
from functions.rollout.update import Conflict, update
from functions.runtime.knative.client import Access
from tests.functions.rollout.examples import CANARY, STABLE, STARTED, a_policy, a_state, an_outcome
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.store import Store

TOKEN = "secret"  # noqa: S105 of the test
SERVICE: dict[str, Any] = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "flights"},
    "spec": {"template": {"spec": {"containers": [{"image": "flights"}]}}, "traffic": [{"revisionName": STABLE, "percent": 100}]},
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Access]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    async with TestServer(application(Store(), TOKEN, lambda resource, item: item)) as server:
        url = str(server.make_url("")).rstrip("/")
        settings = kubernetes.Configuration(host=url, api_key={"authorization": f"Bearer {TOKEN}"})
        objects = kubernetes.CustomObjectsApi(kubernetes.ApiClient(settings))
        await asyncio.to_thread(objects.create_namespaced_custom_object, "serving.knative.dev", "v1", "default", "services", SERVICE)
        yield Access(url, "default", token_file=tmp_path / "token")


async def test_a_rollout_is_written_into_the_service(api: Access) -> None:
    def rollout() -> None:
        cluster = Cluster(api)
        assert list(cluster.names()) == ["flights"]
        assert cluster.get("another") is None
        service = cluster.get("flights")
        assert service is not None
        state = begin(service, a_policy(), STARTED, stable=STABLE, canary=CANARY)
        cluster.patch("flights", move(service, state))
        with pytest.raises(Conflict):
            cluster.patch("flights", move(service, state))

        alarm = list(range(0, 2**32, 2**26))
        update(cluster, "flights", [an_outcome(percent=5, rollout=state.rollout, canary=alarm)], STARTED + 5)
        service = cluster.get("flights")
        assert service is not None
        assert service["spec"]["traffic"] == [{"revisionName": STABLE, "latestRevision": False, "percent": 100, "tag": "stable"}]
        rolled_back = rollout_of(service)
        assert rolled_back is not None
        assert not rolled_back.running
        cluster.close()

    await asyncio.to_thread(rollout)


async def test_an_api_that_refuses_or_is_gone_is_unavailable(api: Access, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another")
    with pytest.raises(ClusterUnavailable, match="the Kubernetes API responded 401"):
        await asyncio.to_thread(Cluster(api).get, "flights")
    with pytest.raises(ClusterUnavailable, match="the Kubernetes API cannot be reached"):
        await asyncio.to_thread(Cluster(Access("http://127.0.0.1:9", "default")).names)
    with pytest.raises(ClusterUnavailable):
        await asyncio.to_thread(Cluster(api).record, a_state(), Decision(kind=Kind.HOLD, sentence="because.", percent=5))
