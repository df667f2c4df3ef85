"""The function's own routes within a FastAPI application: a lookup in their table before the plain ASGI application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.runtime import documentation
from functions.runtime.http.app import App
from functions.runtime.http.authentication import is_open


class InferenceRoute(BaseRoute):
    """Matches the function's routes, resolves the application's dependencies, and passes the request on unchanged."""

    def __init__(self, app: App, dependencies: Sequence[Depends], application: FastAPI) -> None:
        self._app = app
        self._guard: APIRoute | None = None
        if dependencies:
            self._guard = APIRoute(
                "/",
                self._guarded,
                dependencies=dependencies,
                dependency_overrides_provider=application,
                response_model=None,
            )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and self._app.answers(scope["path"], scope["method"]):
            return Match.FULL, {"endpoint": self._app}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # without a route: the function has no WebSockets
            await send({"type": "websocket.close"})
        elif self._guard is None or is_open(scope["path"], scope["method"]) or documentation.serves(scope["path"]):
            await self._app(scope, receive, send)
        else:
            await self._guard.app(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        raise NoMatchFound(name, path_params)

    def security(self) -> dict[str, Any]:
        """Return the dependencies' security for OpenAPI: `schemes` by name, and the `requirements` of an operation."""
        if self._guard is None:
            return {"schemes": {}, "requirements": []}
        found = get_openapi(title="", version="", routes=[self._guard])
        return {
            "schemes": found.get("components", {}).get("securitySchemes", {}),
            "requirements": found["paths"]["/"]["get"].get("security", []),
        }

    async def _guarded(self, request: Request) -> Response:
        return _Handover(self._app, request)


class _Handover(Response):
    """A response made by another application, which reads the request itself."""

    def __init__(self, app: ASGIApp, request: Request) -> None:
        self._app = app
        # The body, if a dependency has read it, such as one that checks its signature.
        self._read: bytes | None = getattr(request, "_body", None)
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive if self._read is None else self._replayed(receive), send)
        if self.background is not None:
            await self.background()

    def _replayed(self, receive: Receive) -> Receive:
        body, self._read = self._read, None
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay
