"""Calls to the router that are repeated while there is hope: a model may have to start from zero, or be busy."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import aiohttp
import orjson

from eventing.errors import TidegateError
from functions.runtime.errors import Unreachable

# Any other 4xx, and a fault of the model (500), will be the same the next time.
_RETRIED = frozenset({429, 502, 503, 504})


class Refused(TidegateError):
    """The model answered with an error that asking again does not mend."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`total_seconds` from a call's first failure to giving up: enough for a start from zero and a restart, not for an outage.

    Waits start at `first_seconds` and double up to `longest_seconds`, with full jitter.
    """

    total_seconds: float = 120.0
    first_seconds: float = 0.2
    longest_seconds: float = 10.0

    def wait(self, attempt: int, retry_after: str | None) -> float:
        """Seconds before the next attempt; what `Retry-After` asks for, if it comes in seconds, is the least."""
        longest = min(self.first_seconds * 2.0**attempt, self.longest_seconds)
        asked = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
        return asked + random.uniform(0, longest)  # noqa: S311 not for secrets


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
                headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
                async with self._session.request(method, self._url + path, data=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status == 200:
                        return content
                    if answer.status not in _RETRIED:
                        raise Refused(f"{_said(content)} (status {answer.status}).")
                    failure = f"it answered {answer.status}: {_said(content)}"
                    retry_after = answer.headers.get("Retry-After")
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = str(error) or "it did not answer in time"
            wait = self._patience.wait(attempt, retry_after)
            deadline = deadline or time.monotonic() + self._patience.total_seconds
            if time.monotonic() + wait > deadline:
                raise Unreachable(
                    f"the router at {self._url} did not answer in {self._patience.total_seconds:g} s ({failure}); is it running?"
                )
            await asyncio.sleep(wait)
            attempt += 1


def _said(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"]).rstrip(".")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or "no reason was given"
