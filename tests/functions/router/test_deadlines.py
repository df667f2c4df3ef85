"""The deadline of a caller: it bounds the whole call, and the revision gets what is left of it."""

from __future__ import annotations

import asyncio
import socket
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from functions.runtime.http.deadline import timeout_of
from tests.functions.router.flights import BATCH, INFER, KEYS, batch, echo, owner, rows, score, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer

EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
ENVOY = "X-Envoy-Expected-Rq-Timeout-Ms"


def left(seen: dict[str, Any]) -> float:
    """The seconds that a revision gets."""
    seconds = timeout_of({b"grpc-timeout": seen["headers"]["grpc-timeout"].encode()})
    assert seconds is not None
    return seconds


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("headers", [{"grpc-timeout": "30S"}, {ENVOY: "30000"}, {"grpc-timeout": "1H", ENVOY: "30000"}])
async def test_the_time_that_is_left_is_passed_on(
    headers: dict[str, str], start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(echo), "v1"))
    for path, more in ((INFER, {}), ("/v1/models/flights:predict", {}), ("/models/flights", EVENT)):
        async with client.post(url + path, data=b"{}", headers={**headers, **more}) as answer:
            seen = await answer.json()
        assert 0 < left(seen) <= 30
        assert ENVOY.lower() not in seen["headers"]


async def test_the_parameter_of_a_request_is_a_deadline(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(echo), "v1"))
    tensor = orjson.loads(rows(1))["inputs"]
    for parameters, is_limited in (({"timeout": 30_000_000}, True), ({"timeout": 0}, False), ({"timeout": "soon"}, False)):
        body = orjson.dumps({"inputs": tensor, "parameters": parameters})
        async with client.post(url + INFER, data=body) as answer:
            seen = await answer.json()
        assert seen["body"].encode() == body
        assert ("grpc-timeout" in seen["headers"]) == is_limited
        if is_limited:
            assert 0 < left(seen) <= 30


async def test_the_parameter_of_a_large_request_is_a_deadline(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def revision(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return web.json_response({"headers": {name.lower(): value for name, value in request.headers.items()}})

    url = await start_router(service(await start_server(revision), "v1"))
    tensor = {"name": "x", "shape": [2**21], "datatype": "UINT8", "parameters": {"binary_data_size": 2**21}}
    head = orjson.dumps({"parameters": {"timeout": 30_000_000}, "inputs": [tensor]})
    sent = {"Inference-Header-Content-Length": str(len(head))}
    async with client.post(url + INFER, data=BytesIO(head + bytes(2**21)), headers=sent) as answer:
        assert 0 < left(await answer.json()) <= 30


async def test_parts_of_a_request_have_its_deadline(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    passed = []

    async def revision(request: web.Request) -> web.StreamResponse:
        passed.append(left({"headers": {name.lower(): value for name, value in request.headers.items()}}))
        return await score(request)

    url = await start_router(service(await start_server(revision), "v1", "v2"))
    async with client.post(f"{url}/models/flights", data=batch(50), headers={**BATCH, "grpc-timeout": "30S"}) as answer:
        assert answer.status == 200
    assert len(passed) == 2
    assert all(0 < seconds <= 30 for seconds in passed)


async def test_without_a_deadline_none_is_passed_on(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(echo), "v1"))
    async with client.post(url + INFER, data=b"{}", headers={ENVOY: "0"}) as answer:
        assert "grpc-timeout" not in (await answer.json())["headers"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (INFER, b"{}", {"grpc-timeout": "200m"}),
        (INFER, b"{}", {ENVOY: "200"}),
        (INFER, b'{"parameters": {"timeout": 200000}}', {}),
        (INFER, rows(50), {"grpc-timeout": "200m"}),
        ("/models/flights", b"{}", {**EVENT, "grpc-timeout": "200m"}),
        ("/models/flights", batch(50), {**BATCH, "grpc-timeout": "200m"}),
    ],
    ids=["header", "header of Envoy", "parameter", "rows", "event", "batch"],
)
async def test_a_call_ends_at_its_deadline(
    path: str,
    body: bytes,
    headers: dict[str, str],
    start_server: StartServer,
    start_router: StartRouter,
    client: aiohttp.ClientSession,
) -> None:
    url = await start_router(service(await start_server(never), "v1", "v2"))
    async with client.post(url + path, data=body, headers=headers) as answer:
        found = await answer.json(content_type=None)
        assert answer.status == 504
    assert "the request was not answered within the 0.2 s of its caller; allow more time." in (found.get("error") or found["detail"])


async def test_retries_end_at_the_deadline(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = await start_router(service(held.getsockname()[1], "v1"), retry_seconds=60.0)
        async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "200m"}) as answer:
            assert answer.status in (503, 504)  # the last attempt failed, or another one did not fit


async def test_the_wait_for_the_models_ends_at_the_deadline(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(first_view_seconds=60.0, api=never)
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "100m"}) as answer:
        assert answer.status == 504


async def test_a_reply_that_drips_ends_at_the_deadline(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    ended = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await response.write(b"x" * 100_000)
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    url = await start_router(service(await start_server(drip), "v1"))
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "500m"}) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    await ended.wait()


async def test_the_stable_revision_gets_what_the_canary_has_left(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    passed: dict[str, float] = {}

    async def revision(request: web.Request) -> web.StreamResponse:
        tag = request.host.partition("-")[0]
        passed[tag] = left({"headers": {name.lower(): value for name, value in request.headers.items()}})
        return web.json_response({}, status=500 if tag == "v2" else 200)

    entry = service(await start_server(revision), "v1", "v2")
    url = await start_router(entry)
    key = next(key for key in KEYS if owner(entry, key) == "v2")
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "30S", "Tidegate-Routing-Key": key}) as answer:
        assert answer.headers["Tidegate-Revision"] == "flights-v1"
    assert passed["v1"] < passed["v2"] <= 30


async def test_what_is_past_is_sent_to_no_revision(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(1, "v1"))
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "0S"}) as answer:
        assert answer.status == 504
    async with client.get(f"{url}/metrics") as answer:
        assert "tidegate_router_calls_total{" not in await answer.text()


async def test_a_deadline_that_is_no_time_is_refused(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(1, "v1"))
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "soon"}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("grpc-timeout is 'soon'; send at most 8 digits and a unit")


async def test_a_trace_is_passed_on(start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1,b=2", "baggage": "c=3"}
    passed = []

    async def revision(request: web.Request) -> web.StreamResponse:
        passed.append({name.lower(): value for name, value in request.headers.items()})
        return await score(request)

    url = await start_router(service(await start_server(revision), "v1", "v2"))
    one = orjson.dumps({"id": "1", "inputs": orjson.loads(rows(1))["inputs"]})
    for path, body, headers in ((INFER, one, {}), ("/models/flights", batch(50), BATCH)):
        async with client.post(url + path, data=body, headers={**headers, **trace}) as answer:
            assert answer.status == 200
    assert len(passed) == 3, "a request, and both parts of a batch"
    assert all(trace.items() <= headers.items() for headers in passed)
