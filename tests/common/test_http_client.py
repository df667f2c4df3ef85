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


def test_hop_by_hop_headers_are_dropped() -> None:
    text = [("Host", "a"), ("TE", "trailers"), ("connection", "close, X-Own"), ("x-own", "1"), ("X-Else", "2"), ("Connection", "x-more")]
    text += [("X-More", "3"), ("x-else", "4"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
    assert http_client.end_to_end(text) == [("Host", "a"), ("X-Else", "2"), ("x-else", "4")]
    raw = [(name.encode(), value.encode()) for name, value in text]
    assert http_client.end_to_end([*raw, (b"x-\xff", b"\xff")]) == [
        (b"Host", b"a"),
        (b"X-Else", b"2"),
        (b"x-else", b"4"),
        (b"x-\xff", b"\xff"),
    ]
