"""Routes that import their libraries in a thread at their first request.

A cold start then imports neither FastAPI nor Prometheus' client.
"""

from __future__ import annotations

import asyncio

from functions.runtime import documentation
from functions.runtime.http.asgi import Answer, Application, Receive, Scope, Send
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.metrics import Metrics


class Documentation:
    """The OpenAPI document, its page and the JSON Schemas, served by FastAPI."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._building: asyncio.Future[Application] | None = None

    def serves(self, path: str) -> bool:
        return documentation.serves(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._building is None:
            self._building = asyncio.ensure_future(asyncio.to_thread(self._build))
        application = await asyncio.shield(self._building)
        await application(scope, receive, send)

    def _build(self) -> Application:
        from functions.runtime.documentation.application import build
        from functions.runtime.documentation.model_spec import ModelSpec

        specs = [ModelSpec(entry.card, entry.outputs, entry.nulls) for entry in self._plane.entries]
        return build(specs, management=self._plane.control)


class Exposition:
    """The metrics in Prometheus' format."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, _: Receive) -> Answer:
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        body, content_type = await asyncio.to_thread(self._render, accept)
        return Answer(body, 200, content_type.encode())

    def _render(self, accept: str) -> tuple[bytes, str]:
        from functions.runtime.observability.exposition import render

        return render(self._metrics, accept)
