"""Retries, with servers that refuse, break off and send malformed replies."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from eventing.codecs.json import BATCH_MEDIA_TYPE
from tests.functions.router.flights import KEYS, owner, score, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import Handler, StartRouter, StartServer

REFUSED = "dial tcp 127.0.0.1:8080: connect: connection refused\n"
ENVOY = "upstream connect error or disconnect/reset before headers. "


async def infer(url: str, body: bytes = b"{}") -> tuple[int, dict[str, Any]]:
    async with session(timeout_seconds=20) as client, client.post(f"{url}/v2/models/flights/infer", data=body) as answer:
        return answer.status, await answer.json()


async def test_a_restarted_container_fails_no_call(start_router: StartRouter) -> None:
    taken = asyncio.Event()

    async def revision(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    with socket.socket() as held:  # its port refuses connections until a server listens
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        url = await start_router(service(port, "v1"))
        asking = asyncio.create_task(infer(url))
        async with session(timeout_seconds=20) as client:
            while not taken.is_set():
                async with client.get(f"{url}/metrics") as answer:
                    if 'tidegate_router_retries_total{model="flights"}' in await answer.text():
                        taken.set()
    server = await asyncio.start_server(revision, "127.0.0.1", port)
    async with server:
        assert await asking == (200, {})


def failing(*errors: tuple[int, str]) -> tuple[Handler, list[bytes]]:
    """A platform that sends these errors, one after the other, and then a reply; and the bodies that it received."""
    remaining, bodies = list(errors), []

    async def platform(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        if remaining:
            status, text = remaining.pop(0)
            return web.Response(text=text, status=status)
        return web.json_response({"done": True})

    return platform, bodies


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (502, REFUSED),
        (502, "dial tcp 10.0.0.7:8012: connect: no route to host"),
        (502, "timed out dialing after 10.05s"),
        (503, "no healthy upstream"),
        (503, ENVOY + "reset reason: connection failure"),
        (503, ENVOY + "reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused"),
    ],
)
async def test_a_call_without_a_connection_is_retried(status: int, text: str, start_server: StartServer, start_router: StartRouter) -> None:
    platform, bodies = failing((status, text), (status, text))
    url = await start_router(service(await start_server(platform), "v1"))
    body = b"x" * 600_000  # written in chunks, from the start at each attempt
    assert await infer(url, body) == (200, {"done": True})
    assert [len(sent) for sent in bodies] == [600_000] * 3


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (502, "EOF\n"),
        (502, "read tcp 10.0.0.1:4->10.0.0.7:8012: read: connection reset by peer"),
        (503, ENVOY + "reset reason: connection termination"),
        (503, "pending request queue full\n"),
        (504, "request timeout"),
        (500, REFUSED),
    ],
)
async def test_a_call_that_may_have_been_executed_is_not_retried(
    status: int, text: str, start_server: StartServer, start_router: StartRouter
) -> None:
    platform, bodies = failing((status, text))
    url = await start_router(service(await start_server(platform), "v1"))
    async with session(timeout_seconds=20) as client, client.post(f"{url}/v2/models/flights/infer", data=b"{}") as answer:
        assert answer.status >= 500
    assert len(bodies) == 1


async def test_a_connection_that_breaks_after_the_request_is_not_retried(start_server: StartServer, start_router: StartRouter) -> None:
    seen = []

    async def cut(request: web.Request) -> web.StreamResponse:
        seen.append(await request.read())
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    url = await start_router(service(await start_server(cut), "v1"))
    status, answer = await infer(url)
    assert (status, len(seen)) == (503, 1)
    assert "revision flights-v1" in answer["error"]


async def test_retries_end(start_router: StartRouter) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = await start_router(service(held.getsockname()[1], "v1"), retry_seconds=0.1)
        status, answer = await infer(url)
    assert status == 503
    assert answer["error"].startswith("revision flights-v1 at http://v1-flights.localhost:")


@pytest.mark.parametrize(
    "head",
    [
        *(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n"),
        *(
            b"HTTP/1.1 42 Odd\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ),
        *(b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    ],
)
async def test_a_reply_that_is_not_http_is_502(head: bytes, start_router: StartRouter) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(odd, "127.0.0.1", 0) as server:
        url = await start_router(service(server.sockets[0].getsockname()[1], "v1"))
        status, answer = await infer(url)
    assert status == 502
    assert answer["error"].startswith("revision flights-v1 ")


async def test_headers_that_steer_the_platform_do_not_reach_it(start_server: StartServer, start_router: StartRouter) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    url = await start_router(service(await start_server(echo), "v1"))
    headers = {
        "Connection": "content-type, ce-id, tidegate-routing-key, traceparent, x-mine",
        "Content-Type": "application/json",
        "CE-Id": "1",
        "Tidegate-Routing-Key": "k",
        "Traceparent": "00-a",
        "X-Mine": "1",
        "Forwarded": "for=1.2.3.4",
        "X-Original-URL": "/admin",
        "K-Passthrough-LB": "true",
        "X-Envoy-Retry-On": "5xx",
    }
    async with session(timeout_seconds=20) as client, client.post(f"{url}/v2/models/flights/x", data=b"{}", headers=headers) as answer:
        seen = await answer.json()
    assert {name: seen.get(name) for name in ("content-type", "ce-id", "tidegate-routing-key", "traceparent")} == {
        "content-type": "application/json",
        "ce-id": "1",
        "tidegate-routing-key": "k",
        "traceparent": "00-a",
    }
    assert not {"x-mine", "forwarded", "x-original-url", "k-passthrough-lb", "x-envoy-retry-on"} & seen.keys()


@pytest.mark.parametrize("batch", [False, True])
async def test_a_route_that_is_not_ready_is_retried(
    batch: bool, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    unknown = {"v1": 2, "v2": 1}

    async def ingress(request: web.Request) -> web.StreamResponse:
        tag = request.host.partition("-")[0]
        if unknown[tag]:
            unknown[tag] -= 1
            return web.Response(status=404)
        return await score(request)

    entry = service(await start_server(ingress), ("v1", 50), ("v2", 50))
    events = [{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "partitionkey": key} for key in KEYS[:20]]
    body = orjson.dumps(events if batch else events[:1])
    async with client.post(f"{await start_router(entry)}/models/flights", data=body, headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        replies = await answer.json(content_type=None)
    assert [reply["data"] for reply in replies] == [[owner(entry, item["id"]), item["id"]] for item in orjson.loads(body)]


async def test_a_route_that_never_gets_ready_is_an_error(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def nowhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    url = await start_router(service(await start_server(nowhere), ("v1", 100)), retry_seconds=0.2)
    async with client.post(f"{url}/v2/models/flights/infer", data=b"{}") as answer:
        assert answer.status == 503
        assert "is not routable yet; retry" in (await answer.json())["error"]
