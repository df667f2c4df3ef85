"""Every error of a client is reported in one short sentence and does not affect other clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

LITTLE, WIDE, ONE_BY_ONE = "/v2/models/little/infer", "/v2/models/wide/infer", "/v1/models/little:predict"
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
STRUCTURED = "content-type: application/cloudevents+json"
BATCH = "content-type: application/cloudevents-batch+json"
DEEP = b"[" * 1_000 + b"]" * 1_000
LONG = "x" * 1_000_000
# The memory that a bad request may take in addition to its bytes.
ROOM_MEBIBYTES = 150
OK = {"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [1, 2, 3, 4, 5]}


def tensor(**fields: Any) -> bytes:
    """A request for `little`, valid except for some fields of its tensor."""
    return orjson.dumps({"inputs": [OK | fields]})


def with_raw(value: bytes, field: str) -> bytes:
    """A request whose tensor has JSON that orjson would not write."""
    return tensor(**{field: "HERE"}).replace(b'"HERE"', value)


def event(**fields: Any) -> bytes:
    return orjson.dumps({**EVENT, "data": dict.fromkeys("abcde", 1)} | fields)


@pytest.fixture(autouse=True)
def unharmed(server: Any) -> Iterator[None]:
    yield
    reply = server.ask(server.request(LITTLE, tensor()))
    assert reply.status == 200


BODIES: dict[str, tuple[str, bytes, str]] = {
    "100,000 brackets": (LITTLE, b"[" * 100_000, "the body is not JSON"),
    "100,000 braces": (LITTLE, b'{"a":' * 100_000, "the body is not JSON"),
    "a shape that is deep": (LITTLE, with_raw(DEEP, "shape"), "has the invalid shape a list"),
    "a shape of objects": (LITTLE, tensor(shape=[{}]), "has the invalid shape a list"),
    "a datatype that is deep": (LITTLE, with_raw(DEEP, "datatype"), "has the unknown datatype a list"),
    "data that is deep": (LITTLE, with_raw(DEEP, "data"), "has rows of another length than in its shape [1, 5]"),
    "an id that is deep": (LITTLE, b'{"inputs":[{}],"id":' + DEEP + b"}", "the request's id must be a string, not a list"),
    "parameters that are deep": (LITTLE, b'{"inputs":[{}],"parameters":' + DEEP + b"}", "the parameters of the request are a list"),
    "1e400": (LITTLE, with_raw(b"[1e400,1,1,1,1]", "data"), "the body is not JSON: number is infinity"),
    "400 digits": (LITTLE, with_raw(b"[" + b"9" * 400 + b",1,1,1,1]", "data"), "the body is not JSON: number is infinity"),
    "300 digits": (LITTLE, with_raw(b"[" + b"9" * 300 + b",1,1,1,1]", "data"), "has the value 1e+300, which is out of range for FP32"),
    "NaN": (LITTLE, with_raw(b"[NaN,1,1,1,1]", "data"), "the body is not JSON"),
    "Infinity": (LITTLE, with_raw(b"[-Infinity,1,1,1,1]", "data"), "the body is not JSON"),
    "a shape that multiplies to nothing": (LITTLE, tensor(shape=[9, 0], data=[]), "has 0 columns, but the model has 5 inputs"),
    "a shape of nothing": (LITTLE, tensor(shape=[0], data=[]), "of shape [0] is not an input"),
    "a shape that overflows": (LITTLE, tensor(shape=[2**63, 2**63]), "has 5 values"),
    "nine axes": (LITTLE, tensor(shape=[1] * 8 + [5]), "has the invalid shape [1, 1, 1, 1, 1, 1, 1, 1, 5]"),
    "a million axes": (LITTLE, tensor(shape=[1] * 1_000_000), "send a list of integers, rows first"),
    "a negative axis": (LITTLE, tensor(shape=[-1, -5]), "has the invalid shape [-1, -5]"),
    "a fractional axis": (LITTLE, tensor(shape=[1.0, 5]), "has the invalid shape [1.0, 5]"),
    "a boolean axis": (LITTLE, tensor(shape=[True, 5]), "has the invalid shape [True, 5]"),
    "an empty name": (LITTLE, tensor(name=""), "inputs[0] has no name"),
    "a long name": (LITTLE, tensor(name=LONG, shape=[5]), "the tensor xxx"),
    "a long datatype": (LITTLE, tensor(datatype=LONG), "has the unknown datatype 'xxx"),
    "a long name of a column": (LITTLE, orjson.dumps({"inputs": [OK | {"name": LONG}] * 2}), "the model has no input xxx"),
    "a long name of an output": (LITTLE, orjson.dumps({"inputs": [OK], "outputs": [{"name": LONG}]}), "the model has no output xxx"),
    "a long name of a field": (ONE_BY_ONE, orjson.dumps({"instances": [{LONG: 1}]}), "the model has no input xxx"),
    "a surrogate alone": (LITTLE, b'{"id":"\\ud800","inputs":[]}', "the body is not JSON"),
    "a byte order mark": (LITTLE, b"\xef\xbb\xbf" + tensor(), "the body is not JSON"),
    "UTF-16": (LITTLE, tensor().decode().encode("utf-16"), "the body is not JSON"),
    "no instances": (ONE_BY_ONE, b'{"instances":{}}', "the request has no instances"),
}


@pytest.mark.parametrize("case", BODIES)
def test_invalid_body_is_400_and_one_short_sentence(case: str, server: Any) -> None:
    path, body, sentence = BODIES[case]
    reply = server.ask(server.request(path, body))
    assert reply.status == 400
    assert sentence in reply.sentence
    assert len(reply.sentence) <= 500


def test_rows_without_columns_are_refused(server: Any) -> None:
    reply = server.ask(server.request(LITTLE, tensor(shape=[10**9, 0], data=[])))
    assert (reply.status, reply.sentence) == (400, "the tensor x has 0 columns, but the model has 5 inputs: a, b, c, d, e.")
    reply = server.ask(server.request(LITTLE, tensor(name="a", shape=[10**9, 0], data=[])))
    assert (reply.status, reply.sentence) == (400, "the input b, c, d, e is missing; the model's inputs are a, b, c, d, e.")
    reply = server.ask(server.binary(LITTLE, [("x", [10**9, 0], "FP32", b"")]))
    assert (reply.status, reply.sentence) == (413, "the request has 1000000000 rows, more than the limit of 100000; send several requests.")


@pytest.mark.parametrize(
    ("body", "headers", "sentence"),
    [
        (event(specversion=LONG), [STRUCTURED], "unsupported specversion 'xxx"),
        (event(extra=[LONG]), [STRUCTURED], "the event's attribute extra is"),
        (event(datacontenttype=LONG), [STRUCTURED], "unsupported datacontenttype xxx"),
        (event(data=None, data_base64="%"), [STRUCTURED], "data_base64 is not Base64"),
        (event(data_base64="e30="), [STRUCTURED], "both data and data_base64"),
        (event(data=None), [STRUCTURED], "a row must be an object with the model's inputs by name, not null"),
        (event().replace(b'"t"', b'"\\ud800"'), [STRUCTURED], "the body is not JSON"),
        (b"", ["content-type: application/cloudevents" + "x" * 20_000], "unsupported event format"),
        (b"{}", [BATCH], "a batch of events is a JSON array"),
        (b"[3]", [BATCH], "event 0 of the batch: an event is a JSON object"),
    ],
)
def test_invalid_event_is_a_problem_of_one_short_sentence(body: bytes, headers: list[str], sentence: str, server: Any) -> None:
    reply = server.ask(server.request("/models/little", body, *headers))
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert sentence in reply.sentence
    assert len(reply.sentence) <= 500


@pytest.mark.parametrize("value", ["-1", "", "x", "1e3", "99999", "9" * 5_000, "1, 2"])
def test_invalid_length_of_the_json_part_is_400(value: str, server: Any) -> None:
    reply = server.ask(server.request(LITTLE, tensor(), f"inference-header-content-length: {value}"))
    assert reply.status == 400
    assert "Inference-Header-Content-Length is" in reply.sentence


def test_two_lengths_of_the_json_part_are_400(server: Any) -> None:
    lengths = [f"inference-header-content-length: {length}" for length in (3, len(tensor()))]
    reply = server.ask(server.request(LITTLE, tensor(), *lengths))
    assert reply.status == 400
    assert reply.sentence == "Inference-Header-Content-Length is sent more than once; send it once."


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ([("x", [1, 5], "FP32", bytes(19))], "has 19 bytes, but its shape [1, 5] of FP32 requires 20"),
        ([("x", [2**62, 2**62], "FP64", bytes(8))], "has 8 bytes, but its shape"),
        ([("x", [1, 5], "BOOL", b"\0\1\2\0\1")], "neither 0 nor 1"),
        ([("x", [1, 5], "BYTES", b"\xff\xff\xff\xff")], "ends within a string"),
        ([("x", [1, 1], "BYTES", b"\1\0\0\0\xff")], "not UTF-8"),
    ],
)
def test_binary_data_that_does_not_match_its_shape_is_400(inputs: list[Any], sentence: str, server: Any) -> None:
    reply = server.ask(server.binary(LITTLE, inputs))
    assert reply.status == 400
    assert sentence in reply.sentence


def test_binary_data_without_a_tensor_is_400(server: Any) -> None:
    head = tensor()
    reply = server.ask(server.request(LITTLE, head + b"more", f"inference-header-content-length: {len(head)}"))
    assert reply.status == 400
    assert "4 bytes follow the JSON part" in reply.sentence


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v2/models/" + "x" * 50_000 + "/infer", [], 404),
        ("/models/" + "x" * 50_000, [STRUCTURED], 422),
        ("/v2/models/%ff%00/infer", [], 404),
        ("/v2/models//infer", [], 404),
        ("/" * 60_000, [], 404),
        ("/v2/../v2/models/little/infer", [], 404),
        ("/v2/health/live//", [], 404),
        (LITTLE, ["content-encoding: br"], 415),
        (LITTLE, ["content-encoding: gzip, gzip"], 415),
        (LITTLE, ["content-encoding: gzip"], 400),
        (LITTLE, ["content-type: text/xml"], 415),
    ],
)
def test_other_paths_and_media_types_are_refused(path: str, headers: list[str], status: int, server: Any) -> None:
    reply = server.ask(server.request(path, tensor(), *headers))
    assert reply.status == status
    assert 0 < len(reply.sentence) <= 500


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v2/models/%6cittle/infer", []),
        (LITTLE + "/", []),
        (LITTLE, ["content-type: Application/JSON; charset=utf-8"]),
        (LITTLE, ["content-encoding: Identity"]),
        # Java's client offers this with every first request, and sends the body without waiting for a response.
        (LITTLE, ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA"]),
    ],
)
def test_unusual_valid_requests_are_answered(path: str, headers: list[str], server: Any) -> None:
    assert server.ask(server.request(path, tensor(), *headers)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_method_is_405_with_the_allowed_ones(method: str, server: Any) -> None:
    reply = server.ask(server.request(LITTLE, method=method), head=method == "HEAD")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_strings_of_any_characters_are_returned_unchanged(server: Any) -> None:
    strange = "\0\r\nx: y\x7f\U0001f40d"
    reply = server.ask(server.request(LITTLE, orjson.dumps({"id": strange, "inputs": [OK]})))
    assert orjson.loads(reply.body)["id"] == strange
    reply = server.ask(server.request("/models/little", event(subject=strange), STRUCTURED))
    assert orjson.loads(reply.body)["subject"] == strange
    encoded = "%00%0D%0Ax: y%7F%F0%9F%90%8D"
    headers = [f"ce-{name}: {value}" for name, value in {**EVENT, "subject": encoded}.items()]
    reply = server.ask(server.request("/models/little", orjson.dumps(dict.fromkeys("abcde", 1)), *headers))
    assert reply.headers["ce-subject"].replace("%20", " ") == encoded


def in_binary(inputs: list[tuple[str, list[int], str, bytes]], **fields: Any) -> Callable[[Any], bytes]:
    return lambda server: bytes(server.binary(WIDE, inputs, **fields))


def in_json(path: str, body: bytes, *headers: str) -> Callable[[Any], bytes]:
    return lambda server: bytes(server.request(path, body, *headers))


def many_members(*, in_tensor: bool = False) -> bytes:
    """An object of 4 MiB in which a linear search for each name would take minutes."""
    members = {f"m{index}": 1 for index in range(300_000)}
    tensor = {"name": "x", "shape": [1, 30], "datatype": "FP32", "data": [1.5] * 30}
    request = {"inputs": [tensor | members if in_tensor else tensor], "outputs": [{"name": "y"}] * 2}
    return orjson.dumps(request if in_tensor else members | request)


# Each took hundreds of megabytes, or blocked the function for seconds, before it was refused or answered.
BOMBS: dict[str, tuple[Callable[[Any], bytes], int, str]] = {
    "one column of a great many rows": (in_binary([("f0", [20_000_000], "UINT8", bytes(20_000_000))]), 413, "20000000 rows"),
    "halves that are far too many": (in_binary([("x", [100_000, 300], "FP16", bytes(60_000_000))]), 413, "30000000 values"),
    "a great many booleans": (in_binary([("x", [100_000, 600], "BOOL", bytes(60_000_000))]), 413, "60000000 values"),
    "a great many texts": (in_binary([("x", [1_000, 30], "BYTES", b"\2\0\0\0zz" * 10_000_000)]), 400, "its shape [1000, 30] requires"),
    "a great many lists": (in_json(WIDE, b"[" + b"[]," * 1_300_000 + b"[]]"), 413, "lists and objects"),
    "a great many instances": (in_json("/v1/models/wide:predict", b'{"instances":[' + b"{}," * 150_000 + b"{}]}"), 413, "150001 rows"),
    "a great many events": (in_json("/models/wide", b"[" + b"{}," * 150_000 + b"{}]", BATCH), 400, "event 0"),
    "a great many tensors of one name": (
        in_json(WIDE, orjson.dumps({"inputs": [{"name": "f0", "shape": [1], "datatype": "FP32", "data": [1]}] * 60_000})),
        400,
        "duplicate tensors: f0",
    ),
    "a great many members": (in_json(WIDE, many_members()), 400, "an output is named twice"),
    "a great many members of a tensor": (in_json(WIDE, many_members(in_tensor=True)), 400, "an output is named twice"),
    "a great many leaves": (
        in_binary([("x", [100_000, 30], "FP32", bytes(12_000_000))], outputs=[{"name": "leaf"}]),
        413,
        "the response would have 20000000 values",
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_request_that_would_expand_in_memory_is_refused_early(
    case: str, start_server: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    make, status, sentence = BOMBS[case]
    server = start_server()
    before = server.mebibytes()
    sent = make(server)
    reply = server.ask(sent)
    assert reply.status == status
    assert sentence in reply.sentence
    assert server.mebibytes() - before < ROOM_MEBIBYTES + len(sent) / 2**20
    assert server.stop() == 0
