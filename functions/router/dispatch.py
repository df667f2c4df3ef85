"""Calls to the arms of a model: forwarded to one, or fanned out to several.

They are retried while they reach no container. What a canary fails to answer, the stable revision answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from math import inf
from time import monotonic
from typing import NamedTuple, TypeVar

from common.errors import TidegateError
from common.http1.upload import Content, Upload
from functions.router.absences import Absences
from functions.router.assignment import Assigned
from functions.router.call import JSON_LENGTH, Call
from functions.router.headers import forwarded, without_encodings
from functions.router.metrics import Metrics
from functions.router.outcomes.exchange import Answer, Exchange, Exchanges
from functions.router.outcomes.mirror import Request
from functions.router.outcomes.sample import Draw
from functions.router.parts import Part, Share, UnusableReply
from functions.router.reply import CompleteReply, Reply
from functions.router.table import Table
from functions.router.upstream import Upstream
from functions.runtime.errors import BadAnswer, ClientGone, RouteNotReady, TimedOut, TooLarge, Unreachable, status_of
from functions.runtime.http.deadline import TIMEOUT, encoded
from functions.runtime.knative.traffic import Arm, RoutedModel

# The back-off grows by this with each attempt, up to the longest.
_BACKOFF_SECONDS = 0.05
_LONGEST_BACKOFF_SECONDS = 0.5
# Retries of a call that the stable revision can answer instead: one, for a connection that was refused by chance.
_SUBSTITUTED_RETRIES = 1
_LEAST_SECONDS = 0.001
# The errors that are the revision's: it cannot be called, or does not answer, or not in HTTP.
_FAILURES = (RouteNotReady, Unreachable, TimedOut, BadAnswer)

A = TypeVar("A", bound=Answer)
T = TypeVar("T")
# Asks one arm, and retries at most so many times.
Ask = Callable[[Arm, float], Awaitable[A]]
Failed = Callable[[TidegateError], CompleteReply]


class _Work(NamedTuple):
    """What an arm is to answer, and until when, on the monotonic clock."""

    model: RoutedModel
    assigned: Assigned
    request: Request
    exchange: Exchange | None
    until: float

    @property
    def has_substitute(self) -> bool:
        """Whether the stable revision may answer instead: for a canary that was drawn, not named by the sender."""
        arm, items = self.assigned
        drawn = bool(items) and None not in items
        return arm.revision != self.model.stable.revision and drawn and not _is_gone(self.request.body) and monotonic() < self.until


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
        self._absences = Absences(self._retry_seconds)

    async def forward(
        self, call: Call, model: RoutedModel, assigned: Assigned, body: Content, target: str | None = None, *, predicts: bool
    ) -> Reply:
        """Forward a request to one arm, with its headers; `target` replaces its path and query.

        `predicts` is whether it is a prediction. Raises as `call` does.
        """
        headers = forwarded(call.scope["headers"])
        request = Request(call.method, call.target if target is None else target, headers, body, predicts)
        exchange = self._exchanges.begin(model, assigned, request)
        if exchange is None and assigned.arm is model.stable:  # there is nothing to do but to forward it
            return await self.call(model.name, model.stable, request, deadline=call.deadline)
        work = _Work(model, assigned, request, exchange, self._until(call))
        return await self._answer(call, work, partial(self._reply, call, work))

    async def fan_out(
        self,
        call: Call,
        model: RoutedModel,
        shares: Mapping[Arm, Share],
        failed: Failed,
        join: Callable[[list[Part]], Awaitable[T]],
    ) -> T:
        """Send each arm its share, all at once, read the replies, and join them.

        An error becomes the reply that `failed` makes. `join` raises UnusableReply for a part that cannot be joined: it
        has failed, unless the stable revision can answer it.
        """
        call.hold(sum(len(share.body) for share in shares.values()))
        works = self._works(call, model, shares)
        parts = await asyncio.gather(*(self._part(call, work, share, failed) for work, share in works))
        while True:
            try:
                found = await join(parts)
            except UnusableReply as error:
                at = next(index for index, part in enumerate(parts) if part is error.part)
                parts[at] = await self._replaced(call, *works[at], error, failed)
            except TidegateError:
                _count(works)
                raise
            else:
                _count(works)
                return found

    def _works(self, call: Call, model: RoutedModel, shares: Mapping[Arm, Share]) -> list[tuple[_Work, Share]]:
        # Without the length of the JSON part, which is another one for each arm.
        headers = [header for header in without_encodings(call.scope["headers"]) if header[0] != JSON_LENGTH]
        draw, until = Draw.of(sum(len(share.items) for share in shares.values())), self._until(call)
        works = []
        for arm, share in shares.items():
            own = headers if share.json_length is None else [*headers, (JSON_LENGTH, b"%d" % share.json_length)]
            assigned, request = Assigned(arm, share.items), Request(call.method, call.target, own, share.body, repeatable=True)
            exchange = None if share.error is not None else self._exchanges.begin(model, assigned, request, draw)
            works.append((_Work(model, assigned, request, exchange, until), share))
        return works

    async def _part(self, call: Call, work: _Work, share: Share, failed: Failed) -> Part:
        try:
            if share.error is not None:
                raise share.error
            return await self._answer(call, work, partial(self._read_part, call, work, share))
        except TidegateError as error:
            return Part(work.assigned.arm, share.positions, failed(error), share.body)

    async def _replaced(self, call: Call, work: _Work, share: Share, unusable: UnusableReply, failed: Failed) -> Part:
        """The part in place of one that cannot be joined: the stable revision's if it may answer, otherwise a failed one."""
        if work.exchange is not None and work.exchange.is_pending:
            work.exchange.failed(status_of(unusable))
        error: TidegateError = unusable
        if unusable.part.arm.revision == work.assigned.arm.revision and work.has_substitute:
            try:
                return await self._substitute(work, partial(self._read_part, call, work, share))
            except TidegateError as other:
                error = other
        return Part(work.assigned.arm, share.positions, failed(error), share.body)

    async def _read_part(self, call: Call, work: _Work, share: Share, arm: Arm, retries: float) -> Part:
        reply = await self._reply(call, work, arm, retries)
        complete = await reply.read(call.reply_limit(reply.headers), call.hold)
        call.check_reply(complete)
        return Part(reply.arm, share.positions, complete, share.body)

    def _reply(self, call: Call, work: _Work, arm: Arm, retries: float) -> Awaitable[Reply]:
        return self.call(work.model.name, arm, work.request, deadline=call.deadline, until=work.until, retries=retries)

    def _until(self, call: Call) -> float:
        return min(monotonic() + self._request_seconds, call.deadline)

    async def _answer(self, call: Call, work: _Work, ask: Ask[A]) -> A:
        """The answer of the assigned arm; that of the stable one if it is a canary and fails.

        A prediction has no effect but its answer, so that it is safe to ask for it twice. The failure counts for the
        canary, and the answer for none: its arm was not drawn.
        """
        has_substitute = work.has_substitute
        try:
            answer = await ask(work.assigned.arm, _SUBSTITUTED_RETRIES if has_substitute else inf)
        except asyncio.CancelledError:
            _ended(work.exchange, call)
            raise
        except TooLarge as error:
            return await self._smaller(work, ask, error)
        except _FAILURES as error:
            if work.exchange is not None and self._counts(call, work, error, has_substitute=has_substitute):
                work.exchange.failed(status_of(error))
            if not work.has_substitute:
                raise
        else:
            if not _is_discarded(work, answer):
                return answer
        return await self._substitute(work, ask)

    async def _smaller(self, work: _Work, ask: Ask[A], error: TooLarge) -> A:
        """The stable revision's answer in place of one that is too large to join.

        The size is the canary's fault only if the other answer to the same items is not too large.
        """
        if not work.has_substitute:
            raise error
        answer = await self._substitute(work, ask)
        if work.exchange is not None:
            work.exchange.failed(status_of(BadAnswer("")))
        return answer

    def _counts(self, call: Call, work: _Work, error: TidegateError, *, has_substitute: bool) -> bool:
        """Whether a failure is the arm's: an absence only after the time for which another call would be retried."""
        if isinstance(error, TimedOut) and not call.is_received:
            return False  # the time went by while the caller was sending
        if not has_substitute or not isinstance(error, RouteNotReady):
            return True
        return self._absences.missed(work.model, work.assigned.arm.revision, monotonic(), self._table.models)

    async def _substitute(self, work: _Work, ask: Ask[A]) -> A:
        self._metrics.failed_over(work.model.name)
        return await ask(work.model.stable, inf)

    async def call(
        self,
        model: str,
        arm: Arm,
        request: Request,
        *,
        deadline: float = inf,
        until: float | None = None,
        retries: float = inf,
    ) -> Reply:
        """Call an arm; the reply names the arm that it is from.

        `until` is the time of its end, and `deadline` that until which its caller waits, which is passed on; both
        are on the monotonic clock.

        The ingress learns of a tag a moment before or after the router does, and a container that has ended refuses
        connections until it is started again. Such a call has reached no container, so it is retried, with the arms of
        that time, unless its body was sent as it arrived, and is gone. After any other failure it may have been
        executed, and its logs and metrics would count twice: that retry is the caller's decision. Raises as
        `Upstream.call` does.
        """
        began = monotonic()
        until = min(began + self._request_seconds, deadline) if until is None else until
        retried_until = min(began + self._retry_seconds, until)
        attempt = 0
        while True:
            attempt += 1
            try:
                reply = await self._once(model, arm, request, until, deadline)
            except RouteNotReady:
                pause = min(_BACKOFF_SECONDS * attempt, _LONGEST_BACKOFF_SECONDS)
                if attempt > retries or monotonic() + pause > retried_until or _is_gone(request.body):
                    raise
                await asyncio.sleep(pause)
                self._metrics.retried(model)
                arm = (await self._table.find(model)).successor(arm)
            else:
                if self._absences.since:
                    self._absences.reached(model, arm.revision)
                return reply

    async def _once(self, model: str, arm: Arm, request: Request, until: float, deadline: float) -> Reply:
        method, target, headers, body, repeatable = request
        began, status = monotonic(), 0
        if deadline < inf:
            headers = [*headers, (TIMEOUT, encoded(deadline - began))]
        try:
            seconds = max(until - began, _LEAST_SECONDS)
            reply = await self._upstream.call(arm, method, target, headers, body, seconds, repeatable=repeatable)
            status = reply.status
            return reply
        finally:
            self._metrics.called(model, arm.revision, status, monotonic() - began)


def _is_discarded(work: _Work, answer: Answer) -> bool:
    """Count an answer, or begin to; returns whether the stable revision answers in its place."""
    discarded = answer.status >= 500 and work.has_substitute
    if work.exchange is not None and work.exchange.answered(answer, discarded=discarded) and isinstance(answer, Reply):
        answer.watch = work.exchange
    if discarded and isinstance(answer, Reply):
        answer.close()
    return discarded


def _ended(exchange: Exchange | None, call: Call) -> None:
    """Count a call that was ended before its reply: its caller has disconnected, or waits no longer."""
    if exchange is None or not call.is_received:
        return
    if isinstance(call.ended, ClientGone):
        exchange.given_up()
    elif isinstance(call.ended, TidegateError):
        exchange.failed(status_of(call.ended))


def _count(works: Iterable[tuple[_Work, Share]]) -> None:
    """Count the answers of all parts at once, so that they are in one window."""
    for work, _ in works:
        if work.exchange is not None:
            work.exchange.joined()


def _is_gone(body: Content) -> bool:
    """Whether a body was sent as it arrived, so that it cannot be sent again."""
    return isinstance(body, Upload) and body.is_sent
