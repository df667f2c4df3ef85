"""The HTTP application of the rollout function: it takes CloudEvents, and answers when what they say is written."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from common.errors import InvalidEvent, TidegateError
from eventing import label, outcome
from eventing.codecs import http
from eventing.codecs.http import Message
from eventing.event import Event
from eventing.label import Label
from eventing.outcome import Outcome
from eventing.types import KNATIVE_PING, OUTCOME_LABELLED, OUTCOME_OBSERVED
from functions.rollout.cluster import Cluster
from functions.rollout.delivery import Delivery
from functions.rollout.metrics import Metrics
from functions.rollout.models import Models
from functions.rollout.settings import Settings
from functions.rollout.sink import Sink
from functions.runtime.errors import TooLarge, not_a_cloudevent, sentence_of, status_of
from functions.runtime.knative.client import Access, ApiError

log = logging.getLogger("tidegate.rollout")

MOST_BODY_BYTES = 4 * 2**20
"""An outcome has some kilobytes, and a batch of them, or of labels, less than this."""
_RETRY_AFTER = {"Retry-After": "1"}


def build(settings: Settings, access: Access) -> FastAPI:
    """The application, for the models of the namespace that `access` names."""
    metrics = Metrics()
    models: list[Models] = []

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            cluster = stack.enter_context(Cluster.of(access))
            sink = await stack.enter_async_context(Sink(settings.sink)) if settings.sink else None
            delivery = Delivery(cluster, sink, metrics)
            found = Models(cluster, delivery, metrics, gather_seconds=settings.gather_seconds, most_waiting=settings.max_waiting_outcomes)
            stack.push_async_callback(found.close)
            models.append(found)
            yield

    app = FastAPI(title="Tidegate rollout", lifespan=running, docs_url=None, redoc_url=None)
    app.add_exception_handler(TidegateError, _failure)

    @app.post("/", status_code=204, summary="Take outcomes of routers, labels, and pings of a PingSource.")
    async def take(request: Request) -> Response:
        """Events in binary, structured or batch mode. 204: written; 4xx: never send it again; 429, 503: send it again."""
        found = await run_in_threadpool(_read, await _message(request))
        if found.outcomes or found.labels:
            await models[0].apply(found.outcomes, found.labels)
        if found.pinged:
            await models[0].look()
        return Response(status_code=204)

    @app.get("/v2/health/live", summary="Whether the process responds.")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", summary="Whether events are taken.")
    async def ready() -> dict[str, bool]:
        return {"ready": bool(models)}

    @app.get("/metrics", summary="Counters and gauges for Prometheus.")
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _message(request: Request) -> Message:
    """The headers and the body. Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise TooLarge(f"the body has more than {MOST_BODY_BYTES} bytes", remedy="send fewer events at once")
    return Message({name.lower(): value for name, value in request.headers.items()}, bytes(body))


class _Found(NamedTuple):
    """What the events of a message say."""

    outcomes: list[Outcome]
    labels: list[Label]
    pinged: bool


def _read(message: Message) -> _Found:
    """The events of a message. Raises InvalidEvent if any of them is invalid."""
    mode = http.mode_of(message.headers)
    if mode is None:
        raise not_a_cloudevent()
    found = _Found([], [], any(map(_is_ping, events := http.decode(message, mode))))
    for event in events:
        if event.type == OUTCOME_OBSERVED:
            found.outcomes.append(outcome.from_event(event))
        elif event.type == OUTCOME_LABELLED:
            found.labels.append(label.from_event(event))
        elif not _is_ping(event):
            raise InvalidEvent(
                f"the type {event.type[:200]} is not one that the rollout function takes",
                remedy=f"filter the Triggers by the types {OUTCOME_OBSERVED} and {OUTCOME_LABELLED}",
            )
    return found


def _is_ping(event: Event) -> bool:
    return event.type == KNATIVE_PING


async def _failure(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TidegateError)  # noqa: S101 it is registered for these
    if isinstance(error, ApiError):
        log.warning("%s", error)
        return JSONResponse({"error": "the Kubernetes API cannot be used now; send the event again."}, 503, _RETRY_AFTER)
    status = status_of(error)
    return JSONResponse({"error": sentence_of(error)}, status, _RETRY_AFTER if status == 429 else None)
