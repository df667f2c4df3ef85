from __future__ import annotations

import gzip

from aiohttp import web
from aiohttp.test_utils import TestServer

from common import http_client


async def test_names_under_localhost_resolve_to_loopback() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.host.partition(":")[0], headers={"set-cookie": "a=b"})

    app = web.Application()
    app.router.add_get("/", hello)
    async with TestServer(app) as server, http_client.session(timeout_seconds=5) as session:
        for host in ("router.localhost", "v2-flights.localhost", "localhost"):
            async with session.get(f"http://{host}:{server.port}/") as response:
                assert await response.text() == host
        assert not list(session.cookie_jar)


async def test_response_is_decompressed_unless_raw() -> None:
    async def hello(_: web.Request) -> web.Response:
        response = web.Response(text="hello")
        response.enable_compression(web.ContentCoding.gzip)
        return response

    app = web.Application()
    app.router.add_get("/", hello)
    async with (
        TestServer(app) as server,
        http_client.session(timeout_seconds=5) as plain,
        http_client.session(timeout_seconds=5, raw=True) as raw,
    ):
        async with plain.get(server.make_url("/")) as response:
            assert await response.read() == b"hello"
        async with raw.get(server.make_url("/"), headers={"accept-encoding": "gzip"}) as response:
            assert response.headers["content-encoding"] == "gzip"
            assert gzip.decompress(await response.read()) == b"hello"
