"""The routes that predict: Open Inference (V2), V1 and CloudEvents, each a thin way to the data plane and back."""

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
from functions.runtime.http.call import OFF_LOOP_BYTES, Call
from functions.runtime.protocols import events, v1, v2
from functions.runtime.protocols.body import parse_json
from functions.runtime.protocols.limits import check_json

# About what a number, and an event without its data, take in JSON: tells roughly how long writing an answer takes, and its size.
_BYTES_PER_VALUE = 20
_BINARY_BYTES_PER_VALUE = 8
_BYTES_PER_EVENT = 500
# Of reading, to JSON of the same bytes, at the least.
_BINARY_SPEED_UP = 4

# What was asked, where it could be read, and the replies.
_Answered = tuple[Sequence[events.Question | Event], list[Event]]
_Cost = Callable[[int, Sequence[ServedOutput]], int]
_DocumentOf = Callable[[Sequence[OutputTensor]], dict[str, Any]]


async def infer_v2(call: Call) -> Answer:
    call.check_json()
    model = call.slot.model
    body = await call.body()
    length = call.json_length(body)
    json_bytes = len(body) if length is None else length
    _check_json(call, body, json_bytes)
    decode_cost = json_bytes + (len(body) - json_bytes) // _BINARY_SPEED_UP
    if decode_cost < OFF_LOOP_BYTES:  # as nearly all have: for these, not even a coroutine more
        request = v2.decode(body, length, model)
    else:
        request = await call.aside(decode_cost, v2.decode, body, length, model)
    rows = request.rows
    call.exchange.request_id = request.id or call.exchange.request_id
    call.decoded(rows.count)
    encode_cost = _encode_cost(rows.count, [output for output in request.outputs if output.name not in request.binary])
    call.expect(encode_cost + (_binary_bytes(request) if request.binary else 0))
    answered = await call.unless_gone(rows.count, model.infer(rows, request.outputs, call.deadline))
    call.predicted()
    if encode_cost < OFF_LOOP_BYTES:
        content, json_length = v2.encode(model.card, request, answered)
    else:
        content, json_length = await call.aside(encode_cost, v2.encode, model.card, request, answered)
    if json_length is None:
        return Answer(content)
    header = (b"inference-header-content-length", str(json_length).encode())
    return Answer(content, content_type=b"application/octet-stream", headers=(header,))


async def predict_v1(call: Call) -> Answer:
    outputs = call.slot.model.outputs.default
    return await _answer_v1(call, outputs, _encode_cost, v1.document_of)


async def explain_v1(call: Call) -> Answer:
    """What each feature adds to the margin of each row."""
    model = call.slot.model
    explained = v1.explained(model.outputs)
    explain = partial(v1.explanations, v1.explained_columns(model.card))
    return await _answer_v1(call, (explained,), _explain_cost, explain)


async def _answer_v1(call: Call, outputs: tuple[ServedOutput, ...], cost: _Cost, document_of: _DocumentOf) -> Answer:
    call.check_json()
    model = call.slot.model
    body = await call.body()
    _check_json(call, body, len(body))
    rows = await call.aside(len(body), lambda: v1.parse(parse_json(body), model))
    call.decoded(rows.count)
    encode_cost = cost(rows.count, outputs)
    call.expect(encode_cost)
    answered = await call.unless_gone(rows.count, model.infer(rows, outputs, call.deadline))
    call.predicted()
    return Answer(await call.aside(encode_cost, lambda: orjson.dumps(document_of(answered))))


async def infer_events(call: Call) -> Answer:
    message = Message({name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()}, b"")
    mode = http.mode_of(message.headers)
    if mode is None:
        raise not_a_cloudevent()
    message = Message(message.headers, await call.body())
    _check_json(call, message.body, len(message.body))
    questions, replies = await (_answer_batch(call, message) if mode is Mode.BATCH else _answer_one(call, message, mode))
    answer = await call.aside(_events_cost(questions), http.encode, replies, mode)
    headers = dict(answer.headers)
    content_type = headers.pop("content-type", "application/json")
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return Answer(answer.body, content_type=content_type.encode(), headers=pairs)


async def _answer_one(call: Call, message: Message, mode: Mode) -> _Answered:
    model = call.slot.model

    def read() -> events.Question:
        (received,) = http.decode(message, mode)
        return events.read(model, received)

    question = await call.aside(len(message.body), read)
    call.exchange.request_id = question.event.id
    call.exchange.event = question.event.attributes
    call.exchange.traceparent = str(question.event.get("traceparent") or call.exchange.traceparent)
    call.decoded(question.rows.count)
    call.expect(_events_cost([question]))
    reply = await call.unless_gone(question.rows.count, events.answer(model, question, call.deadline))
    call.predicted()
    return [question], [reply]


async def _answer_batch(call: Call, message: Message) -> _Answered:
    model = call.slot.model

    def read() -> list[events.Question | Event]:
        return events.read_all(model, http.decode(message, Mode.BATCH))

    questions = await call.aside(len(message.body), read)
    count = sum(item.rows.count for item in questions if isinstance(item, events.Question))
    call.decoded(count)
    call.expect(_events_cost(questions))
    replies = await call.unless_gone(count, events.answer_all(model, questions, call.deadline))
    call.predicted()
    return questions, replies


def _events_cost(questions: Sequence[events.Question | Event]) -> int:
    """About the bytes of their replies."""
    asked = [item for item in questions if isinstance(item, events.Question)]
    return _BYTES_PER_EVENT * len(questions) + sum([_encode_cost(item.rows.count, item.outputs) for item in asked])


def _binary_bytes(request: v2.Request) -> int:
    """About the bytes of the binary tensors in its answer."""
    return _BINARY_BYTES_PER_VALUE * request.rows.count * sum([item.width for item in request.outputs if item.name in request.binary])


def _encode_cost(rows: int, outputs: Sequence[ServedOutput]) -> int:
    """About the bytes of JSON that these outputs of so many rows are."""
    return _BYTES_PER_VALUE * rows * sum([output.width for output in outputs])


def _explain_cost(rows: int, outputs: Sequence[ServedOutput]) -> int:
    """Likewise; each value has the name of its feature."""
    return 2 * _encode_cost(rows, outputs)


def _check_json(call: Call, body: bytes, json_bytes: int) -> None:
    check_json(body, json_bytes, call.limits.json_bytes)
