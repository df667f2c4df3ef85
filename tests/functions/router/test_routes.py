"""Requests to a model: forwarded, or split among its revisions and joined."""

from __future__ import annotations

import gzip
from array import array
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from eventing.codecs.json import BATCH_MEDIA_TYPE, MEDIA_TYPE
from tests.functions.router.flights import INFER, KEYS, echo, owner, respond, score, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


async def test_a_request_reaches_its_revision_unchanged(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    port = await start_server(echo)
    url = await start_router(service(port, ("v1", 100)))
    headers = {"traceparent": "00-abc-def-01", "Connection": "x-mine", "X-Mine": "1", "K-Proxy-Request": "activator", "X-Other": "é"}
    async with client.put(f"{url}/v2/models/flights/a%20b?q=%20x", data=b"{ }", headers=headers) as answer:
        seen = await answer.json()
    assert (seen["host"], seen["path"], seen["method"], seen["body"]) == (
        f"v1-flights.localhost:{port}",
        "/v2/models/flights/a%20b?q=%20x",
        "PUT",
        "{ }",
    )
    assert seen["headers"]["traceparent"] == "00-abc-def-01"
    assert seen["headers"]["x-other"] == "é"
    assert not {"x-mine", "k-proxy-request", "connection"} & seen["headers"].keys()
    assert answer.headers["X-Own"] == "1"
    assert answer.headers["Tidegate-Revision"] == "flights-v1"


@pytest.mark.parametrize("path", ["/v2/models/flights/infer", "/v1/models/flights:predict"])
async def test_a_key_stays_with_its_revision(
    path: str, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(echo), ("v1", 60), ("v2", 40))
    url = await start_router(entry)
    for key in ["N123", "naïve", *KEYS[:10]]:
        async with client.post(url + path, data=b"{}", headers={"Tidegate-Routing-Key": key}) as answer:
            assert answer.headers["Tidegate-Revision"] == f"flights-{owner(entry, key)}"


async def test_an_event_is_assigned_as_in_a_batch(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(echo), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    for key in KEYS[:10]:
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "partitionkey": key}
        binary = {f"ce-{name}": value for name, value in event.items()}
        sent: list[tuple[bytes, dict[str, str]]] = [
            (b"{}", {**binary, "content-type": "application/json"}),
            (orjson.dumps(event), {"content-type": MEDIA_TYPE}),
            (orjson.dumps([event]), {"content-type": BATCH_MEDIA_TYPE}),
        ]
        for body, headers in sent:
            async with client.post(f"{url}/models/flights", data=body, headers=headers) as answer:
                assert answer.headers["Tidegate-Revision"] == f"flights-{owner(entry, key)}"
                assert (await answer.json())["body"] == body.decode()


async def test_an_override_takes_precedence(start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(await start_server(echo), ("v1", 100), ("v2", 0)))
    for name in ("v2", "flights-v2"):
        async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Revision": name}) as answer:
            assert answer.headers["Tidegate-Revision"] == "flights-v2"
    async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Revision": "v9"}) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"] == "model flights has no revision or tag v9; it has flights-v1, v1, flights-v2, v2."
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-tidegaterevision": "v2"}
    async with client.post(f"{url}/models/flights", headers=event) as answer:
        assert answer.headers["Tidegate-Revision"] == "flights-v2"


async def test_override_can_be_switched_off(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(respond), "v1", "v2"), allow_override=False)
    batch = {"content-type": "application/cloudevents-batch+json"}
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    body = b'[{"specversion":"1.0","id":"1","source":"/s","type":"t","tidegaterevision":"v2"}]'
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Revision": "v2"}) as answer:
            assert answer.status == 403
            assert "naming a revision is switched off here, but the request names 'v2'" in (await answer.json())["error"]
        for headers, content in ((batch, body), ({**event, "ce-tidegaterevision": "v2"}, b""), ({**event, "Tidegate-Revision": "v2"}, b"")):
            async with client.post(f"{url}/models/flights", data=content, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (403, "application/problem+json")
        async with client.post(f"{url}/models/flights", data=b"", headers=event) as answer:
            assert answer.status == 200


async def test_a_batch_is_split_by_key_and_joined_in_order(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(score), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "partitionkey": key} for n, key in enumerate(KEYS)]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        replies = await answer.json(content_type=BATCH_MEDIA_TYPE)
    assert [reply["data"] for reply in replies] == [[owner(entry, key), str(n)] for n, key in enumerate(KEYS)]
    assert set(answer.headers["Tidegate-Revision"].split(", ")) == {"flights-v1", "flights-v2"}


async def test_events_of_a_failing_stable_revision_get_failures(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "starting"}, status=503) if request.host.startswith("v1") else await score(request)

    entry = service(await start_server(half), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "subject": key} for n, key in enumerate(KEYS)]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        assert answer.status == 200
        replies = await answer.json(content_type=BATCH_MEDIA_TYPE)
    for event, reply in zip(events, replies, strict=True):
        if owner(entry, event["subject"]) == "v2":
            assert reply["data"] == ["v2", event["id"]]
        else:
            assert (reply["type"], reply["causationid"]) == ("dev.tidegate.inference.failed", event["id"])
            assert reply["data"]["status"] == 503


async def test_an_event_that_is_nested_too_deep_fails_alone(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(score), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    deep = b"[" * 300 + b"]" * 300
    one, other = (next(key for key in KEYS if owner(entry, key) == tag) for tag in ("v1", "v2"))

    async def send(*keys: str) -> tuple[int, Any]:
        """One event for each key; the first is the deep one."""
        events = [
            b'{"specversion":"1.0","id":"%d","source":"/s","type":"t","subject":"%s","data":%s}' % (n, key.encode(), b"1" if n else deep)
            for n, key in enumerate(keys)
        ]
        body = b"[" + b",".join(events) + b"]"
        async with client.post(f"{url}/models/flights", data=body, headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
            return answer.status, await answer.json(content_type=None)

    # Refused like a batch with an invalid event: its sender halves it until that event is alone.
    assert (await send(one, one, other))[0] == 400
    status, replies = await send(one, other)
    assert (status, replies[0]["causationid"], replies[0]["data"]["status"]) == (200, "0", 400)
    assert replies[1]["data"] == ["v2", "1"]


async def test_rows_are_split_by_their_keys_and_joined_in_order(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(score), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    column = {"name": "x", "shape": [len(KEYS)], "datatype": "FP32", "data": list(range(len(KEYS)))}
    body = {"id": "7", "parameters": {"routing_keys": KEYS}, "inputs": [column]}
    async with client.post(f"{url}/v2/models/flights/infer", data=orjson.dumps(body)) as answer:
        assert answer.status == 200
        joined = await answer.json()
    assert joined["id"] == "7"
    assert "model_version" not in joined
    assert {output["name"]: output["data"] for output in joined["outputs"]} == {
        "late": [2 * n for n in range(len(KEYS))],
        "revision": [f"flights-{owner(entry, key)}" for key in KEYS],
    }


async def test_binary_rows_are_split_by_their_keys_and_joined_in_order(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def double(request: web.Request) -> web.StreamResponse:
        body, length = await request.read(), int(request.headers["Inference-Header-Content-Length"])
        head = orjson.loads(body[:length])
        assert head["parameters"] == {"binary_data_output": True}
        (tensor,) = head["inputs"]
        assert len(body) - length == tensor["parameters"]["binary_data_size"] == 4 * tensor["shape"][0]
        outputs = array("f", [2 * value for value in array("f", body[length:])]).tobytes()
        head = orjson.dumps({"model_name": "flights", "outputs": [{**tensor, "name": "late"}]})
        return web.Response(body=head + outputs, headers={"Inference-Header-Content-Length": str(len(head))})

    entry = service(await start_server(double), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    values = array("f", [float(n) for n in range(len(KEYS))]).tobytes()
    column = {"name": "x", "shape": [len(KEYS)], "datatype": "FP32", "parameters": {"binary_data_size": len(values)}}
    head = orjson.dumps({"parameters": {"routing_keys": KEYS, "binary_data_output": True}, "inputs": [column]})
    for body, headers in ((head + values, {}), (gzip.compress(head + values), {"Content-Encoding": "gzip"})):
        sent = {**headers, "Inference-Header-Content-Length": str(len(head))}
        async with client.post(url + INFER, data=body, headers=sent) as answer:
            assert answer.status == 200
            found, length = await answer.read(), int(answer.headers["Inference-Header-Content-Length"])
        late, revisions = orjson.loads(found[:length])["outputs"]
        assert late == {**column, "name": "late"}
        assert array("f", found[length:]).tolist() == [2.0 * n for n in range(len(KEYS))]
        assert revisions["data"] == [f"flights-{owner(entry, key)}" for key in KEYS]
    async with client.post(url + INFER, data=head + values[1:], headers={"Inference-Header-Content-Length": str(len(head))}) as answer:
        assert answer.status == 400
        assert "input x has 799 bytes, but its shape requires 800" in await answer.text()


async def test_rows_that_one_revision_refuses_are_refused(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("v2"):
            return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "3"})
        return await score(request)

    url = await start_router(service(await start_server(refuse), ("v1", 50), ("v2", 50)))
    column = {"name": "x", "shape": [len(KEYS)], "datatype": "FP32", "data": KEYS}
    body = {"id": "7", "parameters": {"routing_keys": KEYS}, "inputs": [column]}
    async with client.post(f"{url}/v2/models/flights/infer", data=orjson.dumps(body)) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    body["parameters"] = {"routing_keys": ["N1"]}
    async with client.post(f"{url}/v2/models/flights/infer", data=orjson.dumps(body)) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"] == "routing_keys has 1 keys, but input x has 200 rows; send one key a row."


async def test_a_batch_for_one_arm_is_not_parsed(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(echo), ("v1", 100), ("v2", 0)))
    async with client.post(f"{url}/models/flights", data=b"[ no JSON", headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        assert (await answer.json())["body"] == "[ no JSON"
    event = b'[{"specversion":"1.0","id":"1","source":"/s","type":"t","tidegaterevision":"v2"}]'
    async with client.post(f"{url}/models/flights", data=event, headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        assert answer.headers["Tidegate-Revision"] == "flights-v2"


async def test_a_key_in_the_header_applies_to_a_whole_batch(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(echo), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    for key in KEYS[:5]:
        headers = {"content-type": BATCH_MEDIA_TYPE, "Tidegate-Routing-Key": key}
        async with client.post(f"{url}/models/flights", data=b"[]", headers=headers) as answer:
            assert answer.headers["Tidegate-Revision"] == f"flights-{owner(entry, key)}"


async def test_an_unreachable_stable_arm_fails_its_events_and_the_whole_tensor(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("v1"):
            assert request.transport is not None
            request.transport.abort()
        return await score(request)

    entry = service(await start_server(cut), ("v1", 50), ("v2", 50))
    url = await start_router(entry)
    events = [{"specversion": "1.0", "id": key, "source": "/s", "type": "t", "partitionkey": key} for key in KEYS]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        replies = await answer.json(content_type=BATCH_MEDIA_TYPE)
    failed = [reply["causationid"] for reply in replies if reply["type"] == "dev.tidegate.inference.failed"]
    assert failed == [key for key in KEYS if owner(entry, key) == "v1"]
    column = {"name": "x", "shape": [len(KEYS)], "datatype": "FP32", "data": KEYS}
    body = {"id": "7", "parameters": {"routing_keys": KEYS}, "inputs": [column]}
    async with client.post(f"{url}/v2/models/flights/infer", data=orjson.dumps(body)) as answer:
        assert answer.status == 503
        assert "revision flights-v1" in (await answer.json())["error"]


async def test_a_reply_that_cannot_be_joined_is_502(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(echo), ("v1", 100)))
    column = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    body = orjson.dumps({"parameters": {"routing_keys": ["N1"]}, "inputs": [column]})
    async with client.post(f"{url}/v2/models/flights/infer", data=body) as answer:
        assert answer.status == 502
    length = {"Inference-Header-Content-Length": str(len(body))}
    async with client.post(f"{url}/v2/models/flights/infer", data=body + b"123", headers=length) as answer:
        assert answer.status == 400


async def test_some_events_of_a_batch_name_a_revision_without_a_percentage(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(score), ("v1", 100), ("v2", 0)))
    events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t"} for n in range(4)]
    for event in events[1:3]:
        event["tidegaterevision"] = "v2"
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers={"content-type": BATCH_MEDIA_TYPE}) as answer:
        replies = await answer.json(content_type=BATCH_MEDIA_TYPE)
    assert [reply["data"] for reply in replies] == [["v1", "0"], ["v2", "1"], ["v2", "2"], ["v1", "3"]]


async def test_a_request_that_is_not_an_event_is_refused(start_router: StartRouter, client: aiohttp.ClientSession) -> None:
    url = await start_router(service(1, ("v1", 100)))
    async with client.post(f"{url}/models/flights", json={}) as answer:
        assert answer.status == 400
        assert "not a CloudEvent" in (await answer.json(content_type="application/problem+json"))["detail"]
