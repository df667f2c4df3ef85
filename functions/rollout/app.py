"""The HTTP application of the rollout function: outcomes come in as CloudEvents, decisions go out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from common.errors import InvalidEvent, TidegateError
from eventing.codecs import http
from eventing.event import Event
from eventing.outcome import MOST_KEYS, Outcome, from_event
from eventing.types import KNATIVE_PING, OUTCOME_OBSERVED
from functions.rollout.announcement import decided
from functions.rollout.cluster import ClusterUnavailable
from functions.rollout.errors import Contended, InvalidState
from functions.rollout.sink import Sink
from functions.rollout.state import Decision, State
from functions.rollout.turns import Turns
from functions.rollout.update import Services, update

log = logging.getLogger("tidegate.rollout")

# An outcome has at most MOST_KEYS digests of 10 digits, and little else.
_MOST_BYTES = MOST_KEYS * 1_024
_TRY_AGAIN = (ClusterUnavailable, Contended)


class RecordingServices(Services, Protocol):
    """Knative Services with their Events."""

    def names(self) -> Sequence[str]:
        """The Services of the namespace."""

    def record(self, state: State, decision: Decision) -> None:
        """Make a decision an Event of the Service."""


def build(services: RecordingServices, sink: Sink | None = None, clock: Callable[[], float] = time.time) -> FastAPI:
    """The application, with the sink of decisions.

    It answers 2xx after the outcome is written into the Service, so that one that was not is delivered again.
    """

    async def turn(model: str, outcomes: Sequence[Outcome]) -> None:
        state, decisions = await asyncio.to_thread(update, services, model, outcomes, clock())
        for decision in decisions:
            assert state is not None  # noqa: S101 a decision is one of a rollout
            log.info("%s: %s", model, decision.sentence)
            await _publish(services, sink, state, decision)

    turns = Turns(turn)

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[None]:
        async with sink or nullcontext():
            yield

    app = FastAPI(title="Tidegate rollouts", openapi_url=None, lifespan=connected)

    @app.post("/")
    async def receive(request: Request) -> Response:
        event = await _event_of(request)
        if event.type == KNATIVE_PING:
            names = await asyncio.to_thread(services.names)
            await asyncio.gather(*(turns.take(name) for name in names))
        else:
            outcome = from_event(event)
            await turns.take(outcome.model, outcome)
        return Response(status_code=204)

    app.add_exception_handler(TidegateError, _refuse)
    app.get("/readyz")(_ready)
    app.get("/livez")(_ready)
    return app


async def _event_of(request: Request) -> Event:
    """The event of a request. Raises InvalidEvent."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise InvalidEvent(f"the event has more than {_MOST_BYTES} bytes")
    headers = {name.lower(): value for name, value in request.headers.items()}
    mode = http.mode_of(headers)
    if mode not in (http.Mode.BINARY, http.Mode.STRUCTURED):
        raise InvalidEvent("the request is not one CloudEvent", remedy=f"send an event of type {OUTCOME_OBSERVED}")
    (event,) = http.decode(http.Message(headers, bytes(body)), mode)
    return event


async def _publish(services: RecordingServices, sink: Sink | None, state: State, decision: Decision) -> None:
    """Report a decision. It has been carried out by now, so nothing that fails here may make it fail."""
    steps: list[Callable[[], Awaitable[None]]] = [partial(asyncio.to_thread, services.record, state, decision)]
    if sink is not None:
        steps.append(partial(sink.post, decided(state, decision)))
    for step in steps:
        try:
            await step()
        except (TidegateError, OSError) as error:
            log.warning("the decision about %s was made, but not reported: %s", state.model, error)


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    """503 for what a later attempt may do, 400 for what it cannot: the latter is a dead letter at once."""
    status = 503 if isinstance(error, _TRY_AGAIN) else 400
    if isinstance(error, InvalidState):
        status = 422
    return JSONResponse({"error": str(error)}, status)


async def _ready() -> Response:
    return Response(status_code=200)
