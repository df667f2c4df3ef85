"""Calls to the arms of a model: forwarded to one, or fanned out to several.

They are retried while they reach no container. What a canary fails to answer, the stable revision answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic
from typing import TypeVar

from common.errors import TidegateError
from common.http1.upload import Content, Upload
from functions.router.assignment import Assigned
from functions.router.call import JSON_LENGTH, Call
from functions.router.headers import RawHeaders, forwarded, without_encodings
from functions.router.metrics import Metrics
from functions.router.outcomes.exchange import Answer, Exchange, Exchanges
from functions.router.outcomes.mirror import Request
from functions.router.outcomes.sample import Draw
from functions.router.parts import Part, Share
from functions.router.reply import CompleteReply, Reply
from functions.router.table import Table
from functions.router.upstream import Upstream
from functions.runtime.errors import BadAnswer, RouteNotReady, TimedOut, Unreachable, status_of
from functions.runtime.knative.traffic import Arm, RoutedModel

# The back-off grows by this with each attempt, up to the longest.
_BACKOFF_SECONDS = 0.05
_LONGEST_BACKOFF_SECONDS = 0.5
_LEAST_SECONDS = 0.001
# The errors that are the revision's: it cannot be called, or does not answer, or not in HTTP.
_FAILURES = (RouteNotReady, Unreachable, TimedOut, BadAnswer)

A = TypeVar("A", bound=Answer)
# Asks one arm, until a time of the monotonic clock.
Ask = Callable[[Arm, float], Awaitable[A]]


class Dispatcher:
    """Sends requests to arms.

    `request_seconds` limits a call with its retries and that of the stable revision in place of a canary's,
    `retry_seconds` the retries of a call that reaches no container.
    """

    def __init__(
        self,
        table: Table,
        upstream: Upstream,
        metrics: Metrics,
        exchanges: Exchanges,
        *,
        request_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._table = table
        self._upstream = upstream
        self._metrics = metrics
        self._exchanges = exchanges
        self._request_seconds = request_seconds
        self._retry_seconds = min(retry_seconds, request_seconds)

    async def forward(self, call: Call, model: RoutedModel, assigned: Assigned, body: Content, target: str | None = None) -> Reply:
        """Forward a request to one arm, with its headers; `target` replaces its path and query.

        Raises as `call` does.
        """
        headers = forwarded(call.scope["headers"])
        request = Request(call.method, call.target if target is None else target, headers, body)
        exchange = self._exchanges.begin(model, assigned, request)
        if exchange is None and assigned.arm is model.stable:  # there is nothing to do but to forward it
            return await self.call(model.name, model.stable, *request)
        return await self._answer(model, assigned, exchange, request, partial(self._reply, model, request))

    async def fan_out(
        self, call: Call, model: RoutedModel, shares: Mapping[Arm, Share], failed: Callable[[TidegateError], CompleteReply]
    ) -> list[Part]:
        """Send each arm its share, all at once, and read the replies.

        An error becomes the reply that `failed` makes.
        """
        call.hold(sum(len(share.body) for share in shares.values()))
        # Without the length of the JSON part, which is another one for each arm.
        headers = [header for header in without_encodings(call.scope["headers"]) if header[0] != JSON_LENGTH]
        draw = Draw.of(sum(len(share.items) for share in shares.values()))
        return await asyncio.gather(*(self._part(call, model, arm, share, headers, draw, failed) for arm, share in shares.items()))

    async def _part(
        self,
        call: Call,
        model: RoutedModel,
        arm: Arm,
        share: Share,
        headers: RawHeaders,
        draw: Draw,
        failed: Callable[[TidegateError], CompleteReply],
    ) -> Part:
        try:
            if share.error is not None:
                raise share.error
            if share.json_length is not None:
                headers = [*headers, (JSON_LENGTH, b"%d" % share.json_length)]
            assigned, request = Assigned(arm, share.items), Request(call.method, call.target, headers, share.body)
            exchange = self._exchanges.begin(model, assigned, request, draw)
            return await self._answer(model, assigned, exchange, request, partial(self._read_part, call, model, request, share))
        except TidegateError as error:
            return Part(arm, share.positions, failed(error), share.body)

    async def _read_part(self, call: Call, model: RoutedModel, request: Request, share: Share, arm: Arm, until: float) -> Part:
        reply = await self._reply(model, request, arm, until)
        complete = await reply.read(call.reply_limit(reply.headers), call.hold)
        call.check_reply(complete)
        return Part(reply.arm, share.positions, complete, share.body)

    def _reply(self, model: RoutedModel, request: Request, arm: Arm, until: float) -> Awaitable[Reply]:
        return self.call(model.name, arm, *request, until=until)

    async def _answer(self, model: RoutedModel, assigned: Assigned, exchange: Exchange | None, request: Request, ask: Ask[A]) -> A:
        """The answer of the assigned arm; that of the stable one if it is a canary and fails.

        A prediction has no effect but its answer, so that it is safe to ask for it twice. The failure counts for the
        canary, and the answer for none: its arm was not drawn.
        """
        until = monotonic() + self._request_seconds
        try:
            answer = await ask(assigned.arm, until)
        except _FAILURES as error:
            if exchange is not None:
                exchange.failed(status_of(error))
            if not _has_substitute(model, assigned, request) or monotonic() >= until:
                raise
        else:
            substituted = answer.status >= 500 and _has_substitute(model, assigned, request) and monotonic() < until
            if exchange is not None and exchange.answered(answer, discarded=substituted) and isinstance(answer, Reply):
                answer.watch = exchange
            if not substituted:
                return answer
            if isinstance(answer, Reply):
                answer.close()
        self._metrics.failed_over(model.name)
        return await ask(model.stable, until)

    async def call(
        self, model: str, arm: Arm, method: str, target: str, headers: RawHeaders, body: Content = b"", *, until: float | None = None
    ) -> Reply:
        """Call an arm; the reply names the arm that it is from. `until` is the time of its end on the monotonic clock.

        The ingress learns of a tag a moment before or after the router does, and a container that has ended refuses
        connections until it is started again. Such a call has reached no container, so it is retried, with the arms of
        that time, unless its body was sent as it arrived, and is gone. After any other failure it may have been
        executed, and its logs and metrics would count twice: that retry is the caller's decision. Raises as
        `Upstream.call` does.
        """
        began = monotonic()
        until = began + self._request_seconds if until is None else until
        retried_until = min(began + self._retry_seconds, until)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(model, arm, method, target, headers, body, until - monotonic())
            except RouteNotReady:
                pause = min(_BACKOFF_SECONDS * attempt, _LONGEST_BACKOFF_SECONDS)
                if monotonic() + pause > retried_until or _is_gone(body):
                    raise
                await asyncio.sleep(pause)
                self._metrics.retried(model)
                arm = (await self._table.find(model)).successor(arm)

    async def _once(self, model: str, arm: Arm, method: str, target: str, headers: RawHeaders, body: Content, seconds: float) -> Reply:
        began, status = monotonic(), 0
        try:
            reply = await self._upstream.call(arm, method, target, headers, body, max(seconds, _LEAST_SECONDS))
            status = reply.status
            return reply
        finally:
            self._metrics.called(model, arm.revision, status, monotonic() - began)


def _has_substitute(model: RoutedModel, assigned: Assigned, request: Request) -> bool:
    """Whether the stable revision may answer instead: for a canary that was drawn, not named by the sender."""
    drawn = bool(assigned.items) and None not in assigned.items
    return assigned.arm.revision != model.stable.revision and drawn and not _is_gone(request.body)


def _is_gone(body: Content) -> bool:
    """Whether a body was sent as it arrived, so that it cannot be sent again."""
    return isinstance(body, Upload) and body.is_sent
