from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp

from tests.tidegate.local.calls import get_json, is_gone, url
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Client = aiohttp.ClientSession


async def test_hard_limit_holds_and_adds_replicas(running: Running, service: Make, client: Client, root: Path, until: Until) -> None:
    item = service(annotations={"max-scale": "2", "window": "6s"}, containerConcurrency=1)
    async with running(item) as here:
        calls = [asyncio.create_task(get_json(client, url(here, "/sleep"))) for _ in range(4)]
        await until(lambda: len(list(root.glob("asleep-*"))) == 2)
        revision = here.status()["services"]["hello"]["revisions"][0]
        assert [replica["in_flight"] for replica in revision["replicas"]] == [1, 1]
        assert revision["held"] == 2
        (root / "go").touch()
        assert len({answer["pid"] for answer in await asyncio.gather(*calls)}) == 2


async def test_idle_revision_returns_to_zero(running: Running, service: Make, client: aiohttp.ClientSession, until: Until) -> None:
    async with running(service(annotations={"window": "6s"})) as here:
        async with client.get(url(here)) as response:
            pid = (await response.json())["pid"]
        await until(lambda: not here.controller.revisions["hello-00001"].pool.replicas)
        assert here.status()["services"]["hello"]["revisions"][0]["reason"] == "no request for 6 s"
        assert is_gone(pid)


async def test_min_scale_starts_replicas_without_a_request(running: Running, service: Make, until: Until) -> None:
    async with running(service(annotations={"min-scale": "1"})) as here:
        revision = here.controller.revisions["hello-00001"]
        await until(lambda: revision.pool.ready)
        assert revision.pool.ready[0].reason == "min-scale is 1"
