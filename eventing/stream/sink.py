"""The sink: where batches of events are posted, and what its HTTP answers mean."""

from __future__ import annotations

import aiohttp

from eventing.codecs import json
from eventing.delivery import retry_after_seconds
from eventing.errors import InvalidEvent
from eventing.redaction import redact, redact_url
from eventing.reply import Problem
from eventing.stream.verdict import Answered, Refused

_HEADERS = {"content-type": json.BATCH_MEDIA_TYPE, "accept": json.BATCH_MEDIA_TYPE}
_DETAIL_LENGTH = 500


class Sink:
    """Posts batches to one URL. Whatever goes wrong comes back as a value, for the caller to judge."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.url = redact_url(url)
        """For messages, without credentials."""

    async def post(self, events: list[bytes]) -> Answered | Refused:
        """`events` are encoded each, as the JSON format has them."""
        try:
            async with self._session.post(self._url, data=json.join_batch(events), headers=_HEADERS, allow_redirects=False) as response:
                return _read(response.status, response.headers.get("retry-after"), await response.read())
        except TimeoutError:
            return Refused(Problem(504, "timed out", f"{self.url} did not answer in time."))
        except aiohttp.ClientError as error:
            return Refused(Problem(503, "sink unreachable", f"{self.url} cannot be reached: {redact(str(error)) or type(error).__name__}."))


def _read(status: int, retry_after: str | None, body: bytes) -> Answered | Refused:
    if not 200 <= status < 300:
        detail = redact(body[:_DETAIL_LENGTH].decode(errors="replace")) or "(no reason was given)"
        problem = Problem(status, "the sink refused the call", f"the sink answered {status}: {detail}")
        return Refused(problem, retry_after_seconds(retry_after))
    try:
        return Answered(json.decode_batch(body))
    except InvalidEvent as error:
        return Refused(Problem(502, "bad answer", f"the sink answered {status} without a batch of events: {error}"))
