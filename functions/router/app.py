"""The router's HTTP application (plain ASGI, version 3): what happens to every request, and what starts and stops with
it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from common.errors import TidegateError
from common.http_client import session
from eventing.reply import Problem
from functions.router import paths
from functions.router.call import Call, Limits
from functions.router.calling import Caller
from functions.router.information import Information, Tell
from functions.router.metrics import Metrics
from functions.router.paths import Asked, Kind
from functions.router.reply import Answer as RawAnswer
from functions.router.reply import Reply
from functions.router.routes import Routes
from functions.router.settings import Settings
from functions.router.table import SELECTOR, Table
from functions.router.upstream import Upstream
from functions.router.versions import Versions
from functions.runtime.errors import log_bug, method_not_allowed, no_route, problem_of, sentence_of, status_of, too_many_requests
from functions.runtime.http.asgi import Answer, Budget, ClientGone, Receive, Scope, Send, error_answer, problem_answer
from functions.runtime.knative.client import Access, Client
from functions.runtime.knative.objects import SERVICES

# nginx's: the caller closed the connection before there was an answer. Only metrics see it.
_CLIENT_GONE = 499
_CLOSE = ((b"connection", b"close"),)


def build(settings: Settings, access: Access) -> App:
    """The application, with the models of the namespace that `access` names."""
    return App(settings, access)


class App:
    """An ASGI application."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._access = access
        self._limits = Limits(
            body_bytes=settings.max_body_bytes,
            json_bytes=settings.max_json_bytes,
            bodies_bytes=settings.max_waiting_bytes,
            requests=settings.max_waiting_requests,
        )
        self._budget = Budget(settings.max_waiting_bytes)
        # One: a parser holds the interpreter, so that two of them would only make everybody else wait twice as long for
        # it.
        self._threads = ThreadPoolExecutor(1, "codec")
        self._metrics = Metrics()
        self._table = Table(settings.first_view_seconds)
        self._upstream = Upstream()
        caller = Caller(self._table, self._upstream, self._metrics, settings.request_seconds, settings.retry_seconds)
        versions = Versions(caller, settings.max_json_bytes)
        self._routes = Routes(self._table, caller, versions, allow_override=settings.allow_override)
        self._information = Information(self._table, versions, self._metrics)
        self._in_flight = 0
        self._watch_metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with contextlib.suppress(asyncio.CancelledError):  # of a server that is told twice to stop, and does so at once
                await self._live(receive, send)
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
        tells = self._information.at(path)
        asked = None if tells else paths.find(path)
        try:
            paths.check(call.scope["raw_path"])
            if tells is not None:
                await self._tell(call, tells, send)
            elif asked is None:
                await error_answer(no_route(path), 404).send(send)
            elif call.method not in asked.methods:
                await _not_allowed(call, asked.methods).send(send)
            else:
                await self._ask(call, asked, send)
        except TidegateError as error:
            await error_answer(sentence_of(error), status_of(error)).send(send)

    async def _tell(self, call: Call, tells: dict[str, Tell], send: Send) -> None:
        tell = tells.get("GET" if call.method == "HEAD" else call.method)
        if tell is None:
            await _not_allowed(call, (*tells, *(["HEAD"] if "GET" in tells else []))).send(send)
            return
        try:
            answer = await tell(call)
        except ClientGone:
            return
        except TidegateError:
            raise
        except Exception as error:  # noqa: BLE001 a fault of ours: the caller gets an id that the log has too
            answer = error_answer(log_bug(error, f"{call.method} {call.scope['path'][:200]}"), 500, _CLOSE)
        await answer.send(send)

    async def _ask(self, call: Call, asked: Asked, send: Send) -> None:
        is_event = asked.kind is Kind.EVENTS
        try:
            if self._in_flight > self._limits.requests:
                raise too_many_requests(self._limits.requests)
            found = await self._routes.answer(call, asked)
        except ClientGone:
            self._metrics.answered(self._label(asked), _CLIENT_GONE)
            return
        except asyncio.CancelledError:  # the time to drain is over
            detail = "the router is stopping; send the request again."
            answer = problem_answer(Problem(503, "stopping", detail)) if is_event else error_answer(detail, 503, _CLOSE)
        except TidegateError as error:
            answer = problem_answer(problem_of(error)) if is_event else error_answer(sentence_of(error), status_of(error))
        except Exception as error:  # noqa: BLE001
            detail = log_bug(error, f"{call.method} {asked.kind.value}")
            answer = problem_answer(Problem(500, "failed", detail)) if is_event else error_answer(detail, 500, _CLOSE)
        else:
            await self._pass_on(call, self._label(asked), found, send)
            return
        if b"expect" in call.headers:
            # What comes next may be the body after all, or another request.
            answer.headers += _CLOSE
        self._metrics.answered(self._label(asked), answer.status)
        await answer.send(send)

    async def _pass_on(self, call: Call, model: str, found: Reply | tuple[RawAnswer, list[str]], send: Send) -> None:
        if isinstance(found, Reply):
            self._metrics.answered(model, found.status)
            await found.send(send, call.receive)
        else:
            answer, revisions = found
            self._metrics.answered(model, answer.status)
            await answer.send(send, revisions)

    def _label(self, asked: Asked) -> str:
        """The model as a label: nothing that a caller invents."""
        return asked.model if asked.model in self._table.models else ""

    def _watch_metrics(self) -> None:
        watch = self._metrics.watch
        watch("tidegate_router_requests_in_flight", "Requests that are being answered.", lambda: self._in_flight)
        watch("tidegate_router_body_bytes", "Bytes of bodies that are in memory.", lambda: self._budget.used)
        watch("tidegate_router_models", "Models that can be routed to.", lambda: len(self._table.models))
        watch(
            "tidegate_router_table_age_seconds",
            "Since the Kubernetes API last said anything about models; it does so every few minutes at the least.",
            lambda: self._table.age_seconds,
        )

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with self._upstream, session(timeout_seconds=None) as api:
            client = Client(self._access, api, heard=self._table.heard)
            watching = asyncio.create_task(self._table.follow(partial(client.watch, SERVICES, SELECTOR)))
            yield
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        self._threads.shutdown()

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan: started before the first request, stopped after the last."""
        await receive()
        async with self._running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _not_allowed(call: Call, methods: Any) -> Answer:
    return error_answer(method_not_allowed(call.method, call.scope["path"]), 405, ((b"allow", ", ".join(methods).encode()),))
