from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Client = aiohttp.ClientSession


async def test_page_lists_services_as_json_and_html(running: Running, service: Make, client: Client) -> None:
    async with running(service()) as here:
        async with client.get(here.running.gateway) as response:
            assert list((await response.json())["services"]) == ["hello"]
        async with client.get(here.running.gateway, headers={"Accept": "text/html"}) as response:
            assert "hello-00001" in await response.text()


async def test_page_is_read_only(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        async with client.get(here.running.gateway) as response:
            assert list((await response.json())["services"]) == ["hello"]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with client.request(method, here.running.gateway) as response:
                assert response.status == 405
        async with client.get(here.running.gateway, headers={"Host": "evil.example"}) as response:
            assert response.status == 404
