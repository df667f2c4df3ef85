"""Failures of a revision, and of the platform in its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from tests.functions.router.flights import service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


@pytest.mark.parametrize(
    ("status", "text", "expected", "sentence"),
    [
        (502, "EOF\n", 503, "revision flights-v1 is unreachable (EOF); retry"),
        (503, "pending request queue full\n", 503, "revision flights-v1 is unreachable (pending request queue full)"),
        (504, "request timeout", 504, "revision flights-v1 timed out (request timeout); send less at once"),
    ],
)
async def test_an_error_of_the_platform_is_a_sentence(
    status: int,
    text: str,
    expected: int,
    sentence: str,
    start_server: StartServer,
    start_router: StartRouter,
    client: aiohttp.ClientSession,
) -> None:
    async def platform(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    url = await start_router(service(await start_server(platform), ("v1", 100)))
    async with client.post(f"{url}/v2/models/flights/infer", data=b"{}") as answer:
        assert answer.status == expected
        assert sentence in (await answer.json())["error"]


async def test_an_unreachable_revision_is_503_and_a_slow_one_504(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    url = await start_router(
        {**service(1, ("v1", 100)), "metadata": {"name": "gone"}}, service(await start_server(never), ("v1", 100)), request_seconds=0.2
    )
    async with client.post(f"{url}/v2/models/gone/infer", data=b"{}") as answer:
        assert answer.status == 503
        assert "revision flights-v1" in (await answer.json())["error"]
    async with client.post(f"{url}/v2/models/flights/infer", data=b"{}") as answer:
        assert answer.status == 504
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    async with client.post(f"{url}/models/gone", headers=event) as answer:
        assert (await answer.json(content_type="application/problem+json"))["status"] == 503


async def test_a_404_of_the_ingress_is_503(start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    async def unknown(request: web.Request) -> web.StreamResponse:
        # As Envoy replies; a model function sends a body.
        return web.json_response({"error": "no version 7"}, status=404) if "versions" in request.path else web.Response(status=404)

    url = await start_router(service(await start_server(unknown), ("v1", 100)), retry_seconds=0.2)
    for path, status in [("infer", 503), ("versions/7/infer", 404)]:
        async with client.post(f"{url}/v2/models/flights/{path}", data=b"{}") as answer:
            assert answer.status == status
