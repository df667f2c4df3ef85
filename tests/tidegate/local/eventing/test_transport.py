from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from eventing.codecs.http import Message
from tidegate.local.eventing.transport import MAX_ANSWER_BYTES, Answer, HttpPost, PostFailed

EVENT = Message({"ce-id": "1", "content-type": "text/plain"}, b"hello")


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/redirect":
            return web.Response(status=307, headers={"Location": "/other"})
        if request.path == "/break":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if request.path == "/large":
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(2 * MAX_ANSWER_BYTES // 65536):
                await response.write(b"x" * 65536)
            return response
        return web.json_response({**request.headers, "body": await request.text(), "path": request.raw_path})

    found = RawTestServer(handle)
    await found.start_server()
    yield str(found.make_url("/")).rstrip("/")
    await found.close()


async def test_message_is_posted_as_it_is(server: str, client: aiohttp.ClientSession) -> None:
    answer = await HttpPost(client)(f"{server}/a?b=c", EVENT)

    assert (answer.status, answer.headers["content-type"], answer.complete) == (200, "application/json; charset=utf-8", True)
    assert b'"body": "hello"' in answer.body
    assert b'"path": "/a?b=c"' in answer.body
    assert b"User-Agent" not in answer.body


async def test_redirect_is_an_answer(server: str, client: aiohttp.ClientSession) -> None:
    assert (await HttpPost(client)(f"{server}/redirect", EVENT)).status == 307


async def test_large_answer_is_cut_off(server: str, client: aiohttp.ClientSession) -> None:
    answer = await HttpPost(client)(f"{server}/large", EVENT)

    assert isinstance(answer, Answer)
    assert (len(answer.body), answer.complete) == (MAX_ANSWER_BYTES, False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://", "nonsense", "http://127.0.0.1:99999/"])
async def test_receiver_that_cannot_be_reached_is_reported(client: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(PostFailed):
        await HttpPost(client)(url, EVENT)


async def test_broken_connection_is_reported(server: str, client: aiohttp.ClientSession) -> None:
    with pytest.raises(PostFailed):
        await HttpPost(client)(f"{server}/break", EVENT)


async def test_header_that_is_none_is_reported(server: str, client: aiohttp.ClientSession) -> None:
    with pytest.raises(PostFailed):
        await HttpPost(client)(server, Message({"content-type": "a\r\nb: c"}, b""))
