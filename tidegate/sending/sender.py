"""Sends an event, and follows what becomes of it within a bounded wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp

from common.errors import InvalidEvent
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from tidegate.local.eventing.addressing import INGRESSES, JOB_SINKS
from tidegate.local.eventing.delivery.deliveries import DeliveryStatus, ReplyStatus
from tidegate.local.eventing.delivery.subscriber import reply_in
from tidegate.local.eventing.delivery.transport import Answer, HttpPost, PostFailed
from tidegate.local.eventing.jobs.event_job import Run
from tidegate.local.eventing.overview import TriggerStatus
from tidegate.sending.api import Api
from tidegate.sending.course import COMPLETE, FAILED, NOT_READY, NOT_SEEN, RUNNING, Course, JobCourse, Step, identity_of, replies_in
from tidegate.sending.errors import Unreachable
from tidegate.sending.receivers import BROKER, JOB_SINK, Receiver

# A start from zero takes some of it even if nothing else is waited for.
_LEAST_ANSWER_SECONDS = 30.0
_POLL_SECONDS = 0.05
# Receivers that answer 503 until their topic in Kafka is there, a moment after their creation.
_WITH_TOPIC = (BROKER, "KafkaSink")
# Triggers whose replies feed each other have no end.
_MAX_EVENTS = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends events to receivers of a running `tidegate up`. `wait` is how many seconds to follow an accepted event."""

    api: Api
    client: aiohttp.ClientSession
    wait: float

    async def send(self, event: Event, receiver: Receiver, url: str) -> Course:
        """Send an event and follow it. Raises InvalidEvent or Unreachable."""
        message = http.encode([event], Mode.BINARY)
        # Of the same clock as the deliveries: an earlier event of the same id is another one.
        since, started = time.time(), time.monotonic()
        answer = await self._post(receiver, url, Message({**message.headers, "prefer": "reply"}, message.body))
        course = Course(event=event, receiver=receiver, url=url, answer=answer, seconds=time.monotonic() - started, reply=_reply(answer))
        if not course.accepted:
            return course
        if receiver.kind == JOB_SINK and "location" in answer.headers:
            return replace(course, job=await self._follow_job(receiver, event, urljoin(url, answer.headers["location"])))
        return replace(course, steps=await self._follow(receiver, event, since)) if receiver.kind == BROKER else course

    async def _post(self, receiver: Receiver, url: str, message: Message) -> Answer:
        """Post the event; again if the receiver's topic is not ready yet. Raises Unreachable."""
        seconds, end = max(_LEAST_ANSWER_SECONDS, self.wait), time.monotonic() + self.wait
        try:
            async with asyncio.timeout(seconds):
                answer = await HttpPost(self.client)(url, message)
                while receiver.kind in _WITH_TOPIC and answer.status == 503 and time.monotonic() < end:
                    await asyncio.sleep(_POLL_SECONDS)
                    answer = await HttpPost(self.client)(url, message)
                return answer
        except PostFailed as error:
            raise Unreachable(f"the {receiver} cannot be reached at {url}: {error}", remedy="`tidegate status` shows its state") from None
        except TimeoutError:
            raise Unreachable(f"the {receiver} did not answer within {seconds:g} s", remedy="wait longer by --wait") from None

    async def _follow_job(self, receiver: Receiver, event: Event, location: str) -> JobCourse:
        name, started = Run.of(receiver.namespace, receiver.name, event).job, time.monotonic()
        outcome = await self._until(lambda: self._job_outcome(location), lambda found: found != RUNNING)
        return JobCourse(name=name, location=location, outcome=outcome, seconds=time.monotonic() - started)

    async def _job_outcome(self, location: str) -> str:
        try:
            async with self.client.get(location) as response:
                reason = response.headers.get("Reason")
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the Job's state cannot be read at {location}: {error}") from None
        return reason if reason in (COMPLETE, FAILED) else RUNNING

    async def _follow(self, broker: Receiver, event: Event, since: float) -> list[Step]:
        return await self._until(lambda: self._steps(broker, event, since), lambda steps: all(step.is_final for step in steps))

    async def _steps(self, broker: Receiver, event: Event, since: float) -> list[Step]:
        """The deliveries of an event and of the replies to it so far."""
        triggers = await self.api.triggers(broker)
        steps: list[Step] = []
        events = [identity_of(event)]
        for identity in events:
            found = [item for item in await self.api.deliveries(identity["source"], identity["id"]) if item["started"] >= since]
            own = [_step(identity, trigger, found) for trigger in triggers]
            steps += own
            events += [reply for reply in replies_in(own) if reply not in events and len(events) < _MAX_EVENTS]
        return steps

    async def _until(self, read: Callable[[], Awaitable[T]], done: Callable[[T], bool]) -> T:
        """Read until it is done, or the wait is over."""
        end = time.monotonic() + self.wait
        while not done(found := await read()) and time.monotonic() < end:  # noqa: ASYNC110 the API has no watch of this
            await asyncio.sleep(_POLL_SECONDS)
        return found


def _step(event: ReplyStatus, trigger: TriggerStatus, found: list[DeliveryStatus]) -> Step:
    own = next((item for item in found if (item["namespace"], item["trigger"]) == (trigger["namespace"], trigger["name"])), None)
    if own is not None:
        return Step(event=event, trigger=trigger["name"], outcome=own["outcome"], delivery=own, job=_job(event, own))
    outcome = NOT_READY if trigger["status"] == "False" else NOT_SEEN
    return Step(event=event, trigger=trigger["name"], outcome=outcome, reason=trigger["reason"])


def _job(event: ReplyStatus, delivery: DeliveryStatus) -> str | None:
    """The Job that a delivery to a JobSink has started, or None."""
    target = urlsplit(delivery["subscriber"])
    names = target.path.strip("/").split("/")
    if target.hostname not in INGRESSES[JOB_SINKS] or len(names) != 2 or delivery["status"] != 202:
        return None
    return Run(namespace=names[0], sink=names[1], source=event["source"], id=event["id"]).job


def _reply(answer: Answer) -> Event | None:
    """The event in a response, if it is one."""
    try:
        return reply_in(answer) if 200 <= answer.status < 300 else None
    except InvalidEvent:
        return None
