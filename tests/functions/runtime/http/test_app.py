"""The model function as a real process with real requests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
import xgboost as xgb

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from eventing.reply import reply_id

NAMES = ["a", "b", "c", "d", "e"]
Client = aiohttp.ClientSession


@pytest.fixture(scope="module")
def booster(table: tuple[np.ndarray, np.ndarray]) -> xgb.Booster:
    features, target = table
    return xgb.train({"max_depth": 4}, xgb.DMatrix(features, target, feature_names=NAMES), 10)


@pytest.fixture(scope="module")
def url(booster: xgb.Booster, start_function: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "little.ubj"
    booster.save_model(path)
    return start_function(path, TIDEGATE_MAX_BODY_BYTES="200000")


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(base_url=url) as session:
        yield session


async def post(client: Client, path: str, value: Any) -> tuple[int, Any]:
    async with client.post(path, data=value if isinstance(value, bytes) else orjson.dumps(value)) as response:
        return response.status, await response.json(content_type=None)


def tensor(name: str, shape: list[int], data: list[Any], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def rows(table: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    filled: np.ndarray = np.nan_to_num(table[0][:count], nan=0.25)
    return filled


@pytest.mark.parametrize("count", [1, 3, 500])
async def test_every_protocol_returns_the_same_scores(
    count: int, client: Client, booster: xgb.Booster, table: tuple[np.ndarray, np.ndarray]
) -> None:
    features = rows(table, count)
    expected = booster.predict(xgb.DMatrix(features, feature_names=NAMES)).tolist()
    matrix = tensor("input", [count, 5], features.astype(float).ravel().tolist())
    nested = tensor("input", [count, 5], features.astype(float).tolist())
    columns = [tensor(name, [count], features[:, index].astype(float).tolist()) for index, name in enumerate(NAMES)]
    for inputs in ([matrix], [nested], columns, columns[::-1]):
        status, answer = await post(client, "/v2/models/little/infer", {"id": "r1", "inputs": inputs})
        assert (status, answer["id"], answer["model_name"]) == (200, "r1", "little")
        (output,) = answer["outputs"]
        assert (output["shape"], output["datatype"]) == ([count], "FP32")
        assert output["data"] == expected
    lists = features.astype(float).tolist()
    for instances in (lists, [dict(zip(NAMES, row, strict=True)) for row in lists]):
        assert await post(client, "/v1/models/little:predict", {"instances": instances}) == (200, {"predictions": expected})


BAD_V2: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "the body is not JSON"),
    "no object": ([], "the body must be a JSON object"),
    "no inputs": ({}, "the request has no inputs"),
    "empty inputs": ({"inputs": []}, "the request has no inputs"),
    "tensor is no object": ({"inputs": [3]}, "inputs[0] is 3; send a tensor"),
    "too few features": ({"inputs": [tensor("input", [1, 3], [1, 2, 3])]}, "has 3 columns, but the model has 5 inputs: a, b, c, d, e"),
    "shape and data differ": ({"inputs": [tensor("input", [2, 5], [1] * 5)]}, "has 5 values, but its shape [2, 5] requires 10"),
    "negative shape": ({"inputs": [tensor("input", [-1, 5], [1] * 5)]}, "has the invalid shape [-1, 5]"),
    "huge shape": ({"inputs": [tensor("input", [2**62, 2**62], [1])]}, "has 1 values"),
    "unknown datatype": ({"inputs": [tensor("input", [1, 5], [1] * 5, "FLOAT")]}, "has the unknown datatype 'FLOAT'"),
    "a second input": ({"inputs": [tensor("input", [1, 5], [1] * 5), tensor("more", [1], [1])]}, "has no input input, more"),
    "a column is missing": ({"inputs": [tensor("a", [1], [1])]}, "the input b, c, d, e is missing"),
    "an unknown column": ({"inputs": [tensor(name, [1], [1]) for name in "abcdx"]}, "has no input x; its inputs are a, b, c, d, e"),
    "a column twice": ({"inputs": [tensor(name, [1], [1]) for name in "abcdea"]}, "duplicate tensors: a"),
    "columns of two lengths": (
        {"inputs": [tensor(name, [1 + (name == "c")], [1] * (1 + (name == "c"))) for name in NAMES]},
        "the tensor c has the shape [2]",
    ),
    "a text": ({"inputs": [tensor("input", [1, 5], [1, 2, "x", 4, 5])]}, "row 0: the input c is the string 'x'"),
    "no rows": ({"inputs": [tensor("input", [0, 5], [])]}, "the request has no rows"),
    "ragged rows": (
        {"inputs": [tensor("input", [2, 5], [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]])]},
        "has rows of another length than in its shape",
    ),
    "nested deeper than its shape": (
        {"inputs": [tensor("input", [1, 5], [[[[1, 2, 3, 4, 5]]]])]},
        "rows of another length than in its shape",
    ),
    "lists for values": ({"inputs": [tensor("input", [1, 5], [[[1], [2], [3], [4], [5]]])]}, "the input a is a list; it must be a number"),
}


@pytest.mark.parametrize("case", BAD_V2)
async def test_error_of_the_client_is_400_and_one_sentence(case: str, client: Client) -> None:
    body, sentence = BAD_V2[case]
    status, answer = await post(client, "/v2/models/little/infer", body)
    assert status == 400
    assert sentence in answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/v1/models/little:predict", {"rows": []}, 400, "the request has no instances"),
        ("/v1/models/little:predict", {"instances": [{"a": 1, "z": 2}]}, 400, "no input z"),
        ("/v2/models/big/infer", {}, 404, "model 'big' not found; this function serves little."),
        ("/v2/models/little/versions/9/infer", {}, 404, "version '9' of the model little not found"),
        ("/v3", {}, 404, "no route for /v3."),
        ("/v2/health/live", {}, 405, "method POST not allowed for /v2/health/live."),
        ("/v2/models/little/infer", b" " * 200_001, 413, "the body has 200001 bytes"),
    ],
)
async def test_errors_have_the_status_that_clients_expect(path: str, body: Any, status: int, sentence: str, client: Client) -> None:
    found, answer = await post(client, path, body)
    assert found == status
    assert sentence in answer["error"]


async def test_metadata_has_the_real_inputs_and_outputs(client: Client) -> None:
    for path in ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/little/ready", "/v1/models/little"):
        async with client.get(path) as response:
            assert response.status == 200
    async with client.get("/v2/models/little") as response:
        metadata = await response.json()
    assert [item["name"] for item in metadata["inputs"]] == NAMES
    assert metadata["outputs"][0] | {"parameters": {}} == {"name": "predict", "datatype": "FP32", "shape": [-1], "parameters": {}}
    assert metadata["parameters"] == {"artifact_vouched": False}


def event(event_id: str = "e1", **data: Any) -> Event:
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/shop",
        "type": "fruit.weighed",
        "subject": "pear",
        "partitionkey": "k 1",
    }
    return Event(attributes, data or dict.fromkeys(NAMES, 0.5))


async def send(client: Client, events: list[Event], mode: Mode, path: str = "/models/little") -> tuple[int, Message]:
    message = http.encode(events, mode)
    async with client.post(path, data=message.body, headers=dict(message.headers)) as response:
        return response.status, Message({name.lower(): value for name, value in response.headers.items()}, await response.read())


@pytest.mark.parametrize("mode", [Mode.BINARY, Mode.STRUCTURED])
@pytest.mark.parametrize("path", ["/", "/models/little"])
async def test_event_is_answered_in_its_mode(mode: Mode, path: str, client: Client, booster: xgb.Booster) -> None:
    status, message = await send(client, [event()], mode, path)
    assert (status, http.mode_of(message.headers)) == (200, mode)
    (answer,) = http.decode(message, mode)
    assert answer.type == "dev.tidegate.inference.completed"
    assert answer.id == reply_id("/shop", "e1", "little")
    assert (answer.source, answer.get("subject"), answer.get("partitionkey"), answer.get("causationid")) == (
        "/models/little",
        "pear",
        "k 1",
        "e1",
    )
    expected = booster.predict(xgb.DMatrix(np.full((1, 5), 0.5), feature_names=NAMES)).tolist()[0]
    assert answer.value() == {"predict": expected}


async def test_batch_is_answered_in_order(client: Client) -> None:
    events = [event(str(index)) if index % 3 else event(str(index), a="much") for index in range(10)]
    status, message = await send(client, events, Mode.BATCH)
    assert status == 200
    answers = http.decode(message, Mode.BATCH)
    assert [answer.get("causationid") for answer in answers] == [str(index) for index in range(10)]
    for index, answer in enumerate(answers):
        if index % 3:
            assert answer.type == "dev.tidegate.inference.completed"
        else:
            assert answer.type == "dev.tidegate.inference.failed"
            # Of the types that are JSON, Go's SDK knows this one; at another it stops, and does not read the events
            # behind it.
            assert answer.get("datacontenttype") == "application/json"
            assert answer.value() == {
                "title": "invalid input",
                "status": 400,
                "detail": "the input a is the string 'much'; it must be a number.",
            }


async def test_invalid_event_is_a_problem_that_is_not_retried(client: Client) -> None:
    for events, mode, path, status in (
        ([event(a="much")], Mode.BINARY, "/models/little", 400),
        ([event(a="much")], Mode.STRUCTURED, "/models/little", 400),
        ([event()], Mode.BINARY, "/models/big", 422),
    ):
        found, message = await send(client, events, mode, path)
        assert (found, message.headers["content-type"]) == (status, "application/problem+json")
        assert orjson.loads(message.body)["status"] == status


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        ({}, b"{}", "the request is not a CloudEvent"),
        ({"ce-id": "1", "ce-type": "t", "ce-specversion": "1.0"}, b"{}", "the event has no source"),
        (
            {"ce-id": "1", "ce-type": "t", "ce-source": "s", "ce-specversion": "0.3"},
            b"{}",
            "unsupported specversion '0.3'; send an event of specversion '1.0'",
        ),
        (
            {"ce-id": "1", "ce-type": "t", "ce-source": "s", "ce-specversion": "1.0", "content-type": "application/json"},
            b"{",
            "data is not JSON",
        ),
        (
            {"ce-id": "1", "ce-type": "t", "ce-source": "s", "ce-specversion": "1.0", "content-type": "text/plain"},
            b"x",
            "unsupported datacontenttype text/plain",
        ),
        ({"content-type": "application/cloudevents+json; charset=utf-8"}, b"[]", "an event is a JSON object"),
        ({"content-type": "Application/CloudEvents-Batch+JSON"}, b"[{}]", "event 0 of the batch: the event has no id"),
        ({"content-type": "application/cloudevents+avro"}, b"", "unsupported event format application/cloudevents+avro"),
    ],
)
async def test_message_that_is_not_an_event_is_refused(headers: dict[str, str], body: bytes, sentence: str, client: Client) -> None:
    async with client.post("/", data=body, headers=headers, skip_auto_headers=["content-type"]) as response:
        assert response.status == 400
        assert sentence in (await response.json(content_type=None))["detail"]


async def test_kserve_v1_client_is_supported(client: Client, booster: xgb.Booster, table: tuple[np.ndarray, np.ndarray]) -> None:
    async with client.get("/") as response:
        assert (response.status, await response.json()) == (200, {"status": "alive"})
    features = rows(table, 3)
    lists = features.astype(float).tolist()
    expected = booster.predict(xgb.DMatrix(features, feature_names=NAMES)).tolist()
    assert await post(client, "/v1/models/little:predict", {"inputs": lists}) == (200, {"predictions": expected})
    status, answer = await post(client, "/v1/models/little:predict", {"inputs": lists, "instances": lists})
    assert (status, answer["error"]) == (400, "the request has both instances and inputs; send one of them.")
    contributions = booster.predict(xgb.DMatrix(features, feature_names=NAMES), pred_contribs=True).tolist()
    assert await post(client, "/v1/models/little:explain", {"instances": lists}) == (
        200,
        {"explanations": [dict(zip([*NAMES, "bias"], row, strict=True)) for row in contributions]},
    )


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/v2/health/live", "/v2/models/little", "/v1/models/little", "/metrics", "/docs", "/openapi.json", "/schemas"]
)
async def test_get_routes_support_head_and_a_trailing_slash(path: str, client: Client) -> None:
    for found in {path, path.rstrip("/") + "/"}:
        async with client.get(found, allow_redirects=False) as response:
            assert response.status == 200
            media_type = response.content_type
        async with client.head(found, allow_redirects=False) as response:
            assert (response.status, response.content_type) == (200, media_type)
            assert await response.read() == b""


async def test_percent_encoded_header_is_decoded_and_an_invalid_one_is_named(client: Client) -> None:
    """Headers in UTF-8 are sent by a socket, since HTTP clients refuse them."""
    assert client._base_url is not None
    reader, writer = await asyncio.open_connection(client._base_url.host, client._base_url.port)
    body = orjson.dumps(dict.fromkeys(NAMES, 0.5))
    for subject, status in (("Zürich", b"200"), ('"Z%C3%BCrich"', b"200"), ("50%", b"400")):
        head = (
            f"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nce-specversion: 1.0\r\n"
            f"ce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-subject: {subject}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer[9:12] == status
        assert (b"\r\nce-subject: Z%C3%BCrich\r\n" in answer) is (status == b"200")
        found = re.search(rb"content-length: (\d+)", answer)
        assert found is not None
        await reader.readexactly(int(found[1]))
    writer.close()


async def test_the_replies_of_a_new_process_are_marked(booster: xgb.Booster, start_function: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "little.ubj"
    booster.save_model(path)
    row = orjson.dumps({"inputs": [tensor("input", [1, 5], [0.5] * 5)]})
    marks = []
    async with aiohttp.ClientSession(base_url=start_function(path)) as client:
        async with client.get("/v2/health/ready") as response:
            assert "Tidegate-Cold" not in response.headers
        for _ in range(3):
            async with client.post("/v2/models/little/infer", data=row) as response:
                assert response.status == 200
                marks.append(response.headers.get("Tidegate-Cold"))
    assert marks == ["1", None, None]
