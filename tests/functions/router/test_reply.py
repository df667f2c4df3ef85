"""Replies of revisions: streamed to the caller, or read within limits to be joined."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from common.http_client import session
from tests.functions.router.flights import BATCH, INFER, batch, measure, rows, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


async def test_a_large_reply_is_streamed(start_server: StartServer, start_router: StartRouter) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a" * 100_000)
        await go_on.wait()
        await response.write(b"b" * 5_000_000)
        return response

    url = await start_router(service(await start_server(large), "v1"))
    async with session(timeout_seconds=20) as client, client.post(url + INFER, data=b"{}") as answer:
        assert await answer.content.readexactly(100_000) == b"a" * 100_000
        begun.set()
        go_on.set()
        assert await answer.content.read() == b"b" * 5_000_000
        assert answer.headers["Tidegate-Revision"] == "flights-v1"


async def test_a_truncated_reply_is_not_completed(start_server: StartServer, start_router: StartRouter) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a" * 100_000)
        assert request.transport is not None
        request.transport.abort()
        return response

    url = await start_router(service(await start_server(broken), "v1"))
    async with session(timeout_seconds=20) as client:
        with pytest.raises(aiohttp.ClientError):
            async with client.post(url + INFER, data=b"{}") as answer:
                await answer.read()


async def test_an_endless_reply_ends_when_its_reader_disconnects(start_server: StartServer, start_router: StartRouter) -> None:
    given_up = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 100_000)
        except (ConnectionError, asyncio.CancelledError):
            given_up.set()
        return response

    url = await start_router(service(await start_server(endless), "v1"))
    async with session(timeout_seconds=20) as client:
        answer = await client.post(url + INFER, data=b"{}")
        await answer.content.readexactly(200_000)
        answer.close()
        await asyncio.wait_for(given_up.wait(), 20)


@pytest.mark.parametrize("kind", ["length", "chunked", "containers"])
async def test_replies_to_join_are_bounded(kind: str, start_server: StartServer, start_router: StartRouter) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        if kind == "containers":
            return web.Response(body=b"[" + b"[]," * 500_000 + b"[]]", content_type="application/json")
        response = web.StreamResponse()
        if kind == "length":
            response.content_length = 10 * 2**30
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 100_000)
        return response

    url = await start_router(service(await start_server(large), "v1", "v2"))
    async with session(timeout_seconds=20) as client:
        for path, body, headers in ((INFER, rows(50), {}), ("/models/flights", batch(50), BATCH)):
            # A batch is then divided by its sender: fewer events have a smaller answer.
            async with client.post(url + path, data=body, headers=headers) as answer:
                assert answer.status == 413
                assert "send fewer rows at once." in await answer.text()


async def test_a_compressed_reply_is_not_joined(start_server: StartServer, start_router: StartRouter) -> None:
    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"[]" * 1_000), headers={"Content-Encoding": "gzip"}, content_type="application/json")

    url = await start_router(service(await start_server(bomb), "v1", "v2"))
    async with session(timeout_seconds=20) as client, client.post(url + INFER, data=rows(50)) as answer:
        assert answer.status == 502
        assert "compressed its reply without being asked to" in (await answer.json())["error"]


async def test_a_reply_to_head_has_the_length(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(measure), "v1"))
    async with session(timeout_seconds=20) as client, client.head(f"{url}/v2/models/flights/ready") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "12")


async def test_a_compressed_reply_stays_compressed(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def compressed(request: web.Request) -> web.StreamResponse:
        answer = web.json_response({"accepts": request.headers.get("Accept-Encoding")})
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    url = await start_router(service(await start_server(compressed), ("v1", 100)))
    async with client.get(f"{url}/v2/models/flights", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.json() == {"accepts": "gzip"}
