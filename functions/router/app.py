"""The router's HTTP application: its routes, and what starts and stops with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route

from eventing.http import session
from functions.router.routes import Routes
from functions.router.settings import Settings
from functions.router.table import SELECTOR, Table
from functions.router.upstream import Upstream
from functions.router.web import EXCEPTION_HANDLERS
from functions.runtime.knative import SERVICES, Access, Client

_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def build(settings: Settings, access: Access) -> Starlette:
    """The application, with the models of the namespace that `access` names."""
    table = Table(settings.first_view_seconds)
    upstream = Upstream(settings.request_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with upstream, session(timeout_seconds=None) as api:
            watching = asyncio.create_task(table.follow(partial(Client(access, api).watch, SERVICES, SELECTOR)))
            yield
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    return Starlette(
        routes=_routes(Routes(table, upstream, settings.max_body_bytes)), lifespan=lifespan, exception_handlers=EXCEPTION_HANDLERS
    )


def _routes(routes: Routes) -> list[Route]:
    model = "/v2/models/{model}"
    return [
        # The hot ones first: routes are tried in order.
        Route(model + "/infer", routes.infer, methods=["POST"]),
        Route("/models/{model}", routes.events, methods=["POST"]),
        Route("/v1/models/{model}:predict", routes.one, methods=["POST"]),
        Route(model + "/versions/{version}/infer", routes.infer, methods=["POST"]),
        Route("/v2", routes.server),
        Route("/v2/", routes.server),
        Route("/v2/health/live", routes.live),
        Route("/v2/health/ready", routes.ready),
        Route("/v2/models", routes.models),
        Route("/v1/models", routes.models_v1),
        Route(model, routes.one, methods=_ANY),
        Route(model + "/{rest:path}", routes.one, methods=_ANY),
        Route("/v1/models/{model}", routes.one, methods=_ANY),
    ]
