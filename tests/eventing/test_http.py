from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestServer

from eventing import http


async def test_names_under_localhost_are_this_machine() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.host.partition(":")[0], headers={"set-cookie": "a=b"})

    app = web.Application()
    app.router.add_get("/", hello)
    async with TestServer(app) as server, http.session(timeout_seconds=5) as session:
        for host in ("router.localhost", "v2-flights.localhost", "localhost"):
            async with session.get(f"http://{host}:{server.port}/") as response:
                assert await response.text() == host
        assert not list(session.cookie_jar)
