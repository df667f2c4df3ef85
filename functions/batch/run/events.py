"""The events of a run: progressed, completed and failed, to the sink of the Job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from common.delivery import Outcome, backoff, outcome_of, retry_after_seconds
from common.errors import TidegateError
from common.redaction import redact, redact_url
from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.types import BATCH_COMPLETED, BATCH_FAILED, BATCH_PROGRESSED
from functions.runtime.errors import Unreachable

SOURCE = "/tidegate/batch"
_ATTEMPT_SECONDS = 10.0

log = logging.getLogger("tidegate.batch")


class NotDelivered(TidegateError):
    """The sink did not take the event that a run is complete."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends the events of a run to a sink; None drops them. An event has the same id in each attempt of a run."""

    sink: str | None
    session: aiohttp.ClientSession
    run: str
    base: Mapping[str, Any]
    """What the data of all events has: model, input and output."""

    retry_seconds: float = 60.0

    async def progressed(self, mark: str, data: Mapping[str, Any]) -> None:
        """Report how far the run is; `mark` makes the id. A sink that does not take it is only logged."""
        try:
            await self._send(BATCH_PROGRESSED, f"progressed/{mark}", data, 0.0)
        except TidegateError as error:
            log.warning("the progress was not delivered: %s", error)

    async def completed(self, data: Mapping[str, Any]) -> None:
        """Report that the output is there. Raises NotDelivered, so that the Job is tried again and sends it then."""
        try:
            await self._send(BATCH_COMPLETED, "completed", data, self.retry_seconds)
        except TidegateError as error:
            raise NotDelivered(
                f"the output is complete, but its event was not delivered ({error.message})", remedy="start the Job again"
            ) from None

    async def failed(self, error: TidegateError) -> None:
        """Report that the run failed, and why."""
        try:
            reason = redact(str(error))
            await self._send(BATCH_FAILED, f"failed/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}", {"error": reason}, self.retry_seconds)
        except TidegateError as failure:
            log.warning("the failure was not delivered: %s", failure)

    async def _send(self, type_: str, mark: str, data: Mapping[str, Any], retry_seconds: float) -> None:
        if self.sink is None:
            return
        attributes = {
            "specversion": "1.0",
            "type": type_,
            "source": SOURCE,
            "id": f"{self.run}/{mark}",
            "subject": str(self.base["output"]),
            "time": datetime.now(UTC).isoformat(),
            "datacontenttype": "application/json",
        }
        message = http.encode([Event(attributes, {"run": self.run, **self.base, **data})], Mode.BINARY)
        await self._post(self.sink, message, retry_seconds)

    async def _post(self, sink: str, message: http.Message, retry_seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + retry_seconds
        attempt = 0
        while True:
            attempt += 1
            retry_after = None
            try:
                timeout = aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS)
                async with self.session.post(sink, data=message.body, headers=dict(message.headers), timeout=timeout) as response:
                    outcome, failure = outcome_of(response.status), f"status {response.status}"
                    retry_after = response.headers.get("Retry-After")
            except (aiohttp.ClientError, TimeoutError) as error:
                outcome, failure = Outcome.RETRY, redact(str(error)) or "timed out"
            if outcome is Outcome.DONE:
                return
            wait = backoff(attempt) + retry_after_seconds(retry_after)
            if outcome is not Outcome.RETRY or asyncio.get_running_loop().time() + wait > deadline:
                raise Unreachable(f"the sink {redact_url(sink)} did not take an event ({failure})", remedy="check that it is running")
            await asyncio.sleep(wait)
