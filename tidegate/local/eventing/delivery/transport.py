"""One POST of a message to a URL: the protocol, and its form over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from common.errors import TidegateError
from eventing.codecs.http import Message

# Kafka accepts no larger reply by default. The rest of a larger response is not read.
MAX_ANSWER_BYTES = 1 << 20
# Headers that the client would add.
SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response. `headers` have lower-case names; a body that is not `complete` is longer than it is here."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


class PostFailed(TidegateError):
    """There was no response: the receiver cannot be reached, or broke the connection."""


class Post(Protocol):
    """Posts a message. The caller limits the time."""

    async def __call__(self, url: str, message: Message) -> Answer:
        """Return the response, whatever its status. Raises PostFailed."""
        ...


class HttpPost:
    """A POST over HTTP; redirects are responses like others."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def __call__(self, url: str, message: Message) -> Answer:
        call = self._client.post(url, headers=message.headers, data=message.body, allow_redirects=False, skip_auto_headers=SKIPPED)
        try:
            async with call as response:
                return await read_answer(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a URL or header that is none
            raise PostFailed(str(error) or type(error).__name__) from None


async def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """Read a response up to the limit of its body."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    length = response.content_length
    if length is not None and length <= MAX_ANSWER_BYTES:
        return Answer(status=response.status, headers=headers, body=await response.read())
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return Answer(status=response.status, headers=headers, body=bytes(body[:MAX_ANSWER_BYTES]), complete=False)
    return Answer(status=response.status, headers=headers, body=bytes(body))
