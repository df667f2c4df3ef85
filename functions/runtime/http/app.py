"""The model function's ASGI application: routing, error mapping and observation of every request."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time_ns

from functions.runtime.errors import ClientGone, method_not_allowed, no_route
from functions.runtime.http.asgi import CLOSE, COLD, Answer, Receive, Scope, Send, error_answer, failure_answer
from functions.runtime.http.call import HTTPCall
from functions.runtime.http.information import Handler
from functions.runtime.http.lazy import Documentation
from functions.runtime.http.routes import Infer, Route, Routes
from functions.runtime.inference.call import Capacity
from functions.runtime.inference.failure import CLIENT_GONE, failure_of
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.observers import Observers


class App:
    """The ASGI application of a model function."""

    def __init__(self, plane: DataPlane, capacity: Capacity, observers: Observers) -> None:
        self._capacity = capacity
        self._observers = observers
        self._routes = Routes(plane, observers.metrics)
        self._documentation = Documentation(plane)
        # Until the first prediction is answered.
        self._is_new = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with suppress(asyncio.CancelledError):  # of a server that a second signal stops at once
                await self._live(receive, send)
            return
        path, method = scope["path"], scope["method"]
        route = self._routes.find(path)
        if route is None:
            if self._documentation.serves(path):
                await self._documentation(_as_get(scope), receive, send)
            else:
                await error_answer(no_route(path), 404).send(send)
        elif method == "POST" and route.infer is not None:
            await self._infer(route, route.infer, scope, receive, send)
        elif (handler := route.handlers.get("GET" if method == "HEAD" else method)) is not None:
            answer = await self._handle(handler, scope, receive)
            await answer.send(send)
        else:
            await error_answer(method_not_allowed(method, path), 405, ((b"allow", route.allow.encode()),)).send(send)

    def answers(self, path: str, method: str) -> bool:
        """Return whether the function's own routes serve this path and method."""
        route = self._routes.table.get(path)
        if route is None:
            return False
        return (method == "POST" and route.infer is not None) or ("GET" if method == "HEAD" else method) in route.handlers

    def close(self) -> None:
        """Stop the threads, after the last request."""
        self._capacity.close()

    async def _infer(self, route: Route, infer: Infer, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        exchange = Exchange(
            route.protocol,
            route.pattern,
            time_ns(),
            headers.get(b"traceparent", b"").decode("latin-1"),
            headers.get(b"tracestate", b"").decode("latin-1"),
            headers.get(b"x-request-id", b"").decode("latin-1"),
        )
        # All that arrived before the first answer are marked, not only the first: others may overtake it.
        is_cold = self._is_new
        with HTTPCall(self._capacity, exchange, scope, receive, headers) as call:
            answer = await self._answer(route, infer, call)
            if answer is not None:
                if answer.status >= 400 and b"expect" in headers:
                    # The next bytes may be the body after all, or another request; the server cannot distinguish them.
                    answer.headers += CLOSE
                if is_cold:
                    answer.headers += ((COLD, b"1"),)
                    self._is_new = False
                call.answered(answer.status, len(answer.body))
                await answer.send(send)
        if answer is not None and self._observers.wants(exchange.request_id):
            exchange.request, exchange.response = call.content, answer.body
            exchange.request_type = headers.get(b"content-type", b"").decode("latin-1")
            exchange.response_type = answer.content_type.decode("latin-1")
        self._observers.exchanged(exchange)

    async def _answer(self, route: Route, infer: Infer, call: HTTPCall) -> Answer | None:
        """Return the response, including that of a failure, or None if the client has disconnected."""
        try:
            call.admit(route.entry)
            call.limit_by_headers()
            return await infer(call)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 each is answered; a cancellation ends the drain
            failure = call.failed(error)
            return None if failure is CLIENT_GONE else failure_answer(failure, is_event=route.is_event)

    async def _handle(self, handler: Handler, scope: Scope, receive: Receive) -> Answer:
        try:
            return await handler(scope, receive)
        except ClientGone:
            return error_answer("the connection closed before the end of the request body.", 400)
        except Exception as error:  # noqa: BLE001
            return failure_answer(failure_of(error, f"{scope['method']} {scope['path'][:200]}"))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run ASGI's lifespan: start-up before the first request, shutdown after the last."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _as_get(scope: Scope) -> Scope:
    """Convert HEAD to GET, whose body the server then leaves out, and remove a trailing slash from the path."""
    method, path = scope["method"], scope["path"]
    return {**scope, "method": "GET" if method == "HEAD" else method, "path": path.removesuffix("/")}
