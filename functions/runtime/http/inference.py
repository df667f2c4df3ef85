"""The inference routes: Open Inference Protocol (V2), V1 and CloudEvents, each from HTTP to the data plane and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from functions.runtime.contract.outputs import OutputTensor, ServedOutput
from functions.runtime.errors import not_a_cloudevent
from functions.runtime.http.asgi import Answer
from functions.runtime.http.call import HTTPCall
from functions.runtime.inference.events import infer, infer_batch
from functions.runtime.inference.limits import OFF_LOOP_BYTES
from functions.runtime.protocols import events, v1, v2
from functions.runtime.protocols.body import check_json, parse_json
from functions.runtime.protocols.events import EventRequest

# About the bytes of JSON of a number, and of an event without its data: an estimate of a response's size and encoding
# time.
_BYTES_PER_VALUE = 20
_BINARY_BYTES_PER_VALUE = 8
_BYTES_PER_EVENT = 500
# Decoding binary data is at least this many times faster than JSON of the same size.
_BINARY_SPEED_UP = 4

# The decoded requests, as far as they are valid, and the replies.
_Replied = tuple[Sequence[EventRequest | Event], list[Event]]
_Cost = Callable[[int, Sequence[ServedOutput]], int]
_DocumentOf = Callable[[Sequence[OutputTensor]], dict[str, Any]]


async def infer_v2(call: HTTPCall) -> Answer:
    """Handle a V2 request, with or without binary tensors."""
    call.check_json()
    model = call.entry.model
    body = await call.body()
    length = call.json_length(body)
    json_bytes = len(body) if length is None else length
    _check_json(call, body, json_bytes)
    decode_cost = json_bytes + (len(body) - json_bytes) // _BINARY_SPEED_UP
    if decode_cost < OFF_LOOP_BYTES:  # nearly all requests: these do without another coroutine
        request = v2.decode(body, length, model)
    else:
        request = await call.offload(decode_cost, v2.decode, body, length, model)
    rows = request.rows
    if request.timeout_seconds is not None:
        call.limit(request.timeout_seconds)
    call.exchange.request_id = request.id or call.exchange.request_id
    call.decoded(rows.count)
    encode_cost = _encode_cost(rows.count, [output for output in request.outputs if output.name not in request.binary])
    call.expect(encode_cost + (_binary_bytes(request) if request.binary else 0))
    tensors = await call.cancel_on_disconnect(rows.count, model.infer(rows, request.outputs, call.deadline))
    call.predicted()
    if encode_cost < OFF_LOOP_BYTES:
        content, json_length = v2.encode(model.card, request, tensors)
    else:
        content, json_length = await call.offload(encode_cost, v2.encode, model.card, request, tensors)
    if json_length is None:
        return Answer(content)
    header = (b"inference-header-content-length", str(json_length).encode())
    return Answer(content, content_type=b"application/octet-stream", headers=(header,))


async def predict_v1(call: HTTPCall) -> Answer:
    """Handle a V1 `:predict` request."""
    outputs = call.entry.model.outputs.default
    return await _infer_v1(call, outputs, _encode_cost, v1.document_of)


async def explain_v1(call: HTTPCall) -> Answer:
    """Handle a V1 `:explain` request: the contribution of each feature to the margin of each row."""
    model = call.entry.model
    explained = v1.explained(model.outputs)
    explain = partial(v1.explanations, v1.explained_columns(model.card))
    return await _infer_v1(call, (explained,), _explain_cost, explain)


async def _infer_v1(call: HTTPCall, outputs: tuple[ServedOutput, ...], cost: _Cost, document_of: _DocumentOf) -> Answer:
    call.check_json()
    model = call.entry.model
    body = await call.body()
    _check_json(call, body, len(body))
    rows = await call.offload(len(body), lambda: v1.parse(parse_json(body), model))
    call.decoded(rows.count)
    encode_cost = cost(rows.count, outputs)
    call.expect(encode_cost)
    tensors = await call.cancel_on_disconnect(rows.count, model.infer(rows, outputs, call.deadline))
    call.predicted()
    return Answer(await call.offload(encode_cost, lambda: orjson.dumps(document_of(tensors))))


async def infer_events(call: HTTPCall) -> Answer:
    """Handle a CloudEvent in binary or structured mode, or a batch."""
    message = Message({name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()}, b"")
    mode = http.mode_of(message.headers)
    if mode is None:
        raise not_a_cloudevent()
    message = Message(message.headers, await call.body())
    _check_json(call, message.body, len(message.body))
    requests, replies = await (_infer_batch(call, message) if mode is Mode.BATCH else _infer_one(call, message, mode))
    answer = await call.offload(_events_cost(requests), http.encode, replies, mode)
    headers = dict(answer.headers)
    content_type = headers.pop("content-type", "application/json")
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return Answer(answer.body, content_type=content_type.encode(), headers=pairs)


async def _infer_one(call: HTTPCall, message: Message, mode: Mode) -> _Replied:
    model = call.entry.model

    def read() -> EventRequest:
        (received,) = http.decode(message, mode)
        return events.read(model, received)

    request = await call.offload(len(message.body), read)
    call.exchange.request_id = request.event.id
    call.exchange.event = request.event.attributes
    call.exchange.traceparent = str(request.event.get("traceparent") or call.exchange.traceparent)
    call.decoded(request.rows.count)
    call.expect(_events_cost([request]))
    reply = await call.cancel_on_disconnect(request.rows.count, infer(model, request, call.deadline))
    call.predicted()
    return [request], [reply]


async def _infer_batch(call: HTTPCall, message: Message) -> _Replied:
    model = call.entry.model

    def read() -> list[EventRequest | Event]:
        return events.read_all(model, http.decode(message, Mode.BATCH))

    requests = await call.offload(len(message.body), read)
    count = sum(item.rows.count for item in requests if isinstance(item, EventRequest))
    call.decoded(count)
    call.expect(_events_cost(requests))
    replies = await call.cancel_on_disconnect(count, infer_batch(model, requests, call.deadline))
    call.predicted()
    return requests, replies


def _events_cost(requests: Sequence[EventRequest | Event]) -> int:
    """Estimate the bytes of the replies."""
    valid = [item for item in requests if isinstance(item, EventRequest)]
    return _BYTES_PER_EVENT * len(requests) + sum([_encode_cost(item.rows.count, item.outputs) for item in valid])


def _binary_bytes(request: v2.Request) -> int:
    """Estimate the bytes of the response's binary tensors."""
    return _BINARY_BYTES_PER_VALUE * request.rows.count * sum([item.width for item in request.outputs if item.name in request.binary])


def _encode_cost(rows: int, outputs: Sequence[ServedOutput]) -> int:
    """Estimate the bytes of JSON of these outputs."""
    return _BYTES_PER_VALUE * rows * sum([output.width for output in outputs])


def _explain_cost(rows: int, outputs: Sequence[ServedOutput]) -> int:
    """Estimate the bytes of JSON of explanations, where each value has the name of its feature."""
    return 2 * _encode_cost(rows, outputs)


def _check_json(call: HTTPCall, body: bytes, json_bytes: int) -> None:
    check_json(body, json_bytes, call.capacity.limits.json_bytes)
