"""The sink of decisions."""

from __future__ import annotations

import asyncio
from typing import Self

import aiohttp

from common.delivery import Outcome, backoff, outcome_of
from common.errors import TidegateError
from common.http_client import session
from common.redaction import redact_url
from eventing.codecs import http
from eventing.event import Event

_TIMEOUT_SECONDS = 5.0
_ATTEMPTS = 3


class Undelivered(TidegateError):
    """The sink cannot be reached, or does not take an event."""


class Sink:
    """Posts events to a URL; a context manager that closes its connections."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._session = session(timeout_seconds=_TIMEOUT_SECONDS, connections=1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, event: Event) -> None:
        """Deliver an event, with a few attempts. Raises Undelivered."""
        message = http.encode([event], http.Mode.BINARY)
        problem = ""
        for attempt in range(1, _ATTEMPTS + 1):
            outcome, problem = await self._attempt(message)
            if outcome is Outcome.DONE:
                return
            if outcome is not Outcome.RETRY:
                break
            if attempt < _ATTEMPTS:
                await asyncio.sleep(backoff(attempt))
        raise Undelivered(f"the sink {redact_url(self._url)} {problem}")

    async def _attempt(self, message: http.Message) -> tuple[Outcome, str]:
        try:
            async with self._session.post(self._url, data=message.body, headers=message.headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome.RETRY, f"cannot be reached ({type(error).__name__})"
        return outcome_of(answer.status), f"responded {answer.status}"
