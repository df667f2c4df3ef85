"""Paths, methods and errors, and the number of requests at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from common.http_client import session
from tests.functions.router.flights import INFER, respond, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(
            ("GET", path, 200)
            for path in ("/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v1/models", "/metrics", "/docs")
        ),
        *(("HEAD", path, 200) for path in ("/", "/v2", "/openapi.json")),
        *(("POST", path, 200) for path in ("/v2/repository/index", "/v2/models/flights/infer", "/v1/models/flights:predict")),
        *(("GET", path, 200) for path in ("/v2/models/flights", "/v2/models/flights/ready", "/v1/models/flights")),
        *(("GET", path, 404) for path in ("/nothing", "/v2/nothing", "/models/flights/nothing")),
        *(("POST", path, 405) for path in ("/v2", "/metrics")),
        *(("GET", path, 405) for path in ("/v2/repository/index", "/v2/models/flights/infer", "/models/flights")),
    ],
)
async def test_a_trailing_slash_has_no_meaning(
    method: str, path: str, status: int, start_server: StartServer, start_router: StartRouter
) -> None:
    url = await start_router(service(await start_server(respond), "v1"))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models") as answer:
            assert answer.status == 200, "it waits for the first list of models"
        for suffix in ("", "/") if path != "/" else ("",):
            async with client.request(method, url + path + suffix) as answer:
                assert answer.status == status, suffix
                if status == 405:
                    assert answer.headers["Allow"]


async def test_dot_segments_are_refused(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(respond), "v1"))
    async with session(timeout_seconds=20) as client:
        for path in (
            "/v2/models/flights/../../metrics",
            "/v2/models/flights/%2e%2e/infer",
            "/v2/models/flights%2finfer",
            "/..",
            "/v2/./models",
        ):
            async with client.get(URL(url + path, encoded=True)) as answer:
                assert answer.status == 400, path


async def test_an_unknown_model_is_404_and_422_for_an_event(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(1, ("v1", 100)))
    async with client.post(f"{url}/v2/models/nope/infer", data=b"{}") as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": "unknown model nope; known models: flights."}
    async with client.post(f"{url}/models/nope", data=b"{}") as answer:
        assert answer.status == 422
        assert answer.content_type == "application/problem+json"


async def test_requests_at_once_are_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await release.wait()
        return web.json_response({})

    url = await start_router(service(await start_server(slow), "v1"), max_waiting_requests=1)
    async with session(timeout_seconds=20) as client:
        first = asyncio.create_task(client.post(url + INFER, data=b"{}"))
        await arrived.wait()
        async with client.post(url + INFER, data=b"{}") as answer:
            assert answer.status == 429
        async with client.get(f"{url}/v2/health/live") as answer:
            assert answer.status == 200
        release.set()
        assert (await first).status == 200
