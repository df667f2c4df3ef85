"""A steady load of all kinds of requests for predictions, and a count of their answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple

import aiohttp
import orjson

from eventing.types import INFERENCE_FAILED

BATCH_EVENTS = 8
_KEYS = 5_000
_TIMEOUT_SECONDS = 60.0
_MOST_IN_FLIGHT = 64
_CAUSE_LENGTH = 160
_JSON, _EVENT, _BATCH = "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"


class Request(NamedTuple):
    """A request. `items` are the events of a batch, each of which must be answered; 0 for any other kind."""

    kind: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    items: int = 0


@dataclass(slots=True)
class Answers:
    """The answers so far: by kind and status, those that failed by their cause, and by the revision that answered."""

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def add(self, kind: str, status: str, cause: str | None, revisions: str) -> None:
        self.statuses[kind, status] += 1
        self.revisions.update(name.strip() for name in revisions.split(",") if name)
        if cause is not None:
            self.failed += 1
            self.causes[f"{kind}, {status}: {cause}"] += 1


class Requests:
    """Requests for predictions of the example, in random order of their kinds and keys; equal for equal seeds."""

    def __init__(self, model: str, seed: int) -> None:
        self._model = model
        self._chance = random.Random(seed)  # noqa: S311 no secret
        self._tensors = files("loadtest").joinpath("scenarios/flights.json").read_bytes()
        self._data = {tensor["name"]: tensor["data"][0] for tensor in orjson.loads(self._tensors)["inputs"]}
        self._kinds: Sequence[Callable[[int], Request]] = (self._keyed, self._unkeyed, self._structured, self._binary, self._batch)
        self._number = 0

    def next(self) -> Request:
        self._number += 1
        return self._chance.choice(self._kinds)(self._number)

    def _keyed(self, _: int) -> Request:
        headers = {"Content-Type": _JSON, "Tidegate-Routing-Key": self._key()}
        return Request("tensors with a key", self._infer, headers, self._tensors)

    def _unkeyed(self, _: int) -> Request:
        return Request("tensors without a key", self._infer, {"Content-Type": _JSON}, self._tensors)

    def _structured(self, number: int) -> Request:
        return Request("event, structured", self._events, {"Content-Type": _EVENT}, orjson.dumps(self._event(str(number))))

    def _binary(self, number: int) -> Request:
        attributes = {f"ce-{name}": str(value) for name, value in self._event(str(number)).items() if name != "data"}
        return Request("event, binary", self._events, {"Content-Type": _JSON, **attributes}, orjson.dumps(self._data))

    def _batch(self, number: int) -> Request:
        events = [self._event(f"{number}-{index}") for index in range(BATCH_EVENTS)]
        return Request(f"batch of {BATCH_EVENTS} events", self._events, {"Content-Type": _BATCH}, orjson.dumps(events), BATCH_EVENTS)

    def _event(self, id_: str) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": id_,
            "source": "/loadtest",
            "type": "com.example.departed",
            "partitionkey": self._key(),
            "data": self._data,
        }

    def _key(self) -> str:
        return f"key-{self._chance.randrange(_KEYS)}"

    @property
    def _infer(self) -> str:
        return f"/v2/models/{self._model}/infer"

    @property
    def _events(self) -> str:
        return f"/models/{self._model}"


class Traffic:
    """Sends requests at a steady rate, whatever becomes of them: none is sent again.

    At most `_MOST_IN_FLIGHT` are in flight, so that a machine that cannot keep up gets fewer a second, not all at once.
    """

    def __init__(self, url: str, requests: Requests, client: aiohttp.ClientSession) -> None:
        self.answers = Answers()
        self._url = url
        self._requests = requests
        self._client = client
        self._in_flight: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_MOST_IN_FLIGHT)

    async def send(self, count: int, rate: float) -> None:
        """Send so many requests, so many a second, and wait for their answers."""
        begun = [await self._begin() async for _ in _paced(count, rate)]
        await asyncio.gather(*begun)

    async def settled(self) -> None:
        """Wait until the requests that are now in flight are answered."""
        if self._in_flight:
            await asyncio.wait(list(self._in_flight))

    async def _begin(self) -> asyncio.Task[None]:
        await self._room.acquire()
        task = asyncio.create_task(self._exchange(self._requests.next()))
        self._in_flight.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._room.release()

    async def _exchange(self, request: Request) -> None:
        try:
            url, timeout = self._url + request.path, aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
            async with self._client.post(url, headers=request.headers, data=request.body, timeout=timeout) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self.answers.add(request.kind, "no answer", repr(error)[:_CAUSE_LENGTH], "")
            return
        cause = cause_of(request, answer.status, body)
        self.answers.add(request.kind, str(answer.status), cause, answer.headers.get("Tidegate-Revision", ""))


async def _paced(count: int, rate: float) -> AsyncIterator[int]:
    """Yield so many times at this rate; late ones follow at once, so that a busy machine gets as many."""
    began = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(began + number / rate - time.monotonic(), 0.0))
        yield number


def cause_of(request: Request, status: int, body: bytes) -> str | None:
    """Why a request counts as failed, or None: also a batch of which one event failed."""
    if status != 200:
        return body[:_CAUSE_LENGTH].decode("utf-8", "replace")
    if not request.items:
        return None
    replies = orjson.loads(body)
    if len(replies) != request.items:
        return f"{len(replies)} replies to {request.items} events"
    failed = [reply["data"] for reply in replies if reply["type"] == INFERENCE_FAILED]
    return orjson.dumps(failed[0])[:_CAUSE_LENGTH].decode() if failed else None
