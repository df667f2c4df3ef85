"""Limits of request bodies, and of the JSON that the router parses."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import aiohttp
import orjson
from aiohttp import web

from common.http_client import session
from tests.functions.router.flights import BATCH, INFER, batch, measure, rows, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


async def test_a_body_above_the_limit_is_refused(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(1, ("v1", 100)), max_body_bytes=10)
    async with client.post(f"{url}/v2/models/flights/infer", data=b"x" * 11) as answer:
        assert answer.status == 413


async def test_json_to_parse_is_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(measure), "v1", "v2"), max_json_bytes=1_000)
    structured = orjson.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "x" * 1_000})
    async with session(timeout_seconds=20) as client:
        for path, body, headers in (
            ("/models/flights", batch(50), BATCH),
            ("/models/flights", structured, {"content-type": "application/cloudevents+json"}),
            (INFER, rows(100), {}),
        ):
            async with client.post(url + path, data=body, headers=headers) as answer:
                assert answer.status == 413
                assert "bytes of JSON, more than the limit of 1000; send several requests." in await answer.text()
        # What only passes by meets its model's limit: tensors without keys, a binary event, and anything for one arm.
        binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "application/json"}
        for path, body, headers in (
            (INFER, b'{"x":"%s"}' % (b"x" * 2_000), {}),
            ("/models/flights", b'"%s"' % (b"x" * 2_000), binary),
            ("/models/flights", batch(50), {**BATCH, "Tidegate-Routing-Key": "k"}),
        ):
            async with client.post(url + path, data=body, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"bytes": len(body)})


async def test_lists_and_objects_are_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(measure), "v1", "v2"))
    wide = b'{"parameters":{"routing_keys":["a"]},"inputs":[{}' + b",{}" * 500_000 + b"]}"
    async with session(timeout_seconds=20) as client, client.post(url + INFER, data=io.BytesIO(wide)) as answer:
        assert answer.status == 413
        assert "more than 400000 lists and objects" in (await answer.json())["error"]


async def test_bodies_of_all_callers_are_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arrived.set()
        await release.wait()
        return web.json_response({"bytes": len(body)})

    url = await start_router(service(await start_server(slow), "v1"), max_waiting_bytes=1_000)
    async with session(timeout_seconds=20) as client:

        async def send(size: int) -> tuple[int, str | None]:
            async with client.post(url + INFER, data=b"x" * size) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After")

        first = asyncio.create_task(send(5_000))  # alone it is never refused
        await arrived.wait()
        assert await send(1) == (429, "1")
        async with client.get(f"{url}/metrics") as answer:
            assert "\ntidegate_router_body_bytes 5000.0\n" in await answer.text()
        release.set()
        assert await first == (200, None)
        assert await send(1) == (200, None)
