"""What a stranger sends, and what a revision answers, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from eventing.codecs.json import BATCH_MEDIA_TYPE

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer

BATCH = {"content-type": BATCH_MEDIA_TYPE}
INFER = "/v2/models/flights/infer"


def service(port: int, *tags: str) -> dict[str, Any]:
    traffic = [{"revisionName": f"flights-{tag}", "tag": tag, "percent": 100 // len(tags)} for tag in tags]
    status = {"address": {"url": f"http://flights.localhost:{port}"}, "traffic": traffic}
    return {"metadata": {"name": "flights"}, "spec": {}, "status": status}


def batch(count: int) -> bytes:
    return orjson.dumps([{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "subject": f"k{n}"} for n in range(count)])


def rows(count: int) -> bytes:
    column = {"name": "x", "shape": [count], "datatype": "FP32", "data": [1.0] * count}
    return orjson.dumps({"parameters": {"routing_keys": [f"k{n}" for n in range(count)]}, "inputs": [column]})


async def done(request: web.Request) -> web.StreamResponse:
    return web.json_response({"bytes": len(await request.read())})


async def test_json_that_would_have_to_be_read_is_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(done), "v1", "v2"), max_json_bytes=1_000)
    structured = orjson.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "x" * 1_000})
    async with session(timeout_seconds=20) as client:
        for path, body, headers in (
            ("/models/flights", batch(50), BATCH),
            ("/models/flights", structured, {"content-type": "application/cloudevents+json"}),
            (INFER, rows(100), {}),
        ):
            async with client.post(url + path, data=body, headers=headers) as answer:
                assert answer.status == 413
                assert "bytes of JSON, more than the limit of 1000; send several requests." in await answer.text()
        # What only passes by meets its model's limit: tensors without keys, a binary event, and anything for one arm.
        binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "application/json"}
        for path, body, headers in (
            (INFER, b'{"x":"%s"}' % (b"x" * 2_000), {}),
            ("/models/flights", b'"%s"' % (b"x" * 2_000), binary),
            ("/models/flights", batch(50), {**BATCH, "Tidegate-Routing-Key": "k"}),
        ):
            async with client.post(url + path, data=body, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"bytes": len(body)})


async def test_lists_and_objects_are_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(done), "v1", "v2"))
    wide = b'{"parameters":{"routing_keys":["a"]},"inputs":[{}' + b",{}" * 500_000 + b"]}"
    async with session(timeout_seconds=20) as client, client.post(url + INFER, data=io.BytesIO(wide)) as answer:
        assert answer.status == 413
        assert "more than 400000 lists and objects" in (await answer.json())["error"]


async def test_bodies_of_all_callers_together_are_bounded(start_server: StartServer, start_router: StartRouter) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arrived.set()
        await release.wait()
        return web.json_response({"bytes": len(body)})

    url = await start_router(service(await start_server(slow), "v1"), max_waiting_bytes=1_000)
    async with session(timeout_seconds=20) as client:

        async def send(size: int) -> tuple[int, str | None]:
            async with client.post(url + INFER, data=b"x" * size) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After")

        first = asyncio.create_task(send(5_000))  # alone it is never refused
        await arrived.wait()
        assert await send(1) == (429, "1")
        async with client.get(f"{url}/metrics") as answer:
            assert "\ntidegate_router_body_bytes 5000.0\n" in await answer.text()
        release.set()
        assert await first == (200, None)
        assert await send(1) == (200, None)


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


async def test_a_body_that_comes_too_slowly_is_408(start_server: StartServer) -> None:
    async def api(request: web.Request) -> web.StreamResponse:
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [service(1, "v1")]})

    environ = {
        **os.environ,
        "PORT": "0",
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_BODY_SECONDS": "0.3",
        "TIDEGATE_KUBERNETES_API": f"http://127.0.0.1:{await start_server(api)}",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.router", env=environ, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        found = re.search(rb"on port (\d+)", await process.stderr.readline())
        assert found
        reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
        writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nx" % INFER.encode())
        assert b" 408 " in await reader.readline()
        assert await reader.read(), "and the connection is closed"
        writer.close()
    finally:
        process.terminate()
        await process.communicate()


async def test_a_large_answer_is_passed_on_as_it_comes(start_server: StartServer, start_router: StartRouter) -> None:
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


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(start_server: StartServer, start_router: StartRouter) -> None:
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


async def test_an_endless_answer_ends_when_its_reader_is_gone(start_server: StartServer, start_router: StartRouter) -> None:
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
async def test_answers_that_are_joined_are_bounded(kind: str, start_server: StartServer, start_router: StartRouter) -> None:
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


async def test_a_compressed_answer_is_not_unpacked(start_server: StartServer, start_router: StartRouter) -> None:
    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"[]" * 1_000), headers={"Content-Encoding": "gzip"}, content_type="application/json")

    url = await start_router(service(await start_server(bomb), "v1", "v2"))
    async with session(timeout_seconds=20) as client, client.post(url + INFER, data=rows(50)) as answer:
        assert answer.status == 502
        assert "compressed its reply without being asked to" in (await answer.json())["error"]


async def test_head_reply_has_the_length(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(done), "v1"))
    async with session(timeout_seconds=20) as client, client.head(f"{url}/v2/models/flights/ready") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "12")
