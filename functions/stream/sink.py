"""The sink: where batches of events are posted, and what its HTTP answers mean."""

from __future__ import annotations

import aiohttp

from common.delivery import retry_after_seconds
from common.errors import InvalidEvent
from common.redaction import redact, redact_url
from eventing.codecs import json
from eventing.reply import Problem
from functions.stream.verdict import Answered, Refused

# Uncompressed: a small answer would be a large one in memory before its size is known.
_HEADERS = {"content-type": json.BATCH_MEDIA_TYPE, "accept": json.BATCH_MEDIA_TYPE, "accept-encoding": "identity"}
_DETAIL_LENGTH = 500
# Of a whole batch. One that has more is called with fewer events, down to one, whose reply no broker takes at that size.
ANSWER_BYTES = 8 * 2**20
_REFUSAL_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024


class Sink:
    """Posts batches to one URL. Whatever goes wrong comes back as a value, for the caller to judge.

    The session must leave answers compressed as they are: they are not read.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.url = redact_url(url)
        """For messages, without credentials."""

    async def post(self, events: list[bytes]) -> Answered | Refused:
        """`events` are encoded each, as the JSON format has them."""
        try:
            async with self._session.post(self._url, data=json.join_batch(events), headers=_HEADERS, allow_redirects=False) as response:
                return await _read(response)
        except TimeoutError:
            return Refused(Problem(504, "timed out", f"{self.url} did not answer in time."))
        except aiohttp.ClientError as error:
            reason = (redact(str(error)) or type(error).__name__)[:_DETAIL_LENGTH]
            return Refused(Problem(503, "sink unreachable", f"{self.url} cannot be reached: {reason}."))


async def _read(response: aiohttp.ClientResponse) -> Answered | Refused:
    status, encoding = response.status, response.headers.get("content-encoding", "identity").strip().lower()
    succeeded, compressed = 200 <= status < 300, encoding not in {"", "identity"}
    if compressed and succeeded:
        return Refused(
            Problem(502, "bad answer", f"the sink answered {status} compressed ({encoding[:40]!r}), although that was not asked for.")
        )
    body = await _body(response, ANSWER_BYTES if succeeded else _REFUSAL_BYTES)
    if not succeeded:
        detail = "" if compressed else redact(body.decode(errors="replace"))[:_DETAIL_LENGTH]
        problem = Problem(status, "the sink refused the call", f"the sink answered {status}: {detail or '(no reason was given)'}")
        return Refused(problem, retry_after_seconds(response.headers.get("retry-after")))
    if len(body) > ANSWER_BYTES:
        detail = f"the sink's answer has more than {ANSWER_BYTES} bytes; ask the model for less."
        return Refused(Problem(413, "too large", detail))
    try:
        return Answered(json.decode_batch(body))
    except InvalidEvent as error:
        return Refused(Problem(502, "bad answer", f"the sink answered {status} without a batch of events: {error}"))


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body up to `most` bytes, and a little beyond if there is more: then the connection is closed with the rest unread."""
    pieces, size = [], 0
    while size <= most and (piece := await response.content.read(_PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    if size > most:
        response.close()
    return b"".join(pieces)
