"""A router with real revisions and a real sink."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from eventing.distinct import Distinct
from eventing.label import prediction_digest
from functions.router.outcomes import observer as observing
from tests.functions.router.flights import BATCH, INFER, KEYS, owner, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartProcess, StartRouter, StartServer
    from tests.functions.router.outcomes.conftest import Sink


STRUCTURED = "application/cloudevents+json"
EVENT_HEADERS = {"ce-specversion": "1.0", "ce-type": "departed", "ce-source": "/airline", "content-type": "application/json"}


def digest(key: str, name: str = "flights") -> int:
    hashed = blake2b(f"{name}/".encode() + b"\0" + key.encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") % 2**32


def keys_of(entry: dict[str, Any], tag: str) -> list[str]:
    return [key for key in KEYS if owner(entry, key) == tag]


def answer(request: web.Request, body: Any, score: float) -> web.Response:
    """The reply to a tensor or to events, by the score of each row."""
    if isinstance(body, list):
        base = {"specversion": "1.0", "source": "/models/flights", "type": "dev.tidegate.inference.completed"}
        replies = [{**base, "id": f"r{event['id']}", "data": {"late": score}} for event in body]
        return web.Response(body=orjson.dumps(replies), content_type=BATCH["content-type"])
    rows = len(body["inputs"][0]["data"]) if "inputs" in body else 1
    return web.json_response({"outputs": [{"name": "late", "shape": [rows], "datatype": "FP32", "data": [score] * rows}]})


async def revisions(request: web.Request) -> web.StreamResponse:
    """The revision v2 fails for odd keys; each revision has its own score."""
    tag = request.host.partition("-")[0]
    key = request.headers.get("tidegate-routing-key", "0")
    body = orjson.loads(await request.read())
    if tag == "v2" and int(key.removeprefix("N")) % 2:
        return web.json_response({"error": "no"}, status=500)
    return answer(request, body, {"v1": 0.25, "v2": 0.75, "shadow": 0.5}[tag])


def events_of(keys: list[str]) -> bytes:
    """A batch with an event for each key."""
    return orjson.dumps([{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "subject": key} for key in keys])


def tensor_of(keys: list[str]) -> bytes:
    """A request with a row for each key."""
    column = {"name": "x", "shape": [len(keys)], "datatype": "FP32", "data": [1.0] * len(keys)}
    return orjson.dumps({"parameters": {"routing_keys": keys}, "inputs": [column]})


async def ask(client: aiohttp.ClientSession, url: str, keys: list[str], **headers: str) -> list[tuple[int, str]]:
    """The statuses and the revisions of a request for each key."""
    found = []
    for key in keys:
        sent = {"Tidegate-Routing-Key": key, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with client.post(url + INFER, data=b"{}", headers=sent) as reply:
            await reply.read()
            found.append((reply.status, reply.headers["Tidegate-Revision"]))
    return found


async def test_the_outcomes_of_all_arms_are_reported(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    entry = service(await start_server(revisions), ("v1", 80), ("v2", 20))
    url = await start_router(entry, sink=sink.url)
    found = await ask(client, url, KEYS)
    found += await ask(client, url, KEYS[:5], tidegate_revision="v2")
    canary = keys_of(entry, "v2")
    odd = [key for key in canary if int(key[1:]) % 2]
    assert len(odd) > 5

    arms = await sink.until_requests(len(KEYS) + 5)
    assert [(arm.revision, arm.percent, arm.requests, arm.forced) for arm in arms.values()] == [
        ("flights-v1", 80, len(KEYS) - len(canary), 0),
        ("flights-v2", 20, len(canary), 5),
    ]
    stable, failing = arms.values()
    assert (stable.errors, failing.errors) == (0, len(odd))
    assert failing.bad_keys == {"errors": failing.bad_keys["errors"]}
    assert sorted(failing.bad_keys["errors"]) == sorted(map(digest, odd))
    expected = Distinct()
    for key in canary:
        expected.add(digest(key))
    assert failing.keys == expected
    assert set(stable.scores) == {0.25}
    assert set(failing.scores) == {0.75}
    assert len(stable.scores) + len(failing.scores) == len(KEYS) - len(odd)
    assert sum(stable.latencies) == stable.requests
    assert [outcome.sequence for outcome in sink.outcomes] == list(range(1, len(sink.outcomes) + 1))
    assert len({outcome.router for outcome in sink.outcomes}) == 1


async def test_the_ids_of_predictions_are_reported_in_each_mode(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def with_ids(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if "ce-id" in request.headers:
            return web.Response(body=b'{"late": 0.25}', headers={**EVENT_HEADERS, "ce-id": "r-binary"})
        if isinstance(body, dict) and "specversion" in body:
            return web.Response(body=orjson.dumps({**body, "id": "r-structured", "data": {"late": 0.25}}), content_type=STRUCTURED)
        reply = answer(request, body, 0.25)
        if isinstance(body, dict):
            assert isinstance(reply.body, bytes)
            return web.json_response({"id": body["id"], **orjson.loads(reply.body)})
        return reply

    url = await start_router(service(await start_server(with_ids), ("v1", 80), ("v2", 20)), sink=sink.url)
    event = {"specversion": "1.0", "type": "departed", "source": "/airline", "data": {}}
    batch = [{**event, "id": str(number), "subject": str(number)} for number in range(20)]
    tensor = {"id": "r-tensor", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
    bodies: list[tuple[str, Any, dict[str, str]]] = [
        (INFER, tensor, {}),
        ("/models/flights", {}, {**EVENT_HEADERS, "ce-id": "1"}),
        ("/models/flights", {**event, "id": "2"}, {"content-type": STRUCTURED}),
        ("/models/flights", batch, BATCH),
    ]
    for path, body, headers in bodies:
        async with client.post(url + path, data=orjson.dumps(body), headers=headers) as reply:
            assert reply.status == 200, await reply.text()

    outcomes = await sink.until(lambda found: sum(len(arm.scores) for one in found for arm in one.arms) >= 23)
    arms = [arm for outcome in outcomes for arm in outcome.arms]
    ids = ["r-tensor", "r-binary", "r-structured", *(f"r{number}" for number in range(20))]
    assert sorted(digest for arm in arms for digest in arm.score_ids) == sorted(map(prediction_digest, ids))
    assert all(len(arm.scores) == len(arm.score_keys) == len(arm.score_ids) for arm in arms)


async def test_the_stable_revision_answers_for_a_failing_canary(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(revisions), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    assert await ask(client, url, KEYS) == [
        (200, "flights-v1" if owner(entry, key) == "v1" or int(key[1:]) % 2 else "flights-v2") for key in KEYS
    ]
    # Who names a revision gets its answer.
    assert await ask(client, url, ["N1"], tidegate_revision="v2") == [(500, "flights-v2")]
    async with client.get(f"{url}/metrics") as metrics:
        odd = [key for key in keys_of(entry, "v2") if int(key[1:]) % 2]
        assert f'tidegate_router_failovers_total{{model="flights"}} {len(odd)}\n' in await metrics.text()


@pytest.mark.parametrize("fault", ["refused", "cut", "503"])
async def test_a_canary_that_cannot_be_called_is_an_error_that_no_caller_sees(
    fault: str, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def canary_is_down(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("v1"):
            return await revisions(request)
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
        text = {"refused": "dial tcp 10.0.0.7:8012: connect: connection refused", "503": "pending request queue full"}.get(fault, "")
        return web.Response(status=503, text=text)

    entry = service(await start_server(canary_is_down), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url, retry_seconds=0.0)
    keys = KEYS[:8]
    assert await ask(client, url, keys) == [(200, "flights-v1")] * len(keys)
    arms = await sink.until_requests(len(keys))
    count = len([key for key in keys if owner(entry, key) == "v2"])
    assert (arms["flights-v2"].requests, arms["flights-v2"].errors) == (count, count)
    assert (arms["flights-v1"].requests, arms["flights-v1"].errors) == (len(keys) - count, 0)


@pytest.mark.parametrize(
    "absent",
    [web.Response, lambda **_: web.Response(status=502, text="dial tcp 10.0.0.7:8012: connect: connection refused")],
    ids=["unknown to the ingress", "refused"],
)
async def test_a_canary_that_is_absent_for_a_moment_is_not_blamed(
    absent: Any, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    calls = 0

    async def canary_is_absent(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        if request.host.startswith("v1"):
            return await revisions(request)
        calls += 1
        response: web.Response = absent(status=404)
        return response

    entry = service(await start_server(canary_is_absent), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url, retry_seconds=600.0)  # without a substitute, callers would wait as long
    keys = [*keys_of(entry, "v2")[:3], *keys_of(entry, "v1")[:3]]
    assert await ask(client, url, keys) == [(200, "flights-v1")] * 6
    arms = await sink.until_requests(3)
    assert [(arm.requests, arm.errors) for arm in arms.values()] == [(3, 0), (0, 0)]
    assert calls == 2 * 3, "each call is retried once"


@pytest.mark.parametrize("fault", [b"", b"text", b"{}", b"[]", b"[1]", b'{"outputs": [{}]}'])
async def test_a_reply_of_no_use_is_an_error_that_no_caller_sees(
    fault: bytes, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def canary_is_odd(request: web.Request) -> web.StreamResponse:
        return web.Response(body=fault) if request.host.startswith("v2") else await revisions(request)

    entry = service(await start_server(canary_is_odd), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    keys = KEYS[:20]
    canary = len([key for key in keys if owner(entry, key) == "v2"])
    async with client.post(f"{url}/models/flights", data=events_of(keys), headers=BATCH) as reply:
        assert (reply.status, reply.headers["Tidegate-Revision"]) == (200, "flights-v1")
        assert [event["id"] for event in await reply.json(content_type=None)] == [f"r{key}" for key in keys]
    async with client.post(url + INFER, data=tensor_of(keys)) as reply:
        assert reply.status == 200
        assert (await reply.json())["outputs"][1]["data"] == ["flights-v1"] * len(keys)
    arms = await sink.until_requests(2 * len(keys))
    assert (arms["flights-v2"].requests, arms["flights-v2"].errors) == (2 * canary, 2 * canary)
    assert (arms["flights-v1"].requests, arms["flights-v1"].errors) == (2 * (len(keys) - canary), 0)


async def test_a_reply_of_no_use_of_the_stable_revision_is_its_error(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def stable_is_odd(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[]") if request.host.startswith("v1") else await revisions(request)

    entry = service(await start_server(stable_is_odd), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    keys = KEYS[:20]
    async with client.post(f"{url}/models/flights", data=events_of(keys), headers=BATCH) as reply:
        assert reply.status == 200
        statuses = [(event["data"] or {}).get("status", 200) for event in await reply.json(content_type=None)]
    assert statuses == [502 if owner(entry, key) == "v1" else 200 for key in keys]
    async with client.post(url + INFER, data=tensor_of(keys)) as reply:
        assert reply.status == 502
        assert (await reply.json())["error"] == "revision flights-v1 did not return outputs as tensors; see its log."
    arms = await sink.until_requests(2 * len(keys))
    stable = len([key for key in keys if owner(entry, key) == "v1"])
    assert [(arm.requests, arm.errors) for arm in arms.values()] == [(2 * stable, 2 * stable), (2 * (len(keys) - stable), 0)]


@pytest.mark.parametrize("large", [("v2",), ("v1", "v2")])
async def test_a_part_that_is_too_large_is_an_error_only_if_the_stable_one_is_not(
    large: tuple[str, ...], start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def is_large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * 30_000) if request.host.partition("-")[0] in large else await revisions(request)

    entry = service(await start_server(is_large), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url, max_json_bytes=20_000)
    keys = KEYS[:20]
    async with client.post(f"{url}/models/flights", data=events_of(keys), headers=BATCH) as reply:
        assert reply.status == (200 if "v1" not in large else 413)
        await reply.read()
    await ask(client, url, [keys_of(entry, "v1")[0]])
    canary, errors = len([key for key in keys if owner(entry, key) == "v2"]), 0
    if "v1" not in large:
        errors = canary
    arms = await sink.until_requests(1 + (len(keys) if errors else 0))
    assert (arms["flights-v2"].requests, arms["flights-v2"].errors) == (errors, errors)
    assert arms["flights-v1"].errors == 0


async def test_parts_that_are_answered_in_different_windows_are_sampled_together(
    start_server: StartServer,
    start_router: StartRouter,
    client: aiohttp.ClientSession,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observing, "WINDOW_SECONDS", 0.05)
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def stable_is_slow(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if isinstance(body, list) and request.host.startswith("v1"):
            await go_on.wait()
        elif isinstance(body, list):
            answered.set()
        return answer(request, body, 0.5)

    entry = service(await start_server(stable_is_slow), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    keys = KEYS[:20]
    asking = asyncio.create_task(client.post(f"{url}/models/flights", data=events_of(keys), headers=BATCH))
    await answered.wait()
    for count in (1, 2):  # windows that begin, and end, after the canary's part was answered
        await ask(client, url, [keys_of(entry, "v2")[0]])
        await sink.until_requests(count)
    go_on.set()
    await (await asking).read()
    await sink.until_requests(2 + len(keys))
    assert [len(arm.scores) for arm in sink.outcomes[-1].arms] == [
        len([key for key in keys if owner(entry, key) == tag]) for tag in ("v1", "v2")
    ]


async def test_callers_who_give_up_make_a_slow_revision_slow(start_server: StartServer, start_router: StartRouter, sink: Sink) -> None:
    begun = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    entry = service(await start_server(never), ("v1", 100))
    entry["metadata"]["annotations"] = {"tidegate.dev/latency-slo": "1ms"}
    url = await start_router(entry, sink=sink.url)
    _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}" % INFER.encode())
    await begun.wait()
    writer.transport.abort()
    arm = (await sink.until_requests(1))["flights-v1"]
    assert (arm.requests, arm.slow, arm.errors, arm.rejections) == (1, 1, 0, 0)


async def test_a_call_that_misses_its_deadline_is_an_error(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    entry = service(await start_server(never), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    async with client.post(url + INFER, data=b"{}", headers={"grpc-timeout": "200m", "Tidegate-Routing-Key": KEYS[0]}) as reply:
        assert reply.status == 504
    # Events of a batch, whose calls end all at once.
    async with client.post(f"{url}/models/flights", data=events_of(KEYS[:20]), headers={**BATCH, "grpc-timeout": "200m"}) as reply:
        assert reply.status == 504
    arms = await sink.until_requests(21)
    assert sum(arm.errors for arm in arms.values()) == sum(arm.requests for arm in arms.values()) == 21


async def test_a_caller_that_sends_too_slowly_for_its_deadline_says_nothing_of_the_arm(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def reads(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return web.json_response({})

    url = await start_router(service(await start_server(reads), ("v1", 100)), sink=sink.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    head = b"POST /v1/models/flights:predict HTTP/1.1\r\nhost: a\r\ngrpc-timeout: 300m\r\ncontent-length: 2000000\r\n\r\n"
    writer.write(head + bytes(1_500_000))
    assert b" 504 " in await reader.readline()
    writer.close()
    await ask(client, url, ["N1"])
    arm = (await sink.until_requests(1))["flights-v1"]
    assert (arm.requests, arm.errors) == (1, 0)


@pytest.mark.parametrize("jump", [-1e9, 3600.0])
async def test_a_clock_that_jumps_loses_no_outcome(
    jump: float,
    start_server: StartServer,
    start_router: StartRouter,
    client: aiohttp.ClientSession,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = await start_router(service(await start_server(revisions), ("v1", 100)), sink=sink.url)
    for count, offset in ((1, 0.0), (2, jump)):
        monkeypatch.setattr(observing, "time", lambda offset=offset: time.time() + offset)
        assert await ask(client, url, ["N1"], grpc_timeout="30S") == [(200, "flights-v1")]
        assert (await sink.until_requests(count))["flights-v1"].requests == count
    assert all(0 < outcome.seconds < 30 for outcome in sink.outcomes)
    assert [outcome.sequence for outcome in sink.outcomes] == [1, 2]


async def test_a_body_that_was_sent_as_it_arrived_is_not_sent_again(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    hosts = []

    async def canary_fails(request: web.Request) -> web.StreamResponse:
        hosts.append(request.host.partition("-")[0])
        async for _ in request.content.iter_any():
            pass
        return web.Response(status=500 if request.host.startswith("v2") else 200)

    entry = service(await start_server(canary_fails), ("v1", 50), ("v2", 50), ("shadow", 0))
    url = await start_router(entry, sink=sink.url)
    stable, canary = keys_of(entry, "v1")[0], keys_of(entry, "v2")[0]
    for key, status in ((stable, 200), (canary, 500)):
        headers = {"Tidegate-Routing-Key": key}
        async with client.post(f"{url}/v1/models/flights:predict", data=BytesIO(b"x" * 2_000_000), headers=headers) as reply:
            assert reply.status == status
    arms = await sink.until_requests(2)
    assert hosts == ["v1", "v2"], "and the shadow gets no copy"
    assert [(arm.requests, arm.errors) for arm in arms.values()] == [(1, 0), (1, 1)]


async def test_a_part_of_a_batch_is_answered_by_the_stable_revision(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def canary_fails(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("v2"):
            return web.json_response({"error": "no"}, status=500)
        return await revisions(request)

    keys = KEYS[:100]
    entry = service(await start_server(canary_fails), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    events = [{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "subject": key} for key in keys]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers=BATCH) as reply:
        assert (reply.status, reply.headers["Tidegate-Revision"]) == (200, "flights-v1")
        assert [event["id"] for event in await reply.json(content_type=None)] == [f"r{key}" for key in keys]
    body = {
        "parameters": {"routing_keys": keys},
        "inputs": [{"name": "x", "shape": [len(keys)], "datatype": "FP32", "data": [1.0] * len(keys)}],
    }
    async with client.post(url + INFER, data=orjson.dumps(body)) as reply:
        assert reply.status == 200
        outputs = (await reply.json())["outputs"]
    assert [output["data"] for output in outputs] == [[0.25] * len(keys), ["flights-v1"] * len(keys)]

    canary = [key for key in keys if owner(entry, key) == "v2"]
    arms = await sink.until_requests(2 * len(keys))
    assert (arms["flights-v2"].requests, arms["flights-v2"].errors) == (2 * len(canary), 2 * len(canary))
    assert sorted(arms["flights-v2"].bad_keys["errors"]) == sorted(map(digest, canary)), "a key is listed once"
    assert (arms["flights-v1"].requests, arms["flights-v1"].errors) == (2 * (len(keys) - len(canary)), 0)
    assert len(arms["flights-v1"].scores) == 2 * (len(keys) - len(canary))


async def test_failed_events_within_a_large_reply_count(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def second_fails(request: web.Request) -> web.StreamResponse:
        events = orjson.loads(await request.read())
        replies = [{"type": "dev.tidegate.inference.failed", "data": {"status": 500, "detail": "x" * 100_000}} for _ in events]
        replies[0] = {"type": "dev.tidegate.inference.completed", "data": {"late": 0.5}}
        return web.Response(body=orjson.dumps(replies), content_type=BATCH["content-type"])

    entry = service(await start_server(second_fails), ("v1", 50), ("v2", 50))
    url = await start_router(entry, sink=sink.url)
    keys = keys_of(entry, "v2")[:2]  # of one arm, so that its reply is streamed
    events = [{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "subject": key} for key in keys]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers=BATCH) as reply:
        assert len(await reply.read()) > 100_000
    arm = (await sink.until_requests(2))["flights-v2"]
    assert (arm.requests, arm.errors, arm.bad_keys) == (2, 1, {"errors": [digest(keys[1])]})


async def test_a_reply_that_breaks_off_is_an_error(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "200000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        assert request.transport is not None
        request.transport.close()
        return response

    url = await start_router(service(await start_server(breaks_off), ("v1", 100)), sink=sink.url)
    with contextlib.suppress(aiohttp.ClientError):
        async with client.post(url + INFER, data=b"{}") as reply:
            await reply.read()
    arm = (await sink.until_requests(1))["flights-v1"]
    assert (arm.requests, arm.errors) == (1, 1)


async def test_requests_that_waited_for_a_start_are_cold(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    waiting, started = asyncio.Semaphore(0), asyncio.Event()
    is_new = True

    async def starts(request: web.Request) -> web.StreamResponse:
        nonlocal is_new
        if not started.is_set():
            waiting.release()
            await started.wait()
        headers = {"Tidegate-Cold": "1"} if is_new else {}
        is_new = False
        return web.json_response({}, headers=headers)

    url = await start_router(service(await start_server(starts), ("v1", 100)), sink=sink.url)
    first = [asyncio.create_task(ask(client, url, [key])) for key in KEYS[:3]]
    for _ in first:
        await waiting.acquire()
    started.set()
    await asyncio.gather(*first)
    await ask(client, url, KEYS[:2])
    arm = (await sink.until_requests(5))["flights-v1"]
    assert (arm.requests, sum(arm.latencies)) == (5, 5 - arm.cold)
    # The marked reply may be the last of the three to arrive: then the other two were counted before.
    assert 1 <= arm.cold <= 3


async def test_what_says_nothing_about_an_arm_counts_as_nothing(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=int(request.headers.get("x-status", 200)))

    url = await start_router(service(await start_server(refuses), ("v1", 100)), sink=sink.url)
    for path in (INFER, "/v2/models/flights", "/v2/models/flights/ready"):  # reading is no prediction
        async with client.get(url + path) as reply:
            await reply.read()
    for status in ("401", "403", "404", "429", "422", "200"):
        await ask(client, url, ["N1"], x_status=status)
    # Callers that disconnect before their request is complete.
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{" % INFER.encode())
        writer.close()
        await writer.wait_closed()
    arm = (await sink.until_requests(6))["flights-v1"]
    assert (arm.requests, arm.errors, arm.rejections) == (6, 0, 1)


async def test_a_sink_that_is_down_gets_all_outcomes_later_in_order(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    sink.status = 503
    entry = service(await start_server(revisions), ("v1", 100))
    url = await start_router(entry, service(await start_server(revisions), ("v1", 100), name="other"), sink=sink.url)
    await ask(client, url, KEYS[:3])
    await sink.refused.wait()
    sink.refused.clear()
    await ask(client, url, KEYS[3:5])
    await sink.refused.wait()
    assert sink.outcomes == []
    async with client.get(f"{url}/metrics") as metrics:
        assert re.search(r"tidegate_router_outcomes_queued [12]\.0", await metrics.text())
    sink.status = 0
    arms = await sink.until_requests(5)
    assert arms["flights-v1"].requests == 5
    assert [outcome.sequence for outcome in sink.outcomes] == list(range(1, len(sink.outcomes) + 1))
    async with client.get(f"{url}/metrics") as metrics:
        assert f'tidegate_router_outcomes_total{{result="sent"}} {len(sink.outcomes)}\n' in await metrics.text()


async def test_a_shadow_gets_copies_and_is_compared(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    copies: list[dict[str, str]] = []

    async def shadowed(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("shadow"):
            copies.append({name.lower(): value for name, value in request.headers.items()})
        else:
            assert "tidegate-shadow" not in request.headers
        return await revisions(request)

    entry = service(await start_server(shadowed), ("v1", 100), ("shadow", 0))
    url = await start_router(entry, sink=sink.url)
    assert await ask(client, url, KEYS[:10], tidegate_shadow="1") == [(200, "flights-v1")] * 10
    assert await ask(client, url, KEYS[:2], tidegate_revision="v1") == [(200, "flights-v1")] * 2
    events = [{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "subject": key} for key in KEYS[10:15]]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers=BATCH) as reply:
        assert len(await reply.json(content_type=None)) == 5

    await sink.until(lambda outcomes: sum(one.shadow.pairs for one in outcomes if one.shadow is not None) >= 15)
    shadows = [one.shadow for one in sink.outcomes if one.shadow is not None]
    assert {shadow.revision for shadow in shadows} == {"flights-shadow"}
    assert sum(shadow.disagreements for shadow in shadows) == 15, "0.25 and 0.5 are on different sides"
    assert {difference for shadow in shadows for difference in shadow.differences} == {0.25}
    assert sorted(pair for shadow in shadows for pair in shadow.keys) == sorted((digest(key), True) for key in KEYS[:15])
    assert sum(shadow.failed + shadow.dropped for shadow in shadows) == 0
    assert len(copies) == 11, "a request that names a revision is not copied"
    assert {copy["tidegate-shadow"] for copy in copies} == {"1"}
    assert all("tidegate-revision" not in copy for copy in copies)


async def test_a_caller_never_waits_for_a_shadow(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession, sink: Sink
) -> None:
    release = asyncio.Event()

    async def slow_shadow(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("shadow"):
            await release.wait()
            return web.Response(status=503)
        return await revisions(request)

    entry = service(await start_server(slow_shadow), ("v1", 100), ("shadow", 0))
    url = await start_router(entry, sink=sink.url)
    await ask(client, url, KEYS[:70])
    await sink.until(lambda outcomes: sum(one.shadow.dropped for one in outcomes if one.shadow is not None) == 70 - 64)
    release.set()
    await sink.until(lambda outcomes: sum(one.shadow.failed for one in outcomes if one.shadow is not None) == 64)
    async with client.get(f"{url}/metrics") as metrics:
        text = await metrics.text()
    assert 'tidegate_router_shadows_total{model="flights",result="dropped"} 6\n' in text
    assert 'tidegate_router_shadows_total{model="flights",result="failed"} 64\n' in text


async def test_the_last_outcome_is_sent_after_sigterm(start_server: StartServer, start_process: StartProcess, sink: Sink) -> None:
    arrived, terminated = asyncio.Event(), asyncio.Event()

    async def revision(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await terminated.wait()
        return web.json_response({})

    entry = service(await start_server(revision), ("v1", 100))

    process, port = await start_process(entry, K_SINK=sink.url)
    async with session(timeout_seconds=30) as client:
        asking = asyncio.create_task(ask(client, f"http://127.0.0.1:{port}", ["N1"]))
        await arrived.wait()
        process.send_signal(signal.SIGTERM)
        terminated.set()
        assert await asking == [(200, "flights-v1")]
    log = (await process.communicate())[1].decode()
    assert process.returncode == 0
    assert "Traceback" not in log
    assert [arm.requests for outcome in sink.outcomes for arm in outcome.arms] == [1]
