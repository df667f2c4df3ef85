from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]


async def test_status_has_replicas_and_their_reasons(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        address = f"http://hello.localhost:{here.running.gateway.rpartition(':')[2]}"
        async with client.get(address) as response:
            assert response.status == 200
        headers = {"Authorization": f"Bearer {here.running.token()}"}
        async with client.get(f"{here.running.api}/tidegate/status", headers=headers) as response:
            status = await response.json()
        revision = status["services"]["hello"]["revisions"][0]
        assert (revision["name"], revision["percent"], revision["starts"], revision["latency_ms"]["count"]) == ("hello-00001", 100, 1, 1)
        assert revision["cold_starts"][0]["first_answer_ms"] >= revision["cold_starts"][0]["ready_ms"] > 0
        assert revision["replicas"][0]["reason"] == "a request arrived"
        if sys.platform == "linux":
            assert 1 < status["peak_rss_mib"]["hello-00001"] < 200
