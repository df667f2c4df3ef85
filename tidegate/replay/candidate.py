"""Calls of the candidate: batches of events to one revision, and what it answers to each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem
from eventing.types import INFERENCE_FAILED
from functions.batch.client import Client, Refused
from functions.runtime.errors import BadAnswer
from tidegate.backtest.revisions import REVISION_HEADER, PinnedRevision
from tidegate.replay.answers import number

# Statuses that one of the events may have caused; any other ends the replay.
_OF_EVENTS = frozenset({400, 413, 422})


class Reply(NamedTuple):
    """What the candidate answered to one event: a score (NaN without one) and its version, or a problem."""

    score: float
    version: str
    problem: Problem | None = None


class Candidate:
    """Asks one revision of a model. Nothing is published."""

    def __init__(self, client: Client, model: str, revision: PinnedRevision, score: str) -> None:
        self._client = client
        self._path = f"/models/{quote(model, safe='')}"
        self._revision = revision
        self._score = score
        media = {"Content-Type": json.BATCH_MEDIA_TYPE, "Accept": json.BATCH_MEDIA_TYPE}
        self._headers: Mapping[str, str] = {**media, REVISION_HEADER: revision.revision}
        self.call_seconds: list[float] = []
        """The duration of each call, waits between retries included."""

    async def ask(self, events: list[bytes]) -> list[Reply]:
        """Return a reply to each event; events are encoded in the JSON format.

        Raises as `Client.exchange` does, except for a refusal of a single event, which is a reply.
        """
        if not events:
            return []
        started = time.monotonic()
        try:
            response = await self._client.exchange("POST", self._path, json.join_batch(events), self._headers)
        except Refused as error:
            if error.status not in _OF_EVENTS:
                raise
            if len(events) == 1:
                return [Reply(float("nan"), self._revision.version, Problem(error.status, "the call was refused", error.message))]
            half = len(events) // 2
            return await self.ask(events[:half]) + await self.ask(events[half:])
        self.call_seconds.append(time.monotonic() - started)
        self._revision.check_answered_by(response)
        return self._replies(response.content, len(events))

    def _replies(self, body: bytes, count: int) -> list[Reply]:
        try:
            replies = json.decode_batch(body)
        except InvalidEvent as error:
            raise BadAnswer(f"{self._revision.title} answered without a batch of events: {error}") from None
        if len(replies) != count:
            raise BadAnswer(f"{self._revision.title} answered {count} events with {len(replies)} replies.")
        return [self._reply(reply) for reply in replies]

    def _reply(self, reply: Event) -> Reply:
        version = reply.get("modelversion") or ""
        if reply.type == INFERENCE_FAILED:
            return Reply(float("nan"), version, Problem.from_json(reply.data))
        return Reply(number(reply.value(), self._score), version)
