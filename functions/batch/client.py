"""Calls to the router that are repeated while there is hope: a model may have to start from zero, or be busy."""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aiohttp
import orjson

from common.delivery import Outcome, backoff, outcome_of, retry_after_seconds
from common.errors import TidegateError
from common.redaction import redact, redact_url
from functions.runtime.errors import BadAnswer, Unreachable

# Of an answer, as it comes and unpacked: a chunk's outputs have a few megabytes.
_ANSWER_BYTES = 64 * 2**20
# What of an answer's reason is repeated.
_REASON_LENGTH = 500
# zlib finds out whether it is gzip (RFC 1952) or zlib's own format (RFC 1950), which HTTP calls deflate.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_JSON = {"Content-Type": "application/json"}


class Refused(TidegateError):
    """The model answered with an error that stays one when the same is sent again."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


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

    async def call(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The body of an answer 200, at most 64 MiB of it.

        Raises Refused with the model's reason, BadAnswer for a body that is not read, and Unreachable when patience ends.
        """
        deadline: float | None = None
        attempt = 0
        while True:
            retry_after = None
            try:
                # From a file, a large body is written piece by piece: the event loop has other calls to serve.
                data = None if body is None else io.BytesIO(body)
                async with self._session.request(method, self._url + path, data=data, headers={**_JSON, **headers}) as answer:
                    content = await _read(answer)
                    if answer.status == 200:
                        return content
                    if not _passes(answer.status):
                        raise Refused(f"{_said(content)} (status {answer.status}).", answer.status)
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


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked. Raises BadAnswer for one that is too large, or packed in another way or badly."""
    content = bytearray()
    async for part in answer.content.iter_any():
        content += part
        if len(content) > _ANSWER_BYTES:
            raise _too_large()
    packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packed in ("", "identity"):
        return bytes(content)
    if packed not in ("gzip", "x-gzip", "deflate"):
        raise BadAnswer(f"the model's answer has the Content-Encoding {packed[:40]!r}; only gzip and deflate are read.")
    return await asyncio.to_thread(_unpacked, content)


def _unpacked(content: bytearray) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = unpacker.decompress(content, _ANSWER_BYTES + 1)
    except zlib.error:
        raise BadAnswer("the model's answer is not packed as its Content-Encoding says; see the model's log.") from None
    if len(plain) > _ANSWER_BYTES:
        raise _too_large()
    if not unpacker.eof:
        raise BadAnswer("the model's answer ends before its packed body does; see the model's log.")
    return plain


def _too_large() -> BadAnswer:
    return BadAnswer(f"the model's answer has more than {_ANSWER_BYTES:,} bytes; a batch reads no more, whatever the model sends.")


def _passes(status: int) -> bool:
    """Whether asking again may help. Not after a 404, which is an unknown model here, nor a 500: a fault at these rows stays one."""
    return status not in (404, 500) and outcome_of(status) is Outcome.RETRY


def _said(body: bytes) -> str:
    """The reason that an answer gives, on one line."""
    try:
        said = str(orjson.loads(body)["error"]).rstrip(".")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = body[:200].decode(errors="replace")
    shown = "".join(character if character.isprintable() else " " for character in said[:_REASON_LENGTH])
    return shown.strip() or "no reason was given"
