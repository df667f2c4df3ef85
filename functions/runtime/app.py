"""The model function's HTTP application: thin routes over the data plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.errors import InvalidEvent, TidegateError
from functions.runtime.dataplane import DataPlane
from functions.runtime.errors import problem_of
from functions.runtime.protocols import events, v1, v2
from functions.runtime.web import EXCEPTION_HANDLERS, json_response, parse_json, problem_response, read_body

_V2_MODEL = "/v2/models/{model}"
_VERSION = "/versions/{version}"


def build(plane: DataPlane, max_body_bytes: int) -> Starlette:
    """The application of one model; it owns the data plane and closes it."""
    routes = _Routes(plane, max_body_bytes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        plane.close()

    return Starlette(
        routes=[
            # The hot ones first: routes are tried in order.
            Route(_V2_MODEL + "/infer", routes.infer_v2, methods=["POST"]),
            Route("/models/{model}", routes.infer_events, methods=["POST"]),
            Route("/", routes.infer_events, methods=["POST"]),
            Route("/v1/models/{model}:predict", routes.predict_v1, methods=["POST"]),
            Route(_V2_MODEL + _VERSION + "/infer", routes.infer_v2, methods=["POST"]),
            Route("/v2", routes.server),
            Route("/v2/", routes.server),
            Route("/v2/health/live", routes.alive),
            Route("/v2/health/ready", routes.alive),
            Route("/v2/models", routes.models),
            Route(_V2_MODEL, routes.metadata),
            Route(_V2_MODEL + "/ready", routes.ready),
            Route(_V2_MODEL + _VERSION, routes.metadata),
            Route(_V2_MODEL + _VERSION + "/ready", routes.ready),
            Route("/v1/models", routes.models_v1),
            Route("/v1/models/{model}", routes.status_v1),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )


class _Routes:
    def __init__(self, plane: DataPlane, max_body_bytes: int) -> None:
        self._plane = plane
        self._limit = max_body_bytes

    async def infer_v2(self, request: Request) -> Response:
        self._check_model(request)
        body = parse_json(await read_body(request, self._limit))
        scores = await self._plane.infer(v2.decode(body, self._plane.encoder))
        return json_response(v2.encode(self._plane.card, scores, body.get("id")))

    async def predict_v1(self, request: Request) -> Response:
        self._check_model(request)
        body = parse_json(await read_body(request, self._limit))
        return json_response(v1.encode(await self._plane.infer(v1.decode(body, self._plane.encoder))))

    async def infer_events(self, request: Request) -> Response:
        try:
            if "model" in request.path_params:
                self._check_model(request)
            return await self._reply(Message(request.headers, await read_body(request, self._limit)))
        except TidegateError as error:
            return problem_response(problem_of(error))

    async def _reply(self, message: Message) -> Response:
        mode = http.mode_of(message.headers)
        if mode is None:
            raise InvalidEvent("the request is no CloudEvent: send ce- headers, or the content type application/cloudevents+json.")
        received = http.decode(message, mode)
        if mode is Mode.BATCH:
            replies = await events.infer_batch(self._plane, received)
        else:
            replies = [await events.infer(self._plane, received[0])]
        answer = http.encode(replies, mode)
        return Response(answer.body, headers=dict(answer.headers))

    async def server(self, _: Request) -> Response:
        return json_response({"name": "tidegate", "version": "2", "extensions": []})

    async def alive(self, _: Request) -> Response:
        """The model is loaded and has predicted before the port is open, so whoever is alive here is ready."""
        return json_response({"live": True, "ready": True})

    async def models(self, _: Request) -> Response:
        return json_response({"models": [self._plane.card.name]})

    async def metadata(self, request: Request) -> Response:
        self._check_model(request)
        return json_response(v2.metadata(self._plane.card, self._plane.width))

    async def ready(self, request: Request) -> Response:
        self._check_model(request)
        return json_response({"name": self._plane.card.name, "ready": True})

    async def models_v1(self, _: Request) -> Response:
        return json_response({"models": [self._plane.card.name]})

    async def status_v1(self, request: Request) -> Response:
        self._check_model(request)
        return json_response({"name": self._plane.card.name, "ready": True})

    def _check_model(self, request: Request) -> None:
        self._plane.check_model(request.path_params["model"], request.path_params.get("version"))
