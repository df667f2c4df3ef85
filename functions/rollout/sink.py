"""The sink of announcements: CloudEvents in binary mode, by HTTP."""

from __future__ import annotations

from typing import Self

import aiohttp

from common.delivery import KNATIVE_RETRYABLE, Outcome, outcome_of
from common.errors import TidegateError
from common.http_client import session
from common.redaction import redact_url
from eventing.codecs.http import Mode, encode
from eventing.event import Event

_TIMEOUT_SECONDS = 10.0


class NotDelivered(TidegateError):
    """The sink does not take the event now; try again later."""


class Rejected(TidegateError):
    """The sink will not take the event, however often it is sent."""


class Sink:
    """Posts events; a context manager that closes the connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._session = session(timeout_seconds=_TIMEOUT_SECONDS, connections=2)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, event: Event) -> None:
        """Deliver an event. Raises NotDelivered or Rejected."""
        message = encode([event], Mode.BINARY)
        where = f"the sink at {redact_url(self._url)}"
        try:
            async with self._session.post(self._url, data=message.body, headers=dict(message.headers)) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotDelivered(f"{where} cannot be reached ({str(error) or type(error).__name__}).") from None
        outcome = outcome_of(answer.status, KNATIVE_RETRYABLE)
        if outcome is Outcome.RETRY:
            raise NotDelivered(f"{where} responded {answer.status}.")
        if outcome is not Outcome.DONE:
            raise Rejected(f"{where} responded {answer.status}.")
