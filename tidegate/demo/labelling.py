"""A publisher of labels while the stream runs: each flight's outcome, some seconds after its score."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType

import aiohttp

from common import http_client
from common.delivery import backoff
from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from tidegate.demo.control import DemoFailed

# Requests at once; a Broker answers when the event is in its topic.
_AT_ONCE = 8
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 6
# A flight lands after its departure was scored; a router reports a score after a second.
_FLIGHT_SECONDS = 2.5


class Labelling:
    """A context manager that posts labels to a Broker, in a thread. `labels` are by the id of the flight."""

    def __init__(self, broker: str, labels: Mapping[str, Event]) -> None:
        self.published = 0
        self.error: Exception | None = None
        self._broker, self._labels = broker, labels
        self._loop = asyncio.new_event_loop()
        # Each with the time of its landing, by the loop's clock.
        self._waiting: asyncio.Queue[tuple[float, Event]] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)
        self._stopped = asyncio.Event()

    def __enter__(self) -> Labelling:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._thread.join()
        self._loop.close()

    def publish(self, flight: str) -> None:
        """Publish the label of a flight when it has landed, if there is one. Any thread may call it."""
        label = self._labels.get(flight)
        if label is not None and self._thread.is_alive():
            landing = self._loop.time() + _FLIGHT_SECONDS
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, (landing, label))

    def stop(self) -> None:
        """Publish no more. What waits is given up."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._publish())
        except Exception as error:  # noqa: BLE001 it is raised where results are awaited
            self.error = error

    async def _publish(self) -> None:
        async with http_client.session(timeout_seconds=_TIMEOUT_SECONDS, connections=_AT_ONCE) as client:
            publishers = [asyncio.create_task(self._publish_each(client)) for _ in range(_AT_ONCE)]
            stopped = asyncio.create_task(self._stopped.wait())
            done, others = await asyncio.wait([*publishers, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for task in done:
                task.result()

    async def _publish_each(self, client: aiohttp.ClientSession) -> None:
        while True:
            landing, label = await self._waiting.get()
            await asyncio.sleep(landing - self._loop.time())
            await self._post(client, label)
            self.published += 1

    async def _post(self, client: aiohttp.ClientSession, label: Event) -> None:
        message = http.encode([label], Mode.BINARY)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with client.post(self._broker, data=message.body, headers=dict(message.headers)) as answer:
                    if answer.status == 202:
                        return
                    said = f"it responded {answer.status}"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                said = str(error) or type(error).__name__
            await asyncio.sleep(backoff(attempt, first=0.1, longest=2.0))
        raise DemoFailed(f"the Broker at {self._broker} does not take a label: {said}", remedy="see `tidegate status`")
