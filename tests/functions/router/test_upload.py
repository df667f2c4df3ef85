"""Large bodies, which are sent as they arrive where the arm is known without them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from io import BytesIO
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from functions.router.call import UPLOADED_BYTES
from tests.functions.router.flights import BATCH, INFER, KEYS, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer

PREDICT = "/v1/models/flights:predict"
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "application/octet-stream"}
HEAD = orjson.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 8 * UPLOADED_BYTES}}]})
TENSORS = {"Inference-Header-Content-Length": str(len(HEAD))}
SIZE = 8 * UPLOADED_BYTES


def sized(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Length": str(SIZE)}


@pytest.mark.parametrize(
    ("path", "headers"),
    [(PREDICT, {}), (INFER, TENSORS), ("/models/flights", EVENT), ("/models/flights", {**BATCH, "Tidegate-Routing-Key": "k"})],
    ids=["v1", "tensors", "event", "batch with a key"],
)
async def test_a_large_body_is_sent_as_it_arrives(
    path: str, headers: dict[str, str], start_server: StartServer, start_router: StartRouter
) -> None:
    begun = asyncio.Event()

    async def revision(request: web.Request) -> web.StreamResponse:
        begun_with = await request.content.readexactly(len(HEAD))
        begun.set()
        rest = await request.content.read()
        return web.json_response({"bytes": len(begun_with) + len(rest), "length": request.headers["Content-Length"]})

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        yield bytes(UPLOADED_BYTES - len(HEAD))
        await begun.wait()  # the revision has the beginning, of which the end does not exist yet
        async with client.get(f"{url}/metrics") as answer:
            held = next(line for line in (await answer.text()).splitlines() if line.startswith("tidegate_router_body_bytes "))
            assert float(held.split()[1]) < UPLOADED_BYTES
        yield bytes(SIZE - UPLOADED_BYTES)

    url = await start_router(service(await start_server(revision), "v1", "v2"))
    async with session(timeout_seconds=20) as client, client.post(url + path, data=body(), headers=sized(headers)) as answer:
        assert (answer.status, await answer.json()) == (200, {"bytes": SIZE, "length": str(SIZE)})


async def test_keys_in_a_large_body_split_it(start_server: StartServer, start_router: StartRouter) -> None:
    async def revision(request: web.Request) -> web.StreamResponse:
        body = await request.content.read()
        head = orjson.loads(body[: int(request.headers["Inference-Header-Content-Length"])])
        output = {"name": "rows", "shape": head["inputs"][0]["shape"][:1], "datatype": "INT32"}
        return web.json_response({"outputs": [{**output, "data": [0] * output["shape"][0]}]})

    row = UPLOADED_BYTES // 100
    tensor = {"name": "x", "shape": [200, row], "datatype": "UINT8", "parameters": {"binary_data_size": 200 * row}}
    head = orjson.dumps({"parameters": {"routing_keys": KEYS}, "inputs": [tensor]})
    url = await start_router(service(await start_server(revision), "v1", "v2"))
    headers = {"Inference-Header-Content-Length": str(len(head))}
    async with (
        session(timeout_seconds=20) as client,
        client.post(url + INFER, data=BytesIO(head + bytes(200 * row)), headers=headers) as answer,
    ):
        assert answer.status == 200
        _, revisions = (await answer.json())["outputs"]
    assert set(revisions["data"]) == {"flights-v1", "flights-v2"}


async def test_a_revision_may_refuse_a_body_before_its_end(start_server: StartServer, start_router: StartRouter) -> None:
    refused = asyncio.Event()

    async def revision(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "too large."}, status=413)

    async def body() -> AsyncIterator[bytes]:
        yield bytes(UPLOADED_BYTES)
        await refused.wait()
        yield bytes(SIZE - UPLOADED_BYTES)

    url = await start_router(service(await start_server(revision), "v1"))
    async with session(timeout_seconds=20) as client, client.post(url + PREDICT, data=body(), headers=sized({})) as answer:
        assert (answer.status, await answer.json()) == (413, {"error": "too large."})
        refused.set()


async def test_a_caller_that_gives_up_ends_the_call(start_server: StartServer, start_router: StartRouter) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def revision(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await request.content.read()
        except (ConnectionError, asyncio.CancelledError, aiohttp.ClientError):
            ended.set()
        return web.Response()

    url = await start_router(service(await start_server(revision), "v1"))
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (PREDICT.encode(), SIZE) + bytes(UPLOADED_BYTES))
    await asyncio.wait_for(begun.wait(), 20)
    writer.transport.abort()
    await asyncio.wait_for(ended.wait(), 20)


async def test_a_large_body_is_sent_again_only_if_none_of_it_was(start_server: StartServer, start_router: StartRouter) -> None:
    calls = []

    async def not_routable(request: web.Request) -> web.StreamResponse:
        calls.append(len(await request.content.read()))
        return web.Response(status=404)

    url = await start_router(service(await start_server(not_routable), "v1"))
    async with session(timeout_seconds=20) as client, client.post(url + PREDICT, data=BytesIO(bytes(SIZE))) as answer:
        assert (answer.status, (await answer.json())["error"].rpartition("; ")[2]) == (503, "retry.")
    assert calls == [SIZE]


async def test_a_large_body_waits_for_its_revision(start_router: StartRouter) -> None:
    retried = asyncio.Event()

    async def revision(request: web.Request) -> web.StreamResponse:
        return web.json_response({"bytes": len(await request.content.read())})

    with socket.socket() as held:  # its port refuses connections until a server listens
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        url = await start_router(service(port, "v1"))
        async with session(timeout_seconds=20) as client:
            sending = asyncio.create_task(client.post(url + PREDICT, data=BytesIO(bytes(SIZE))))
            while not retried.is_set():
                async with client.get(f"{url}/metrics") as answer:
                    if 'tidegate_router_retries_total{model="flights"}' in await answer.text():
                        retried.set()
            held.close()
            app = web.Application()
            app.router.add_post("/{path:.*}", revision)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            answer = await sending
            assert (answer.status, await answer.json()) == (200, {"bytes": SIZE})
            await runner.cleanup()


async def test_a_large_body_above_the_limit_is_refused_unread(start_router: StartRouter) -> None:
    url = await start_router(service(1, "v1"), max_body_bytes=2 * UPLOADED_BYTES)
    async with session(timeout_seconds=20) as client, client.post(url + PREDICT, data=BytesIO(bytes(2 * UPLOADED_BYTES + 1))) as answer:
        assert answer.status == 413
