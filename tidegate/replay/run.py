"""One replay: events of a window are read, answered by the candidate, and joined with what was answered at the time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from common.errors import InvalidEvent
from common.http_client import session
from eventing.codecs import json
from eventing.codecs import kafka as codec
from eventing.event import Event
from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, TopicPartition
from functions.batch.client import Client
from functions.batch.settings import BatchLimits
from tidegate.backtest.errors import SameRevision
from tidegate.backtest.revisions import REVISION_HEADER, PinnedRevision, find
from tidegate.backtest.scoring import score_output
from tidegate.replay.answers import AnswerIndex
from tidegate.replay.candidate import Candidate, Reply
from tidegate.replay.errors import NothingToReplay
from tidegate.replay.reading import read
from tidegate.replay.tally import Place, Result, Tally
from tidegate.replay.window import Range, Time, Window, oldest, ranges
from tidegate.times import shown

# Events of a call: as many as the stream worker posts.
_BATCH = 256
_LIMITS = BatchLimits()
# Clocks of publisher and worker may differ by so much.
_SLACK_MS = 5 * 60_000
# Answers later than this after the window are not looked for.
_LATE_MS = 24 * 3_600_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What is replayed. `against` is the candidate; `output` and `deadletter` are the topics of what was answered."""

    topic: str
    model: str
    against: str
    window: Window
    output: str
    deadletter: str
    score: str | None = None
    threshold: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A finished replay. `answers` are the scored answers of the output topic by version."""

    request: ReplayRequest
    candidate: PinnedRevision
    score: str
    answers: dict[str, int]
    result: Result
    seconds: float


class _Chunk(NamedTuple):
    """Some events with their places, and the faults of the records among them that are none."""

    events: list[Event]
    encoded: list[bytes]
    places: list[Place]
    invalid: list[str]


async def run(request: ReplayRequest, cluster: Cluster, *, url: str, progress: Callable[[int], None] = lambda _: None) -> Replay:
    """Ask the candidate through the router at `url`, and compare. Nothing is written, and nothing is committed.

    `progress` gets the number of events. Raises TidegateError.
    """
    started = time.monotonic()
    # A consumer belongs to one thread.
    with ThreadPoolExecutor(1, thread_name_prefix="replay") as thread:
        reader = _Reader(thread, await _in(thread, cluster.consumer))
        try:
            async with session(timeout_seconds=_LIMITS.request_timeout_seconds, raw=True) as opened:
                return await _replayed(request, reader, Client(url, opened, _LIMITS.retry), progress, started)
        finally:
            await _in(thread, reader.consumer.close)


class _Reader:
    """A consumer, and the thread that it belongs to."""

    def __init__(self, thread: ThreadPoolExecutor, consumer: Consumer) -> None:
        self._thread = thread
        self.consumer = consumer

    async def do(self, function: Callable[[Consumer], T]) -> T:
        """Call a function with the consumer on its thread."""
        return await _in(self._thread, partial(function, self.consumer))


async def _in(thread: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, function)


async def _replayed(request: ReplayRequest, reader: _Reader, client: Client, progress: Callable[[int], None], started: float) -> Replay:
    revision = await find(client, request.model, request.against)
    score = score_output(revision.signature, request.score, revision.title).name
    found = await reader.do(lambda consumer: _window(consumer, request))
    index = await reader.do(lambda consumer: _answers(consumer, request, found, score))
    versions = index.versions
    await _check_different(client, request, revision, versions)
    others = versions.keys() - {revision.version}
    tally = Tally(frozenset({revision.version}) if others and revision.version else frozenset(), request.threshold)
    candidate = Candidate(client, request.model, revision, score)
    async with aclosing(_asked(request, reader, found, candidate)) as chunks:
        async for chunk, replies in chunks:
            tally.add_invalid(chunk.invalid)
            answers = index.find(chunk.events)
            for place, reply, answer in zip(chunk.places, replies, answers, strict=True):
                tally.add(place, reply, answer)
            progress(tally.events)
    result = tally.result(candidate.call_seconds)
    if not result.events:
        raise NothingToReplay(
            f"none of the {result.invalid:,} records of {request.topic} {request.window} is a CloudEvent ({result.first_invalid})",
            remedy="name a topic of events, such as one that `tidegate publish` writes",
        )
    return Replay(request=request, candidate=revision, score=score, answers=versions, result=result, seconds=time.monotonic() - started)


def _window(consumer: Consumer, request: ReplayRequest) -> dict[TopicPartition, Range]:
    """Return the offsets to replay. Raises NothingToReplay."""
    found = ranges(consumer, request.topic, request.window)
    if any(read(consumer, found, request.window)):
        return found
    if not consumer.partitions_for(request.topic):
        raise NothingToReplay(f"the broker has no topic {request.topic}", remedy="check its name")
    first = oldest(consumer, ranges(consumer, request.topic, Window()))
    if first is None:
        raise NothingToReplay(f"the topic {request.topic} is empty", remedy="publish events to it first")
    raise NothingToReplay(
        f"the topic {request.topic} has no record {request.window}, and its oldest is of {shown(first)}",
        remedy="choose another --from and --to",
    )


def _answers(consumer: Consumer, request: ReplayRequest, replayed: dict[TopicPartition, Range], score: str) -> AnswerIndex:
    """Read what was answered since the first replayed record. Raises NothingToReplay if that is nothing."""
    index = AnswerIndex(request.model, score)
    since = oldest(consumer, replayed) or 0
    last = request.window.last
    window = Window(Time(max(0, since - _SLACK_MS)), Time(last.ms + _LATE_MS) if isinstance(last, Time) else None)
    for topic, add in ((request.output, index.add_reply), (request.deadletter, index.add_dead_letter)):
        for records in read(consumer, ranges(consumer, topic, window), window):
            for record in records:
                add(record)
    if not index.versions:
        raise NothingToReplay(
            f"the topic {request.output} has no answer of {request.model} with a score {window}, so there is nothing to compare with",
            remedy="name the topic of the stable revision's answers with --output",
        )
    return index


async def _check_different(client: Client, request: ReplayRequest, revision: PinnedRevision, versions: Mapping[str, int]) -> None:
    """Raise SameRevision if the candidate gets the traffic now, and all answers are of its version."""
    if versions.keys() != {revision.version}:
        return
    stable = await client.exchange("GET", f"/v2/models/{quote(request.model, safe='')}")
    if stable.headers.get(REVISION_HEADER) == revision.revision:
        raise SameRevision(
            f"{revision.title} is the revision that has given the answers in {request.output}",
            remedy="name the candidate with --against, another revision than the one with the traffic",
        )


async def _asked(
    request: ReplayRequest, reader: _Reader, found: dict[TopicPartition, Range], candidate: Candidate
) -> AsyncGenerator[tuple[_Chunk, list[Reply]]]:
    """Yield events with the candidate's replies, with several calls in flight."""
    chunks = _chunks(read(reader.consumer, found, request.window))
    running: deque[tuple[_Chunk, asyncio.Task[list[Reply]]]] = deque()
    try:
        while (chunk := await reader.do(lambda _: next(chunks, None))) is not None:
            running.append((chunk, asyncio.create_task(candidate.ask(chunk.encoded))))
            if len(running) == _LIMITS.in_flight:
                first, task = running.popleft()
                yield first, await task
        while running:
            first, task = running.popleft()
            yield first, await task
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)


def _chunks(batches: Iterator[list[ConsumedRecord]]) -> Iterator[_Chunk]:
    """Decode records as the stream worker does, in chunks of at most _BATCH events."""
    chunk = _Chunk([], [], [], [])
    for record in (record for batch in batches for record in batch):
        try:
            event = codec.decode(record, record.timestamp)
            encoded = json.encode(event)
        except InvalidEvent as error:
            chunk.invalid.append(f"partition {record.partition}, offset {record.offset}: {error.message}")
        else:
            chunk.events.append(event)
            chunk.encoded.append(encoded)
            chunk.places.append(Place(event.id, event.source, record.partition, record.offset, record.timestamp))
        if len(chunk.events) == _BATCH or len(chunk.invalid) == _BATCH:
            yield chunk
            chunk = _Chunk([], [], [], [])
    if chunk.events or chunk.invalid:
        yield chunk
