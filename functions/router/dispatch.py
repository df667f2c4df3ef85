"""Calls to the arms of a model: forwarded to one, or fanned out to several; retried while they reach no container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from common.errors import TidegateError
from functions.router.call import JSON_LENGTH, Call
from functions.router.headers import RawHeaders, forwarded, without_encodings
from functions.router.http1.upload import Content, Upload
from functions.router.metrics import Metrics
from functions.router.parts import Part, Share
from functions.router.reply import CompleteReply, Reply
from functions.router.table import Table
from functions.router.upstream import Upstream
from functions.runtime.errors import RouteNotReady
from functions.runtime.knative.traffic import Arm, RoutedModel

# The back-off grows by this with each attempt, up to the longest.
_BACKOFF_SECONDS = 0.05
_LONGEST_BACKOFF_SECONDS = 0.5
_LEAST_SECONDS = 0.001


class Dispatcher:
    """Sends requests to arms.

    `request_seconds` limits a call with its retries, `retry_seconds` the retries of a call that reaches no container.
    """

    def __init__(self, table: Table, upstream: Upstream, metrics: Metrics, *, request_seconds: float, retry_seconds: float) -> None:
        self._table = table
        self._upstream = upstream
        self._metrics = metrics
        self._request_seconds = request_seconds
        self._retry_seconds = min(retry_seconds, request_seconds)

    async def forward(self, call: Call, model: RoutedModel, arm: Arm, body: Content, target: str | None = None) -> Reply:
        """Forward a request to one arm, with its headers; `target` replaces its path and query.

        Raises as `call` does.
        """
        headers = forwarded(call.scope["headers"])
        return await self.call(model.name, arm, call.method, call.target if target is None else target, headers, body)

    async def fan_out(
        self, call: Call, model: RoutedModel, shares: Mapping[Arm, Share], failed: Callable[[TidegateError], CompleteReply]
    ) -> list[Part]:
        """Send each arm its share, all at once, and read the replies.

        An error becomes the reply that `failed` makes.
        """
        call.hold(sum(len(share.body) for share in shares.values()))
        # Without the length of the JSON part, which is another one for each arm.
        headers = [header for header in without_encodings(call.scope["headers"]) if header[0] != JSON_LENGTH]
        return await asyncio.gather(*(self._part(call, model, arm, share, headers, failed) for arm, share in shares.items()))

    async def _part(
        self,
        call: Call,
        model: RoutedModel,
        arm: Arm,
        share: Share,
        headers: RawHeaders,
        failed: Callable[[TidegateError], CompleteReply],
    ) -> Part:
        try:
            if share.error is not None:
                raise share.error
            if share.json_length is not None:
                headers = [*headers, (JSON_LENGTH, b"%d" % share.json_length)]
            reply = await self.call(model.name, arm, call.method, call.target, headers, share.body)
            complete = await reply.read(call.reply_limit(reply.headers), call.hold)
            call.check_reply(complete)
            return Part(reply.arm, share.positions, complete, share.body)
        except TidegateError as error:
            return Part(arm, share.positions, failed(error), share.body)

    async def call(self, model: str, arm: Arm, method: str, target: str, headers: RawHeaders, body: Content = b"") -> Reply:
        """Call an arm; the reply names the arm that it is from.

        The ingress learns of a tag a moment before or after the router does, and a container that has ended refuses
        connections until it is started again. Such a call has reached no container, so it is retried, with the arms of
        that time, unless its body was sent as it arrived, and is gone. After any other failure it may have been
        executed, and its logs and metrics would count twice: that retry is the caller's decision. Raises as
        `Upstream.call` does.
        """
        began = monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(model, arm, method, target, headers, body, began + self._request_seconds - monotonic())
            except RouteNotReady:
                pause = min(_BACKOFF_SECONDS * attempt, _LONGEST_BACKOFF_SECONDS)
                if monotonic() + pause - began > self._retry_seconds or (isinstance(body, Upload) and body.is_sent):
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
