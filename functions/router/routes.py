"""The router's HTTP endpoints: thin, over the table, the assignment, and the pure split and join."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.errors import InvalidEvent, TidegateError
from eventing.reply import PROBLEM_MEDIA_TYPE
from functions.router import batches, tensors
from functions.router.arms import Arm, Model
from functions.router.assignment import choose, event_key
from functions.router.parts import Part, positions_by_arm
from functions.router.table import Table
from functions.router.upstream import Answer, RawHeaders, Upstream, passed_on
from functions.router.web import json_response, problem_response, read_body
from functions.runtime.errors import InvalidInput, NoWay, problem_of, status_of
from functions.runtime.protocols.routing import KEYS as ROUTING_KEYS

KEY = "tidegate-routing-key"
OVERRIDE = "tidegate-revision"
# The extension attribute that does for one event what the header does for a request.
_OVERRIDE_ATTRIBUTE = "tidegaterevision"
_JSON = [(b"content-type", b"application/json")]
# How often a way is tried that the ingress does not know, and seconds before the second attempt, which grow by as much: 1.8 s in all.
_ATTEMPTS = 9
_PAUSE_SECONDS = 0.05


class Routes:
    def __init__(self, table: Table, upstream: Upstream, max_body_bytes: int) -> None:
        self._table = table
        self._upstream = upstream
        self._limit = max_body_bytes

    async def one(self, request: Request) -> Response:
        """Any request about a model, to one arm and untouched."""
        model = await self._model(request)
        body = await read_body(request, self._limit)
        return await self._forward(request, _arm(request, model), body)

    async def infer(self, request: Request) -> Response:
        """Open Inference: one request to one arm, unless `parameters.routing_keys` has a key for each row."""
        model = await self._model(request)
        body = await read_body(request, self._limit)
        message = tensors.parse(body)
        if message is None:
            return await self._forward(request, _arm(request, model), body)
        if "inference-header-content-length" in request.headers:
            raise InvalidInput(f"{ROUTING_KEYS} go with JSON tensors, not with binary ones; send the tensors' data as JSON.")
        override = request.headers.get(OVERRIDE)
        arms = [choose(model, override, key) for key in tensors.keys_of(message)]
        parts = await self._parts(request, positions_by_arm(arms), partial(tensors.take, message), _as_error)
        for part in parts:
            if not part.answer.ok:
                return part.answer.response(part.arm.revision)
        return Answer(200, _JSON, tensors.join(parts)).response(*(part.arm.revision for part in parts))

    async def events(self, request: Request) -> Response:
        """A CloudEvent, or a batch of them, each to its arm."""
        try:
            model = await self._model(request)
            return await self._events(request, model, await read_body(request, self._limit))
        except TidegateError as error:
            return problem_response(problem_of(error))

    async def _events(self, request: Request, model: Model, body: bytes) -> Response:
        mode = http.mode_of(request.headers)
        if mode is None:
            raise InvalidEvent("the request is no CloudEvent: send ce- headers, or the content type application/cloudevents+json.")
        if OVERRIDE in request.headers or KEY in request.headers:
            return await self._forward(request, _arm(request, model), body)
        if mode is Mode.BATCH:
            return await self._batch(request, model, body)
        (event,) = http.decode(Message(request.headers, body), mode)
        return await self._forward(request, choose(model, event.get(_OVERRIDE_ATTRIBUTE), event_key(event.attributes)), body)

    async def _batch(self, request: Request, model: Model, body: bytes) -> Response:
        if len(model.split) == 1 and _OVERRIDE_ATTRIBUTE.encode() not in body:
            return await self._forward(request, model.split[0], body)
        items = batches.parse(body)
        positions = positions_by_arm([choose(model, item.get(_OVERRIDE_ATTRIBUTE), event_key(item)) for item in items])
        if len(positions) <= 1:
            return await self._forward(request, next(iter(positions), model.split[0]), body)
        parts = await self._parts(request, positions, partial(batches.take, items), _as_problem)
        answer = batches.refusal(parts) or Answer(200, batches.HEADERS, batches.join(model.name, items, parts))
        return answer.response(*(part.arm.revision for part in parts))

    async def _parts(
        self,
        request: Request,
        positions: dict[Arm, list[int]],
        take: Callable[[Sequence[int]], bytes],
        as_answer: Callable[[TidegateError], Answer],
    ) -> list[Part]:
        """One request for each arm, all at once; where there is no answer, what the protocol says instead of one."""
        # They are read here, so they must not come compressed.
        headers = [(name, value) for name, value in passed_on(request.scope["headers"]) if name != b"accept-encoding"]

        async def ask(arm: Arm, rows: list[int]) -> Part:
            try:
                arm, answer = await self._call(request, arm, headers, take(rows))
                return Part(arm, rows, answer)
            except TidegateError as error:
                return Part(arm, rows, as_answer(error))

        return await asyncio.gather(*(ask(arm, rows) for arm, rows in positions.items()))

    async def _forward(self, request: Request, arm: Arm, body: bytes) -> Response:
        arm, answer = await self._call(request, arm, passed_on(request.scope["headers"]), body)
        return answer.response(arm.revision)

    async def _call(self, request: Request, arm: Arm, headers: RawHeaders, body: bytes) -> tuple[Arm, Answer]:
        """The answer, and the arm that gave it.

        The ingress learns of a tag a moment before or after the router does. Such a call has reached nobody, so it is made again,
        by the arms that there are then.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return arm, await self._upstream.call(arm, request.method, _target(request), headers, body)
            except NoWay:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
                arm = (await self._model(request)).successor(arm)
        return arm, await self._upstream.call(arm, request.method, _target(request), headers, body)

    async def _model(self, request: Request) -> Model:
        return await self._table.find(request.path_params["model"])

    async def server(self, _: Request) -> Response:
        return json_response({"name": "tidegate-router", "version": "2", "extensions": []})

    async def live(self, _: Request) -> Response:
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        return json_response({"ready": self._table.loaded}, 200 if self._table.loaded else 503)

    async def models(self, _: Request) -> Response:
        known = [
            {"name": name, "arms": [{"revision": arm.revision, "tags": arm.tags, "percent": arm.percent} for arm in model.arms]}
            for name, model in sorted(self._table.models.items())
        ]
        unroutable = [{"name": name, "arms": [], "reason": why} for name, why in sorted(self._table.reasons.items())]
        return json_response({"models": known + [entry for entry in unroutable if entry["name"] not in self._table.models]})

    async def models_v1(self, _: Request) -> Response:
        return json_response({"models": sorted(self._table.models)})


def _arm(request: Request, model: Model) -> Arm:
    """By the headers. Without a key, what only reads goes to the stable arm, and the rest to one at random by the percentages."""
    override, key = request.headers.get(OVERRIDE), request.headers.get(KEY)
    if not override and key is None and request.method in ("GET", "HEAD"):
        return model.split[0]
    # Starlette reads headers as Latin-1; a key is the bytes that were sent, as those of an event are.
    return choose(model, override, None if key is None else key.encode("latin-1"))


def _as_error(error: TidegateError) -> Answer:
    return Answer(status_of(error), _JSON, orjson.dumps({"error": str(error)}))


def _as_problem(error: TidegateError) -> Answer:
    problem = problem_of(error)
    return Answer(problem.status, [(b"content-type", PROBLEM_MEDIA_TYPE.encode())], orjson.dumps(problem.to_json()))


def _target(request: Request) -> str:
    """Path and query, encoded as they came."""
    query: bytes = request.scope["query_string"]
    path: bytes = request.scope["raw_path"]
    return (path + (b"?" + query if query else b"")).decode("ascii")
