from __future__ import annotations

import gzip
import socket
import threading

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


async def test_a_connection_that_the_server_has_just_closed_is_not_used() -> None:
    """The event loop does not know of it yet: it has not run since."""
    async with http_client.session(timeout_seconds=5) as session:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for _ in range(3):
            answering = threading.Thread(target=_answer_once, args=(listener,))
            answering.start()
            async with session.post(url, data=b"body") as response:
                assert await response.read() == b"ok"
            answering.join()
        listener.close()


def _answer_once(listener: socket.socket) -> None:
    """Answer one request over a new connection, as if that were kept; then close it."""
    connection, _ = listener.accept()
    with connection:
        received = b""
        while not received.endswith(b"body"):
            received += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
