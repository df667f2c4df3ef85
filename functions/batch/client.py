"""Calls to the router that are repeated while there is hope: a model may have to start from zero, or be busy."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import orjson

from eventing.delivery import Outcome, backoff, outcome_of, retry_after_seconds
from eventing.errors import TidegateError
from eventing.redaction import redact, redact_url
from functions.runtime.errors import Unreachable


class Refused(TidegateError):
    """The model answered with an error that asking again does not mend."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`total_seconds` from a call's first failure to giving up: enough for a start from zero and a restart, not for an outage.

    Waits of up to `first_seconds` double up to `longest_seconds`.
    """

    total_seconds: float = 120.0
    first_seconds: float = 0.2
    longest_seconds: float = 10.0

    def wait(self, attempt: int, retry_after: str | None) -> float:
        """Seconds to wait after failed call number `attempt` (from 1); what `Retry-After` asks for is the least."""
        return retry_after_seconds(retry_after) + backoff(attempt, first=self.first_seconds, longest=self.longest_seconds)


class Client:
    def __init__(self, url: str, session: aiohttp.ClientSession, patience: Patience) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._patience = patience

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of an answer 200. Raises Refused (with what the model says), Unreachable when patience ends."""
        deadline: float | None = None
        attempt = 0
        while True:
            retry_after = None
            try:
                async with self._session.request(
                    method, self._url + path, data=body, headers={"Content-Type": "application/json"}
                ) as answer:
                    content = await answer.read()
                    if answer.status == 200:
                        return content
                    if not _passes(answer.status):
                        raise Refused(f"{_said(content)} (status {answer.status}).")
                    failure = f"it answered {answer.status}: {_said(content)}"
                    retry_after = answer.headers.get("Retry-After")
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = redact(str(error)) or "it did not answer in time"
            attempt += 1
            wait = self._patience.wait(attempt, retry_after)
            deadline = deadline or time.monotonic() + self._patience.total_seconds
            if time.monotonic() + wait > deadline:
                raise Unreachable(
                    f"the router at {redact_url(self._url)} did not answer in {self._patience.total_seconds:g} s"
                    f" ({failure}); is it running?"
                )
            await asyncio.sleep(wait)


def _passes(status: int) -> bool:
    """Whether asking again may help. Not after a 404, which is an unknown model here, nor a 500: a fault at these rows stays one."""
    return status not in (404, 500) and outcome_of(status) is Outcome.RETRY


def _said(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"]).rstrip(".")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or "no reason was given"
