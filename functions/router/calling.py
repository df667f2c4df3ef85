"""Calls of a model's arms: repeated while they have reached nobody, and counted."""

from __future__ import annotations

import asyncio
from time import monotonic

from functions.router.headers import RawHeaders
from functions.router.metrics import Metrics
from functions.router.reply import Reply
from functions.router.table import Table
from functions.router.upstream import Upstream
from functions.runtime.errors import RouteNotReady
from functions.runtime.knative.traffic import Arm

# Before a call is made again; it grows by as much with each attempt, up to the longest.
_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5
_LEAST_SECONDS = 0.001


class Caller:
    """`request_seconds` bounds a call with its repetitions, `retry_seconds` how long it is repeated while it reaches
    nobody."""

    def __init__(self, table: Table, upstream: Upstream, metrics: Metrics, request_seconds: float, retry_seconds: float) -> None:
        self._table = table
        self._upstream = upstream
        self._metrics = metrics
        self._request_seconds = request_seconds
        self._retry_seconds = min(retry_seconds, request_seconds)

    async def call(self, model: str, arm: Arm, method: str, target: str, headers: RawHeaders, body: bytes = b"") -> Reply:
        """The answer, from the arm that it names.

        The ingress learns of a tag a moment before or after the router does, and a container that has ended refuses
        connections until it is started again. Such a call has reached nobody, so it is made again, by the arms that
        there are then. Any other failure may have followed an execution, which its logs and metrics would count twice:
        it is the caller's to decide.
        """
        began = monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(model, arm, method, target, headers, body, began + self._request_seconds - monotonic())
            except RouteNotReady:
                pause = min(_PAUSE_SECONDS * attempt, _LONGEST_PAUSE_SECONDS)
                if monotonic() + pause - began > self._retry_seconds:
                    raise
                await asyncio.sleep(pause)
                self._metrics.retried(model)
                arm = (await self._table.find(model)).successor(arm)

    async def _once(self, model: str, arm: Arm, method: str, target: str, headers: RawHeaders, body: bytes, seconds: float) -> Reply:
        began, status = monotonic(), 0
        try:
            reply = await self._upstream.call(arm, method, target, headers, body, max(seconds, _LEAST_SECONDS))
            status = reply.status
            return reply
        finally:
            self._metrics.called(model, arm.revision, status, monotonic() - began)
