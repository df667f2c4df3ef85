"""The endpoints of requests to a model, one for each kind of path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from common.errors import TidegateError
from common.http1.upload import Content, Upload
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.reply import PROBLEM_MEDIA_TYPE
from functions.router import batches, tensors
from functions.router.assignment import Assigned, assigner
from functions.router.call import JSON_LENGTH, SEARCHED_BYTES, Call, contains, json_length
from functions.router.dispatch import Dispatcher
from functions.router.headers import without_encodings
from functions.router.outcomes.mirror import Request
from functions.router.parts import Part, Share, positions_by_arm, share
from functions.router.paths import Kind, ModelRequest
from functions.router.reply import CompleteReply, Reply
from functions.router.selection import KEY, OVERRIDE, OVERRIDE_ATTRIBUTE, ArmSelector
from functions.router.table import Table
from functions.router.versions import Versions, with_versions
from functions.runtime.errors import not_a_cloudevent, problem_of, sentence_of, status_of
from functions.runtime.knative.traffic import Arm, RoutedModel

_NEEDLE = OVERRIDE_ATTRIBUTE.encode()
_JSON = [(b"content-type", b"application/json")]
_BINARY = [(b"content-type", b"application/octet-stream")]

Shares = dict[Arm, Share]
# A reply that was put together, and the revisions that it is from.
Joined = tuple[CompleteReply, list[str]]


class Routes:
    """Handlers of requests to a model."""

    def __init__(self, table: Table, dispatcher: Dispatcher, versions: Versions, selector: ArmSelector) -> None:
        self._table = table
        self._dispatcher = dispatcher
        self._versions = versions
        self._selector = selector

    async def handle(self, call: Call, request: ModelRequest) -> Reply | Joined:
        """The reply of one arm, to be streamed, or one that is joined from several arms."""
        model = await self._table.find(request.model)
        if request.kind is Kind.INFER:
            return await self._infer(call, request, model)
        if request.kind is Kind.EVENTS:
            return await self._events(call, model)
        if request.kind is Kind.METADATA and call.method == "GET" and len(model.arms) > 1 and OVERRIDE not in call.headers:
            return await self._metadata(call, request, model)
        body = await call.incoming()
        target = "/openapi.json" if request.kind is Kind.OPENAPI else None
        return await self._forward(call, request, model, body, target)

    async def _forward(self, call: Call, request: ModelRequest, model: RoutedModel, body: Content, target: str | None = None) -> Reply:
        assigned = await self._selector.for_request(call, model, request.version)
        return await self._dispatcher.forward(call, model, assigned, body, target, predicts=request.predicts)

    async def _infer(self, call: Call, request: ModelRequest, model: RoutedModel) -> Reply | Joined:
        """Open Inference: the request goes to one arm, unless `parameters.routing_keys` has a key for each row."""
        body = await self._tensors(call)
        if isinstance(body, Upload):
            return await self._forward(call, request, model, body)
        content = (await call.decompressed(body, call.limits.json_bytes)).content if call.encoding else body
        length = call.json_length(content)
        size = len(content) if length is None else length
        if size > SEARCHED_BYTES or content.find(tensors.TIMEOUT_NEEDLE, 0, size) >= 0:  # without a coroutine for nearly all
            await _limit(call, content, size)
        shares = None
        if await contains(content, tensors.NEEDLE, size):
            content = await call.read_json(body) if call.encoding else content
            length = call.json_length(content)
            call.check_json(content, length)
            override = self._selector.override(call)
            candidates = await self._selector.candidates(model, request.version)
            shares = await call.offload(len(content), _split_rows, content, length, model, override, candidates)
        if shares is None:
            return await self._forward(call, request, model, body)
        return await self._dispatcher.fan_out(call, model, shares, _as_error, partial(_join_rows, call))

    async def _tensors(self, call: Call) -> Content:
        """The body of an Open Inference request: of binary tensors without routing keys, only the JSON part is read."""
        if JSON_LENGTH not in call.headers or call.encoding:
            return await call.body()
        body = await call.incoming()
        if isinstance(body, bytes):
            return body
        length = json_length(call.headers[JSON_LENGTH], body.length)
        if length is None or length > call.limits.json_bytes:
            return await call.whole(body)
        call.hold(length)
        head = await body.begin(length)
        if await contains(head, tensors.NEEDLE, length):
            return await call.whole(body)
        await _limit(call, head, length)
        return body

    async def _events(self, call: Call, model: RoutedModel) -> Reply | Joined:
        """A CloudEvent goes to its arm; the events of a batch go to the arm of each."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()}
        mode = http.mode_of(headers)
        if mode is None:
            raise not_a_cloudevent()
        forward = partial(self._dispatcher.forward, call, model, predicts=True)
        if OVERRIDE in call.headers or KEY in call.headers:
            return await forward(self._selector.by_headers(call, model), await call.incoming())
        if mode is Mode.BINARY:
            # All attributes are in the headers; the arm checks the data.
            (event,) = http.decode(Message(headers, b""), mode)
            return await forward(self._selector.for_event(model, event.attributes), await call.incoming())
        body = await call.body()
        if not model.canaries and model.shadow is None and not call.encoding and not await contains(body, _NEEDLE, len(body)):
            # There is nothing to split or to compare: a batch counts as one request.
            return await forward(self._selector.at_random(model), body)
        content = await call.read_json(body)
        if mode is Mode.BATCH:
            return await self._batch(call, model, body, content)
        (event,) = await call.offload(len(content), http.decode, Message(headers, content), mode)
        return await forward(self._selector.for_event(model, event.attributes), body)

    async def _batch(self, call: Call, model: RoutedModel, body: bytes, content: bytes) -> Reply | Joined:
        """Split a batch by arm; `content` is the body without its encoding."""
        shares = await call.offload(len(content), _split_batch, content, self._selector.for_events(model))
        if not isinstance(shares, dict):
            return await self._dispatcher.forward(call, model, shares or Assigned(model.stable), body, predicts=True)
        return await self._dispatcher.fan_out(call, model, shares, _as_problem, partial(_join_events, call, model))

    async def _metadata(self, call: Call, request: ModelRequest, model: RoutedModel) -> Reply | Joined:
        """An arm's metadata, with the versions of all arms."""
        assigned = await self._selector.for_request(call, model, request.version)
        headers = without_encodings(call.scope["headers"])
        listed, reply = await asyncio.gather(
            self._versions.listed(model, self._selector.reachable(model)),
            self._dispatcher.call(model.name, assigned.arm, Request("GET", call.target, headers, b"")),
        )
        complete = await reply.read(call.limits.json_bytes, call.hold)
        merged = with_versions(complete.body, listed) if complete.ok else None
        return (complete if merged is None else CompleteReply(complete.status, complete.headers, merged)), [reply.arm.revision]


def _split_rows(
    body: bytes, length: int | None, model: RoutedModel, override: str | None, candidates: Sequence[Arm] | None
) -> Shares | None:
    """A body with its rows for each arm; None when the request has no keys.

    `length` is that of the JSON part if binary tensors follow. If there are candidates, the first of them gets the rows
    of an arm that is not among them.
    """
    message = tensors.parse(body, length)
    if message is None:
        return None
    keys = tensors.keys_of(message)
    assigned = [Assigned(model.named(override), (None,))] * len(keys) if override else list(map(assigner(model.split, model.salt), keys))
    arms, items = [one.arm for one in assigned], _items(assigned)
    if candidates is not None:
        arms = arms if override else [arm if arm in candidates else candidates[0] for arm in arms]
        items = [None] * len(arms)  # the version decides, not the split
    return {arm: _share_of_rows(message, rows, items) for arm, rows in positions_by_arm(arms).items()}


def _share_of_rows(message: tensors.Keyed, rows: Sequence[int], items: Sequence[int | None]) -> Share:
    own = tuple([items[row] for row in rows])
    try:
        body = tensors.take(message, rows)
    except TidegateError as error:
        return Share(rows, own, b"", error)
    return Share(rows, own, body.content, json_length=body.json_length)


def _split_batch(body: bytes, assign: Callable[[Mapping[str, Any]], Assigned]) -> Shares | Assigned | None:
    """A body with its events for each arm; or the only arm, for which the body is not split; None without events."""
    events = batches.parse(body)
    assigned = [assign(event) for event in events]
    items, positions = _items(assigned), positions_by_arm([one.arm for one in assigned])
    if len(positions) <= 1:
        return Assigned(assigned[0].arm, tuple(items)) if assigned else None
    return {
        arm: share(found, items, partial(batches.take, events, found), partial(batches.without_data, events, found))
        for arm, found in positions.items()
    }


def _items(assigned: Sequence[Assigned]) -> list[int | None]:
    """The item of each event or row; None also for one that is not counted."""
    return [one.items[0] if one.items else None for one in assigned]


async def _limit(call: Call, body: bytes, length: int) -> None:
    """End the request when its caller waits no longer, by the first `length` bytes of its body. Raises TimedOut."""
    if length <= call.limits.json_bytes and await contains(body, tensors.TIMEOUT_NEEDLE, length):
        seconds = await call.offload(length, tensors.seconds_of, body[:length])
        if seconds is not None:
            call.limit(seconds)


async def _join_rows(call: Call, parts: list[Part]) -> Joined:
    for part in parts:
        if not part.reply.ok:
            return part.reply, [part.arm.revision]
    joined = await call.offload(_size(parts), tensors.join, parts)
    headers = _JSON if joined.json_length is None else [*_BINARY, (JSON_LENGTH, b"%d" % joined.json_length)]
    return CompleteReply(200, headers, joined.content), _revisions(parts)


async def _join_events(call: Call, model: RoutedModel, parts: list[Part]) -> Joined:
    refused = batches.refusal(parts)
    if refused is not None:
        return refused, _revisions(parts)
    joined = await call.offload(_size(parts), batches.join, model.name, parts)
    return CompleteReply(200, batches.HEADERS, joined), _revisions(parts)


def _size(parts: Sequence[Part]) -> int:
    """About the bytes that are parsed to join the parts: the events of a failed one are parsed again."""
    return sum(len(part.reply.body) + len(part.sent) for part in parts)


def _revisions(parts: Iterable[Part]) -> list[str]:
    return list(dict.fromkeys(part.arm.revision for part in parts))


def _as_error(error: TidegateError) -> CompleteReply:
    return CompleteReply(status_of(error), _JSON, orjson.dumps({"error": sentence_of(error)}))


def _as_problem(error: TidegateError) -> CompleteReply:
    problem = problem_of(error)
    return CompleteReply(problem.status, [(b"content-type", PROBLEM_MEDIA_TYPE.encode())], orjson.dumps(problem.to_json()))
