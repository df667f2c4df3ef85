"""Delivery of one event: attempts at the subscriber, its reply, and the dead letter, as a Trigger of Kafka's does it.

A KafkaSource delivers in the same way, except that it ignores replies.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from urllib.parse import urlsplit

from common.delivery import Outcome
from common.errors import InvalidEvent, TidegateError
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from tidegate.local.eventing.addressing import BROKERS, INGRESSES
from tidegate.local.eventing.delivery import hops, policy
from tidegate.local.eventing.delivery.deliveries import Delivery
from tidegate.local.eventing.delivery.policy import DeliveryPolicy
from tidegate.local.eventing.delivery.transport import Answer, Post, PostFailed

Reply = Callable[[Event, Event], Awaitable[None]]
"""Take up the reply to an event: reply, event. A TidegateError means that it cannot be taken up."""

Sleep = Callable[[float], Awaitable[None]]

# The start of a response's body that a dead letter carries.
_ERROR_DATA_BYTES = 1024
# Headers of a response that become attributes of the dead letter.
_ERROR_PREFIX = "kne-"


class Delivered(Enum):
    """What became of an event."""

    SUBSCRIBER = "delivered"
    DEAD_LETTER_SINK = "dead-lettered"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt; without an answer if there was no response."""

    cause: str
    answer: Answer | None = None


@dataclass(slots=True)
class Counts:
    """Events and attempts of a Trigger or a source since it was started."""

    delivered: int = 0
    dead_lettered: int = 0
    lost: int = 0
    retries: int = 0
    replies: int = 0
    filtered: int = 0
    invalid: int = 0
    last_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """Where events are delivered and how: a subscriber, a dead letter sink if there is one, and the policy of both."""

    url: str
    dead_letter_sink: str | None
    policy: DeliveryPolicy
    namespace: str
    post: Post
    reply: Reply | None = None
    """Without it replies are ignored, and any 2xx status means success."""
    counts: Counts = field(default_factory=Counts)

    async def deliver(self, event: Event, sleep: Sleep = asyncio.sleep, course: Delivery | None = None) -> Delivered:
        """Deliver an event for good. What `sleep` raises during a wait before a retry is passed on.

        `course` follows the attempts at the subscriber.
        """
        failure = await self._send(event, self.url, sleep, course)
        if failure is None:
            self.counts.delivered += 1
            return Delivered.SUBSCRIBER
        self.counts.last_failure = failure.cause
        if self.dead_letter_sink is not None:
            failure = await self._send(dead_letter(event, self.url, failure), self.dead_letter_sink, sleep)
            if failure is None:
                self.counts.dead_lettered += 1
                return Delivered.DEAD_LETTER_SINK
            self.counts.last_failure = failure.cause
        self.counts.lost += 1
        return Delivered.LOST

    async def _send(self, event: Event, url: str, sleep: Sleep, course: Delivery | None = None) -> Failure | None:
        """Send an event until it is accepted, refused for good, or out of retries."""
        try:
            message = self._message(event, url)
        except TidegateError as error:  # no valid message, or too many hops
            return Failure(str(error))
        for retry in count(1):
            failure, outcome = await self._attempt(event, url, message, course)
            if course is not None:
                course.attempts, course.cause = retry, failure.cause if failure else ""
            if outcome is not Outcome.RETRY or retry > self.policy.retries:
                return failure
            self.counts.retries += 1
            await sleep(self.policy.wait_seconds(retry))
        raise AssertionError  # count() does not end

    def _message(self, event: Event, url: str) -> Message:
        sent = hops.following(event, event) if _is_broker(url) else hops.without(event)
        message = http.encode([sent], Mode.STRUCTURED if self.policy.structured else Mode.BINARY)
        return Message({**message.headers, "prefer": "reply", "kn-namespace": self.namespace}, message.body)

    async def _attempt(self, event: Event, url: str, message: Message, course: Delivery | None) -> tuple[Failure | None, Outcome]:
        try:
            async with asyncio.timeout(self.policy.timeout_seconds):
                answer = await self.post(url, message)
        except PostFailed as error:
            return Failure(f"{url} cannot be reached: {error}"), Outcome.RETRY
        except TimeoutError:
            return Failure(f"{url} did not answer within {self.policy.timeout_seconds:g} s"), Outcome.RETRY
        outcome = policy.outcome(answer.status)
        if course is not None:
            course.status = answer.status
        if outcome is not Outcome.DONE:
            return Failure(f"{url} answered {answer.status}", answer), outcome
        cause = await self._take_up(event, answer, course)
        return (None, Outcome.DONE) if cause is None else (Failure(f"{url} answered {answer.status}: {cause}"), Outcome.DEAD_LETTER)

    async def _take_up(self, event: Event, answer: Answer, course: Delivery | None) -> str | None:
        """Take up the reply in a response of success, if it has one. Return the reason if that fails."""
        if self.reply is None:
            return None
        try:
            found = reply_in(answer)
            if found is not None:
                await self.reply(found, event)
                self.counts.replies += 1
                if course is not None:
                    course.replied(found)
        except TidegateError as error:
            return str(error)
        return None


def reply_in(answer: Answer) -> Event | None:
    """Return the event of a response of success, or None if its body is empty and it is no event.

    Raises InvalidEvent for a body that is no CloudEvent: a subscriber replies with an event or nothing.
    """
    try:
        mode = http.mode_of(answer.headers)
        if mode is None or mode is Mode.BATCH:
            raise InvalidEvent("the response has a body that is no CloudEvent; a subscriber replies with one CloudEvent or an empty body.")
        if not answer.complete:
            raise InvalidEvent("the reply is too large for Kafka.")
        return http.decode(Message(answer.headers, answer.body), mode, verbatim=True)[0]
    except InvalidEvent:
        if answer.body:
            raise
        return None


def dead_letter(event: Event, url: str, failure: Failure) -> Event:
    """Return an event with the reason of its failure: the attributes `knativeerror…`, and those of `Kne-` headers."""
    reason = {"knativeerrordest": url}
    if answer := failure.answer:
        reason["knativeerrorcode"] = str(answer.status)
        headers = ((name.removeprefix(_ERROR_PREFIX), value) for name, value in answer.headers.items() if name.startswith(_ERROR_PREFIX))
        reason |= {name: value for name, value in headers if name.isascii() and name.isalnum()}
        if answer.body:
            reason["knativeerrordata"] = base64.b64encode(answer.body[:_ERROR_DATA_BYTES]).decode()
    return event.with_attributes(**reason)


def _is_broker(url: str) -> bool:
    return urlsplit(url).hostname in INGRESSES[BROKERS]
