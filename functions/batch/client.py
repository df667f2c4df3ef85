"""Calls to the router with retries, since a model may have to start from zero or may be busy."""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import aiohttp
import orjson

from common.delivery import Outcome, backoff, outcome_of, retry_after_seconds
from common.errors import TidegateError
from common.redaction import redact, redact_url
from functions.runtime.errors import BadAnswer, Unreachable

# Bytes of a response, both compressed and decompressed: the outputs of a chunk have a few megabytes.
_MAX_RESPONSE_BYTES = 64 * 2**20
# Characters of a response's reason that an error quotes.
_REASON_LENGTH = 500
# zlib detects gzip (RFC 1952) and its own format (RFC 1950), which HTTP calls deflate.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_UNAVAILABLE = 503
_JSON = {"Content-Type": "application/json"}


class Refused(TidegateError):
    """The model answered with an error that a retry would not change; `status` is the HTTP status."""

    def __init__(self, message: str, status: int, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long a call is retried, and the back-off between attempts."""

    total_seconds: float = 120.0
    """From a call's first failure to giving up: enough for a start from zero and a restart, not for an outage."""

    first_seconds: float = 0.2
    """The bound of the first wait, doubled with each attempt."""

    longest_seconds: float = 10.0
    """The bound of every wait."""

    def wait(self, attempt: int, retry_after: str | None) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 1): `Retry-After` and the back-off."""
        return retry_after_seconds(retry_after) + backoff(attempt, first=self.first_seconds, longest=self.longest_seconds)


class Response(NamedTuple):
    """A response 200: its decompressed body, and its headers."""

    content: bytes
    headers: Mapping[str, str]


class Exchange(Protocol):
    """Answers requests to models: a client, or a model in this process."""

    async def exchange(
        self, method: str, path: str, body: bytes | None = ..., headers: Mapping[str, str] = ..., failed: Callable[[int], None] = ...
    ) -> Response:
        """Return a response 200, as `Client.exchange` does."""
        ...


class Client:
    """A client of one router, or of one model function."""

    def __init__(self, url: str, session: aiohttp.ClientSession, retry: RetryPolicy) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._retry = retry

    async def call(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """Return the body of a response 200, as `exchange` does."""
        return (await self.exchange(method, path, body, headers)).content

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        failed: Callable[[int], None] = lambda _: None,
    ) -> Response:
        """Return a response 200 with at most 64 MiB.

        `failed` is called with the status of each response that is retried: 503 for a connection that was refused or
        closed, as a gateway would answer it. Raises Refused with the model's reason, BadAnswer for an unreadable body,
        and Unreachable when the retries end.
        """
        deadline: float | None = None
        attempt = 0
        while True:
            retry_after = None
            try:
                # A file is sent piece by piece, so that a large body does not block the event loop.
                data = None if body is None else io.BytesIO(body)
                async with self._session.request(method, self._url + path, data=data, headers={**_JSON, **headers}) as response:
                    content = await _read(response)
                    if response.status == 200:
                        return Response(content, response.headers)
                    if not _is_retryable(response.status):
                        raise Refused(f"{_reason_of(content)} (status {response.status}).", response.status)
                    failure = f"status {response.status}: {_reason_of(content)}"
                    retry_after = response.headers.get("Retry-After")
                    failed(response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = redact(str(error)) or "timed out"
                if isinstance(error, aiohttp.ClientConnectionError):
                    failed(_UNAVAILABLE)
            attempt += 1
            wait = self._retry.wait(attempt, retry_after)
            deadline = deadline or time.monotonic() + self._retry.total_seconds
            if time.monotonic() + wait > deadline:
                raise Unreachable(
                    f"the router at {redact_url(self._url)} did not answer in {self._retry.total_seconds:g} s ({failure})",
                    remedy="check that it is running",
                )
            await asyncio.sleep(wait)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the decompressed body. Raises BadAnswer for a too large or invalid body, or an unsupported encoding."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > _MAX_RESPONSE_BYTES:
            raise _too_large()
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return bytes(content)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadAnswer(f"unsupported Content-Encoding {encoding[:40]!r} in the model's response; gzip and deflate are supported.")
    return await asyncio.to_thread(_decompressed, content)


def _decompressed(content: bytearray) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = decompressor.decompress(content, _MAX_RESPONSE_BYTES + 1)
    except zlib.error:
        raise BadAnswer("the model's response is not compressed by its Content-Encoding", remedy="see the model's log") from None
    if len(plain) > _MAX_RESPONSE_BYTES:
        raise _too_large()
    if not decompressor.eof:
        raise BadAnswer("the compressed body of the model's response is incomplete", remedy="see the model's log")
    return plain


def _too_large() -> BadAnswer:
    return BadAnswer(f"the model's response has more than {_MAX_RESPONSE_BYTES:,} bytes, the limit of a batch.")


def _is_retryable(status: int) -> bool:
    """Return whether a retry may help.

    A 404 here is an unknown model, and a 500 is a fault that the same rows cause again.
    """
    return status not in (404, 500) and outcome_of(status) is Outcome.RETRY


def _reason_of(body: bytes) -> str:
    """Return the reason in a response, on one line."""
    try:
        reason = str(orjson.loads(body)["error"]).rstrip(".")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        reason = body[:200].decode(errors="replace")
    shown = "".join(character if character.isprintable() else " " for character in reason[:_REASON_LENGTH])
    return shown.strip() or "no reason given"
