from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from tidegate.local.up import Up

Running = Callable[..., AbstractAsyncContextManager[Up]]


async def test_group_names_the_resources_and_their_verbs(running: Running, client: aiohttp.ClientSession) -> None:
    async with running() as here:

        async def get(path: str) -> Any:
            headers = {"Authorization": f"Bearer {here.running.token()}"}
            async with client.get(here.running.api + path, headers=headers) as response:
                assert response.status == 200
                return await response.json()

        groups = {group["name"]: group for group in (await get("/apis"))["groups"]}
        assert groups["serving.knative.dev"]["preferredVersion"]["groupVersion"] == "serving.knative.dev/v1"
        assert [version["version"] for version in groups["eventing.knative.dev"]["versions"]] == ["v1", "v1alpha1"]
        resources = {item["name"]: item for item in (await get("/apis/serving.knative.dev/v1"))["resources"]}
        assert resources.keys() == {"services", "services/status", "revisions", "revisions/status"}
        assert "ksvc" in resources["services"]["shortNames"]
        assert "create" in resources["services"]["verbs"]
        assert "create" not in resources["revisions"]["verbs"]
        for version in ("v1", "v1beta1"):
            assert "kafkasources" in {item["name"] for item in (await get(f"/apis/sources.knative.dev/{version}"))["resources"]}
