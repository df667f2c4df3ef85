"""Letters straight through the model: replies to the output topic, and what is rejected again to the letters' own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

import aiohttp

from common.delivery import backoff
from common.errors import InvalidEvent
from common.http_client import session
from common.redaction import redact_url
from eventing.codecs import json
from eventing.codecs.kafka import Message
from eventing.deadletter import reduced_forms
from eventing.event import Event
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import Delivery, Producer
from eventing.reply import Problem
from functions.stream.settings import model_of
from functions.stream.sink import Disposition, Failure, Sink, classify
from tidegate.deadletters.claims import FLUSH_SECONDS
from tidegate.deadletters.errors import ModelUnavailable
from tidegate.deadletters.letter import Letter
from tidegate.deadletters.pace import Pace
from tidegate.deadletters.restoring import event_of, letter_of, output_of
from tidegate.deadletters.route import Delivered

_BATCH = 128
_IN_FLIGHT = 4
_REQUEST_SECONDS = 60.0
# How soon a wait for the model notices Ctrl-C.
_STOP_SECONDS = 0.2
# From a chunk's first call: enough for a start from zero and a restart, not for an outage.
RETRY_SECONDS = 120.0


def check_served(router: str, model: str) -> None:
    """Raise ModelUnavailable if the router knows no such model: it would reject every event.

    A router that does not answer is left to the replay, which retries.
    """
    asyncio.run(_check_served(router, model))


async def _check_served(router: str, model: str) -> None:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with (
            session(timeout_seconds=_REQUEST_SECONDS) as opened,
            opened.get(f"{router}/v2/models/{quote(model, safe='')}") as response,
        ):
            if response.status == HTTPStatus.NOT_FOUND:
                raise ModelUnavailable(f"{redact_url(router)} serves no model {model}", remedy="check its name")


class _Answer:
    """The last disposition of an event, and how often the model was asked."""

    __slots__ = ("attempts", "disposition")

    def __init__(self) -> None:
        self.disposition: Disposition | None = None
        self.attempts = 0


class ThroughModel:
    """The route through the model at `url`, as a stream worker's sink; the caller closes it."""

    lease_seconds = RETRY_SECONDS + _REQUEST_SECONDS + 2 * FLUSH_SECONDS

    def __init__(self, producer: Producer, run: str, pace: Pace, *, url: str, output: str, topic: str) -> None:
        self._producer = producer
        self._run = run
        self._pace = pace
        self._url = url
        self._output = output
        self._topic = topic
        self._runner = asyncio.Runner()

    def topics(self, letters: Sequence[Letter]) -> set[str]:
        return {self._output, self._topic}

    def make_room(self, letters: Sequence[Letter]) -> bool:
        return not self._pace.stopped

    def deliver(self, letters: Sequence[Letter]) -> Delivered:
        done = Delivered()
        paced = [letter for index, letter in enumerate(letters) if self._pace.passes(index)]
        answers = [_Answer() for _ in paced]
        done.error = self._runner.run(self._ask_all(paced, answers))
        sent: list[tuple[Letter, bool, Delivery]] = []
        partitions = len(self._producer.partitions_for(self._output))
        for letter, answer in zip(paced, answers, strict=True):
            if answer.disposition is None:
                continue
            try:
                succeeded, delivery = self._write(letter, answer, partitions)
            except KafkaError as error:
                done.error = done.error or error
                break
            sent.append((letter, succeeded, delivery))
        with contextlib.suppress(KafkaError):  # what is not acknowledged by then is counted as such
            self._producer.flush(FLUSH_SECONDS)
        for letter, succeeded, delivery in sent:
            if delivery.offset is None:
                done.unacknowledged.append(letter.offset)
                continue
            done.replayed.append(letter.offset)
            done.succeeded += succeeded
            done.failed_again += not succeeded
        return done

    def close(self) -> None:
        self._runner.close()

    async def _ask_all(self, letters: Sequence[Letter], answers: Sequence[_Answer]) -> ModelUnavailable | None:
        """Ask for all of them; return why some have no answer, None also if that is a stop."""
        events: list[tuple[bytes, _Answer]] = []
        for letter, answer in zip(letters, answers, strict=True):
            try:
                events.append((json.encode(event_of(letter, self._run)), answer))
            except InvalidEvent as error:
                answer.disposition = Disposition(problem=Problem(400, "invalid event", str(error)))
        deadline = asyncio.get_running_loop().time() + RETRY_SECONDS
        free = asyncio.Semaphore(_IN_FLIGHT)
        async with session(timeout_seconds=_REQUEST_SECONDS, connections=_IN_FLIGHT, raw=True) as opened:
            sink = Sink(opened, self._url)
            batches = [events[start : start + _BATCH] for start in range(0, len(events), _BATCH)]
            errors = await asyncio.gather(*(self._ask(sink, batch, free, deadline) for batch in batches))
        return next((error for error in errors if error is not None), None)

    async def _ask(
        self, sink: Sink, batch: list[tuple[bytes, _Answer]], free: asyncio.Semaphore, deadline: float
    ) -> ModelUnavailable | None:
        attempt = 0
        while batch and not self._pace.stopped:
            async with free:
                outcome = await sink.post([event for event, _ in batch])
            attempt += 1
            dispositions = classify(outcome, len(batch))
            if dispositions is None:  # one of them fails all, and each half is asked for itself
                half = len(batch) // 2
                halves = await asyncio.gather(*(self._ask(sink, part, free, deadline) for part in (batch[:half], batch[half:])))
                return halves[0] or halves[1]
            is_late = asyncio.get_running_loop().time() >= deadline
            if is_late and isinstance(outcome, Failure) and dispositions[0].retry:
                return ModelUnavailable(
                    f"{sink.url} did not answer in {RETRY_SECONDS:g} s ({outcome.problem.detail.rstrip('.')})",
                    remedy="check that the model is served there, then run the command again",
                )
            again = []
            for (event, answer), disposition in zip(batch, dispositions, strict=True):
                answer.attempts += 1
                if disposition.retry and not is_late:
                    again.append((event, answer))
                else:
                    answer.disposition = disposition
            batch = again
            if batch:
                retry_after = outcome.retry_after if isinstance(outcome, Failure) else 0.0
                await self._sleep(min(max(retry_after, backoff(attempt)), RETRY_SECONDS))
        return None

    async def _sleep(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0 and not self._pace.stopped:  # noqa: ASYNC110 a signal sets it
            await asyncio.sleep(min(left, _STOP_SECONDS))

    def _write(self, letter: Letter, answer: _Answer, partitions: int) -> tuple[bool, Delivery]:
        """Send the output, or the letter of another rejection; return whether it is the output."""
        disposition = answer.disposition
        problem = disposition.problem if disposition else None
        reply = disposition.event if disposition else None
        if reply is not None and problem is None:
            try:
                return True, self._send_output(letter, reply, partitions)
            except InvalidEvent as error:
                problem = Problem(502, "bad answer", f"the sink's reply cannot be written: {error}")
            except RecordTooLarge:
                detail = "the reply is larger than the broker takes; reduce what the model returns, or raise the limit."
                problem = Problem(413, "too large", detail)
        return False, self._send_letter(letter, problem or Problem(500, "failed", "no reason was given."), answer.attempts)

    def _send_output(self, letter: Letter, reply: Event, partitions: int) -> Delivery:
        origin = letter.original.partition  # as the worker does, so that a key keeps its partition
        return self._producer.send(self._output, output_of(letter, self._run, reply), origin % partitions)

    def _send_letter(self, letter: Letter, problem: Problem, attempts: int) -> Delivery:
        named = Problem(problem.status, problem.title, problem.detail, {"model": model_of(self._url), **problem.extensions})
        refused: KafkaError | None = None
        for form in reduced_forms(letter_of(letter, self._run, named, attempts=attempts, destination=self._url)):
            try:
                return self._produce(form, letter.record.partition)
            except RecordTooLarge as error:
                refused = error
        raise refused or AssertionError

    def _produce(self, message: Message, partition: int) -> Delivery:
        return self._producer.send(self._topic, message, partition)
