"""The model function's ASGI application: routing, error mapping and observation of every request."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic_ns, time_ns

from common.errors import TidegateError
from eventing.reply import Problem
from functions.runtime.errors import log_bug, method_not_allowed, no_route, problem_of, sentence_of, status_of, title_of, too_many_requests
from functions.runtime.http.asgi import Answer, Budget, ClientGone, Receive, Scope, Send, error_answer, problem_answer
from functions.runtime.http.call import Call, RequestLimits
from functions.runtime.http.information import Handler
from functions.runtime.http.lazy import Documentation
from functions.runtime.http.routes import Infer, Route, Routes
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.observers import Observers

# nginx's status for a client that closed the connection before the response. Only metrics and logs see it.
_CLIENT_GONE = 499
_CLOSE = ((b"connection", b"close"),)


class App:
    """The ASGI application of a model function."""

    def __init__(self, plane: DataPlane, limits: RequestLimits, observers: Observers) -> None:
        self._limits = limits
        self._observers = observers
        self._routes = Routes(plane, observers.metrics)
        self._documentation = Documentation(plane)
        self._budget = Budget(limits.bodies_bytes)
        # Two threads, so that a huge request does not block a large one.
        self._threads = ThreadPoolExecutor(2, "codec")
        self.in_flight = 0

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
        self._threads.shutdown()

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
        call = Call(scope, receive, exchange, self._limits, self._budget, self._threads, headers)
        self.in_flight += 1
        try:
            answer = await self._answer(route, infer, call)
            if answer is not None:
                if answer.status >= 400 and b"expect" in headers:
                    # The next bytes may be the body after all, or another request; the server cannot distinguish them.
                    answer.headers += _CLOSE
                exchange.status = answer.status
                exchange.response_bytes = len(answer.body)
                call.answered(exchange.response_bytes)
                await answer.send(send)
        finally:
            self.in_flight -= 1
            call.close()
        exchange.took = monotonic_ns() - call.started
        if answer is not None and self._observers.wants(exchange.request_id):
            exchange.request, exchange.response = call.content, answer.body
            exchange.request_type = headers.get(b"content-type", b"").decode("latin-1")
            exchange.response_type = answer.content_type.decode("latin-1")
        self._observers.exchanged(exchange)

    async def _answer(self, route: Route, infer: Infer, call: Call) -> Answer | None:
        """Return the response, including that of an error, or None if the client has disconnected."""
        exchange = call.exchange
        try:
            if self.in_flight > self._limits.requests:
                raise too_many_requests(self._limits.requests)
            entry = call.entry = route.entry()
            exchange.model, exchange.version = entry.name, entry.version or ""
            return await infer(call)
        except ClientGone:
            exchange.status, exchange.reason = _CLIENT_GONE, "client gone"
            return None
        except asyncio.CancelledError:  # the drain time is over
            exchange.reason = "stopping"
            detail = "the function is stopping; retry the request."
            return problem_answer(Problem(503, "stopping", detail)) if route.is_event else error_answer(detail, 503, _CLOSE)
        except TidegateError as error:
            exchange.reason = title_of(error)
            return problem_answer(problem_of(error)) if route.is_event else error_answer(sentence_of(error), status_of(error))
        except Exception as error:  # noqa: BLE001 an internal error: the caller gets a reference that the log has too
            exchange.reason = "bug"
            detail = log_bug(error, f"POST {route.pattern}")
            return problem_answer(Problem(500, "failed", detail)) if route.is_event else error_answer(detail, 500, _CLOSE)

    async def _handle(self, handler: Handler, scope: Scope, receive: Receive) -> Answer:
        try:
            return await handler(scope, receive)
        except TidegateError as error:
            return error_answer(sentence_of(error), status_of(error))
        except ClientGone:
            return error_answer("the connection closed before the end of the request body.", 400)
        except Exception as error:  # noqa: BLE001
            return error_answer(log_bug(error, f"{scope['method']} {scope['path'][:200]}"), 500, _CLOSE)

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
