"""The sink: batches of events are posted to it, and its responses classified event by event."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from common.delivery import Outcome, outcome_of, retry_after_seconds
from common.errors import InvalidEvent
from common.redaction import redact, redact_url
from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem
from eventing.types import INFERENCE_FAILED

# Uncompressed: the size of a compressed response in memory is unknown before it is decompressed.
_HEADERS = {"content-type": json.BATCH_MEDIA_TYPE, "accept": json.BATCH_MEDIA_TYPE, "accept-encoding": "identity"}
DETAIL_LENGTH = 500
# The limit of a whole batch's response. Beyond it, fewer events are posted, down to one, whose reply no broker accepts
# at that size.
RESPONSE_BYTES = 8 * 2**20
ERROR_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Success:
    """The replies to a batch."""

    replies: list[Event]


@dataclass(frozen=True, slots=True)
class Failure:
    """The problem of a call that failed as a whole. `retry_after`, in seconds, is the sink's own request."""

    problem: Problem
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Disposition:
    """The outcome of one event: its output, or the problem and whether another call may help."""

    event: Event | None = None
    problem: Problem | None = None
    retry: bool = False


def classify(outcome: Success | Failure, count: int) -> list[Disposition] | None:
    """Return a disposition for each of `count` events, in order; None to post fewer and find the failing one."""
    if isinstance(outcome, Failure):
        retry = _is_retryable(outcome.problem.status)
        return [Disposition(problem=outcome.problem, retry=retry)] * count if retry or count == 1 else None
    if len(outcome.replies) != count:
        detail = f"the sink answered {count} events with {len(outcome.replies)} replies; it must return one for each, in order."
        return [Disposition(problem=Problem(502, "bad answer", detail), retry=True)] * count
    return [_classify_reply(reply) for reply in outcome.replies]


def _classify_reply(reply: Event) -> Disposition:
    if reply.type != INFERENCE_FAILED:
        return Disposition(event=reply)
    problem = Problem.from_json(reply.data)
    return Disposition(problem=problem, retry=_is_retryable(problem.status))


def _is_retryable(status: int) -> bool:
    """Return whether a later call may succeed; a failure with the status of a success says nothing else."""
    return outcome_of(status) is not Outcome.DEAD_LETTER


class Sink:
    """Posts batches to one URL and returns every outcome as a value.

    The session must not decompress responses: a compressed one is not read.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.url = redact_url(url)
        """For messages, without credentials."""

    async def post(self, events: list[bytes]) -> Success | Failure:
        """Post one batch; each event is encoded in the JSON format."""
        try:
            async with self._session.post(self._url, data=json.join_batch(events), headers=_HEADERS, allow_redirects=False) as response:
                return await _read(response)
        except TimeoutError:
            return Failure(Problem(504, "timed out", f"{self.url} did not answer in time."))
        except aiohttp.ClientError as error:
            reason = (redact(str(error)) or type(error).__name__)[:DETAIL_LENGTH]
            return Failure(Problem(503, "sink unreachable", f"{self.url} cannot be reached: {reason}."))


async def _read(response: aiohttp.ClientResponse) -> Success | Failure:
    status, encoding = response.status, response.headers.get("content-encoding", "identity").strip().lower()
    succeeded, compressed = 200 <= status < 300, encoding not in {"", "identity"}
    if compressed and succeeded:
        detail = f"the sink answered {status} with Content-Encoding {encoding[:40]!r}, although the request accepts only 'identity'."
        return Failure(Problem(502, "bad answer", detail))
    body = await read_body(response, RESPONSE_BYTES if succeeded else ERROR_BYTES)
    if not succeeded:
        detail = "" if compressed else redact(body.decode(errors="replace"))[:DETAIL_LENGTH]
        problem = Problem(status, "the sink refused the call", f"the sink answered {status}: {detail or '(no reason was given)'}")
        return Failure(problem, retry_after_seconds(response.headers.get("retry-after")))
    if len(body) > RESPONSE_BYTES:
        detail = f"the sink's answer has more than {RESPONSE_BYTES} bytes; reduce what the model returns."
        return Failure(Problem(413, "too large", detail))
    try:
        return Success(json.decode_batch(body))
    except InvalidEvent as error:
        return Failure(Problem(502, "bad answer", f"the sink answered {status} without a batch of events: {error}"))


async def read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body; of one longer than `most` bytes only a little more, and close the connection."""
    chunks, size = [], 0
    while size <= most and (chunk := await response.content.read(_CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
    if size > most:
        response.close()
    return b"".join(chunks)
