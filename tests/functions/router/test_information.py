from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from common.http_client import session
from tests.functions.router.flights import service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter


async def test_the_root_reports_liveness(start_router: StartRouter) -> None:
    async with session(timeout_seconds=20) as client, client.get(await start_router()) as answer:
        assert await answer.json() == {"status": "alive"}


async def test_the_router_lists_its_models(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    broken = {"metadata": {"name": "new"}, "spec": {}}
    url = await start_router(service(1, ("v1", 90), ("v2", 10)), broken)
    async with client.get(f"{url}/v2/models/new") as answer:
        assert answer.status == 503
    async with client.get(f"{url}/v2/health/ready") as answer:
        assert answer.status == 200
    async with client.get(f"{url}/v2/models") as answer:
        models = (await answer.json())["models"]
    assert [(arm["revision"], arm["tags"], arm["percent"]) for arm in models[0]["arms"]] == [
        ("flights-v1", ["v1"], 90),
        ("flights-v2", ["v2"], 10),
    ]
    assert models[1]["name"] == "new"
    async with client.get(f"{url}/v1/models") as answer:
        assert await answer.json() == {"models": ["flights"]}


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/health/live"])
async def test_the_router_serves_its_own_endpoints(path: str, start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    async with client.get(await start_router() + path) as answer:
        assert answer.status == 200
