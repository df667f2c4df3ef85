"""The router's HTTP application (plain ASGI, version 3): the handling of every request, start-up and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from common.errors import TidegateError
from functions.router import paths
from functions.router.call import Call, RouterLimits
from functions.router.disconnects import Disconnects
from functions.router.dispatch import Dispatcher
from functions.router.information import Handler, Information
from functions.router.metrics import Metrics
from functions.router.outcomes.exchange import Exchanges
from functions.router.outcomes.mirror import Mirror
from functions.router.outcomes.observer import Observer
from functions.router.outcomes.sender import Sender
from functions.router.paths import Kind, ModelRequest
from functions.router.reply import Reply
from functions.router.routes import Joined, Routes
from functions.router.selection import ArmSelector
from functions.router.settings import Settings
from functions.router.table import SELECTOR, Table
from functions.router.upstream import Upstream
from functions.router.versions import Versions
from functions.runtime.errors import ClientGone, method_not_allowed, no_route, sentence_of, status_of, too_many_requests
from functions.runtime.http.asgi import CLOSE, Answer, Receive, Scope, Send, error_answer, failure_answer
from functions.runtime.http.deadline import timeout_of
from functions.runtime.inference.budget import Budget
from functions.runtime.inference.failure import CLIENT_GONE, failure_of
from functions.runtime.knative.client import Access, Client
from functions.runtime.knative.objects import SERVICES


def build(settings: Settings, access: Access) -> App:
    """The application, with the models of the namespace that `access` names."""
    return App(settings, access)


class App:
    """The ASGI application; its lifespan opens connections and watches the models."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._access = access
        self._limits = RouterLimits(
            body_bytes=settings.max_body_bytes,
            json_bytes=settings.max_json_bytes,
            bodies_bytes=settings.max_waiting_bytes,
            requests=settings.max_waiting_requests,
        )
        self._budget = Budget(settings.max_waiting_bytes)
        # One: a parser holds the interpreter, so that with two of them other requests would only wait twice as long.
        self._threads = ThreadPoolExecutor(1, "codec")
        self._metrics = Metrics()
        self._table = Table(settings.first_view_seconds)
        self._upstream = Upstream()
        self._sender = Sender(settings.sink, self._metrics) if settings.sink is not None else None
        self._observer = None if self._sender is None else Observer(self._threads, self._sender.put, self._table.models.__contains__)
        self._mirror = Mirror(self._upstream, self._metrics, self._is_busy)
        self._flush_seconds = settings.flush_seconds
        dispatcher = Dispatcher(
            self._table,
            self._upstream,
            self._metrics,
            Exchanges(self._observer, self._mirror),
            request_seconds=settings.request_seconds,
            retry_seconds=settings.retry_seconds,
        )
        versions = Versions(dispatcher, settings.max_json_bytes)
        selector = ArmSelector(versions, allow_override=settings.allow_override, counted=self._observer is not None)
        self._routes = Routes(self._table, dispatcher, versions, selector)
        self._information = Information(self._table, versions, self._metrics)
        self._disconnects = Disconnects()
        self._in_flight = 0
        self._add_gauges()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with contextlib.suppress(asyncio.CancelledError):  # a server that gets a second signal stops at once
                await self._lifespan(receive, send)
            return
        call = Call(scope, receive, self._limits, self._budget, self._threads, dict(scope["headers"]))
        self._in_flight += 1
        try:
            await self._serve(call, send)
        finally:
            self._in_flight -= 1
            call.close()

    async def _serve(self, call: Call, send: Send) -> None:
        path = paths.without_slash(call.scope["path"])
        handlers = self._information.handlers(path)
        request = None if handlers else paths.find(path)
        try:
            paths.check(call.scope["raw_path"])
            if handlers is not None:
                await self._serve_information(call, handlers, send)
            elif request is None:
                await error_answer(no_route(path), 404).send(send)
            elif call.method not in request.methods:
                await _not_allowed(call, request.methods).send(send)
            else:
                await self._serve_model(call, request, send)
        except TidegateError as error:
            await error_answer(sentence_of(error), status_of(error)).send(send)

    async def _serve_information(self, call: Call, handlers: dict[str, Handler], send: Send) -> None:
        handler = handlers.get("GET" if call.method == "HEAD" else call.method)
        if handler is None:
            await _not_allowed(call, (*handlers, *(["HEAD"] if "GET" in handlers else []))).send(send)
            return
        try:
            answer = await handler(call)
        except ClientGone:
            return
        except TidegateError:
            raise
        except Exception as error:  # noqa: BLE001 a bug: the caller gets a reference to the log
            answer = failure_answer(failure_of(error, f"{call.method} {call.scope['path'][:200]}"))
        await answer.send(send)

    async def _serve_model(self, call: Call, request: ModelRequest, send: Send) -> None:
        try:
            if self._in_flight > self._limits.requests:
                raise too_many_requests(self._limits.requests)
            call.begin()
            self._disconnects.add(call)
            try:
                seconds = timeout_of(call.headers)
                if seconds is not None:
                    call.limit(seconds)
                reply = await self._routes.handle(call, request)
            finally:
                self._disconnects.discard(call)
                call.finish()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 each is answered; a cancellation ends the drain
            failure = failure_of(call.reason(error), f"{call.method} {request.kind.value}", process="router")
        else:
            await self._send(call, self._label(request), reply, send)
            return
        if failure is CLIENT_GONE:
            self._metrics.answered(self._label(request), failure.status)
            return
        answer = failure_answer(failure, is_event=request.kind is Kind.EVENTS)
        if b"expect" in call.headers:
            # The next bytes may be the body after all, or another request.
            answer.headers += CLOSE
        self._metrics.answered(self._label(request), answer.status)
        await answer.send(send)

    async def _send(self, call: Call, model: str, reply: Reply | Joined, send: Send) -> None:
        if isinstance(reply, Reply):
            self._metrics.answered(model, reply.status)
            await reply.send(send, call.receive)
        else:
            joined, revisions = reply
            self._metrics.answered(model, joined.status)
            await joined.send(send, revisions)

    def _label(self, request: ModelRequest) -> str:
        """The model as a label of metrics: empty for a name that a caller has invented."""
        return request.model if request.model in self._table.models else ""

    def _is_busy(self) -> bool:
        """Whether there is little room for anything but the requests of callers."""
        return 2 * self._in_flight > self._limits.requests or 2 * self._budget.used > self._limits.bodies_bytes

    def _add_gauges(self) -> None:
        gauge = self._metrics.gauge
        gauge("tidegate_router_requests_in_flight", "Requests in flight.", lambda: self._in_flight)
        gauge("tidegate_router_body_bytes", "Bytes of bodies in memory.", lambda: self._budget.used)
        gauge("tidegate_router_models", "Models that can be routed to.", lambda: len(self._table.models))
        gauge(
            "tidegate_router_table_age_seconds",
            "Seconds since the last response of the Kubernetes API about models; there is one every few minutes at least.",
            lambda: self._table.age_seconds,
        )
        sender = self._sender
        if sender is not None:
            gauge("tidegate_router_outcomes_queued", "Outcome events that wait for the sink.", lambda: sender.queued)

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with self._upstream, Client(self._access, on_response=self._table.touch) as client:
            watching = self._table.follow(partial(client.watch, SERVICES, SELECTOR))
            async with _in_background(watching), self._observing():
                yield
        self._threads.shutdown()

    @contextlib.asynccontextmanager
    async def _observing(self) -> AsyncIterator[None]:
        """Send outcomes; at the end, those of the last requests too."""
        async with contextlib.nullcontext() if self._sender is None else self._sender:
            yield
            await self._mirror.close()
            if self._observer is not None and self._sender is not None:
                await self._observer.close()
                await self._sender.flush(self._flush_seconds)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """The lifespan of ASGI: start before the first request, stop after the last."""
        await receive()
        async with self._running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run beside the block, and end with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _not_allowed(call: Call, methods: Any) -> Answer:
    return error_answer(method_not_allowed(call.method, call.scope["path"]), 405, ((b"allow", ", ".join(methods).encode()),))
