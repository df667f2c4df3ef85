"""The reply sink: a URL that replies are posted to as CloudEvents, such as a Broker's or a Service's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from common.delivery import retry_after_seconds
from common.redaction import redact, redact_url
from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.reply import Problem
from functions.stream.settings import ReplySettings
from functions.stream.sink import DETAIL_LENGTH, ERROR_BYTES, Failure, read_body


@dataclass(frozen=True, slots=True)
class Accepted:
    """The sink has taken the replies. What it answers with, such as an event of its own, is not read."""


class ReplySink:
    """Posts replies to one URL and returns every outcome as a value."""

    def __init__(self, session: aiohttp.ClientSession, settings: ReplySettings) -> None:
        self._session = session
        self._url = settings.url
        self._mode = Mode.BATCH if settings.batch_size > 1 else Mode.BINARY
        self.url = redact_url(settings.url)
        """For messages, without credentials."""

    async def post(self, replies: Sequence[Event]) -> Accepted | Failure:
        """Post replies: exactly one unless the sink takes batches. Raises InvalidEvent for one that cannot be encoded."""
        message = http.encode(replies, self._mode)
        try:
            async with self._session.post(self._url, data=message.body, headers=message.headers, allow_redirects=False) as response:
                return await self._read(response)
        except TimeoutError:
            return Failure(Problem(504, "timed out", f"the reply sink {self.url} did not answer in time."))
        except aiohttp.ClientError as error:
            reason = (redact(str(error)) or type(error).__name__)[:DETAIL_LENGTH]
            return Failure(Problem(503, "reply sink unreachable", f"the reply sink {self.url} cannot be reached: {reason}."))

    async def _read(self, response: aiohttp.ClientResponse) -> Accepted | Failure:
        body = await read_body(response, ERROR_BYTES)  # to its end, so that the connection can be used again
        if 200 <= response.status < 300:
            return Accepted()
        reason = redact(body.decode(errors="replace"))[:DETAIL_LENGTH] or "(no reason was given)"
        detail = f"the reply sink {self.url} answered {response.status}: {reason}"
        return Failure(
            Problem(response.status, "the reply sink refused the reply", detail), retry_after_seconds(response.headers.get("retry-after"))
        )
